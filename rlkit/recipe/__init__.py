"""Recipes: the schema (one pydantic model a section), loading, overrides, and the checks that need no data."""
