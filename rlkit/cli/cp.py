"""`rlkit cp`: copy a recipe to edit."""

from pathlib import Path

import click


@click.command(
    "cp",
    short_help="Copy a recipe to edit.",
    epilog="""Examples:

\b
  rlkit cp gsm8k my.yaml
  rlkit cp suites/gsm8k my-suite.yaml

Next: edit it, then rlkit validate my.yaml""",
)
@click.argument("recipe")
@click.argument("file", type=click.Path(path_type=Path))
def command(recipe: str, file: Path) -> None:
    """Copy a built-in recipe, or a suite, to a file."""
    from rlkit.errors import RequestError
    from rlkit.recipe.files import locate

    source = locate(recipe)
    if file.exists():
        raise RequestError(f"{file} exists; choose another name")
    if not file.parent.is_dir():
        raise RequestError(f"{file}: there is no folder {file.parent}")
    file.write_bytes(source.read_bytes())
    click.echo(str(file))
    click.echo(f"edit it, then: rlkit validate {file}", err=True)
