"""The built-in recipes, and the data that they make. `rlkit cp RECIPE FILE` copies one to edit."""
