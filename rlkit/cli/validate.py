"""`rlkit validate`: will a recipe run?"""

import click


@click.command(
    "validate",
    short_help="Check recipes before they cost a GPU-hour.",
    epilog="""Examples:

\b
  rlkit validate gsm8k
  rlkit validate my.yaml --plugin my_rewards.py training.max_steps=10
  rlkit validate recipes/*.yaml""",
)
@click.argument("arguments", nargs=-1, required=True, metavar="RECIPE... [a.b=v]...")
@click.option("--plugin", "plugins", multiple=True, metavar="FILE", help="Plugin file with rewards; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a recipe.")
def command(arguments: tuple[str, ...], plugins: tuple[str, ...], as_json: bool) -> None:
    """Check recipes without loading a model.

    Schema, rewards and their gold cases, columns against the data, batch sizes, missing extras.

    Exit 2 where one of them would not run; all its problems are named at once.
    """
    import json

    from rlkit.errors import RequestError
    from rlkit.validation import validate

    recipes = [argument for argument in arguments if "=" not in argument]
    overrides = tuple(argument for argument in arguments if "=" in argument)
    if not recipes:
        raise RequestError("validate which recipe? see `rlkit ls recipes`")
    failed = []
    for recipe in recipes:
        try:
            notes, problems = validate(recipe, overrides, plugins), ""
        except RequestError as error:
            notes, problems = [], str(error)
            failed.append(str(error))
        if as_json:
            said = problems.split("\n") if problems else []
            click.echo(json.dumps({"recipe": recipe, "ok": not problems, "problems": said, "notes": notes}))
        elif not problems:
            click.echo(f"{recipe}: ok")
        for note in notes:
            click.echo(f"  {note}", err=True)
    if failed:
        raise RequestError("\n".join(failed))
