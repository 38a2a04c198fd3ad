"""Recipes: the schema (one pydantic model a section), loading, overrides, and the checks that need no data."""

from rlkit.recipe.load import builtin, load, locate
from rlkit.recipe.recipe import Recipe, RewardEntry, Stage

__all__ = ["Recipe", "RewardEntry", "Stage", "builtin", "load", "locate"]
