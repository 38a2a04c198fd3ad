"""The built-in recipes, and the data that they make; in `suites/`, those that only measure.

`rlkit cp RECIPE FILE` copies one to edit.
"""
