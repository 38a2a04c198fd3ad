"""`rlkit schema`: the JSON schema of a recipe."""

import click


@click.command(
    "schema",
    short_help="Print the JSON schema of recipes, for editors.",
    epilog="""Example: rlkit schema > recipe.schema.json

An editor with YAML support completes keys and shows their help when a recipe's first line reads:

\b
  # yaml-language-server: $schema=recipe.schema.json""",
)
def command() -> None:
    """Print the JSON schema of recipes, for editors."""
    import json

    from rlkit.recipe.recipe import Recipe

    click.echo(json.dumps(Recipe.model_json_schema(), indent=2))
