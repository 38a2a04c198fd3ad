"""`rlkit validate`: will a recipe run?"""

from typing import Any

import click


@click.command(
    "validate",
    short_help="Check recipes before they cost a GPU-hour.",
    epilog="""Examples:

\b
  rlkit validate gsm8k
  rlkit validate my.yaml --plugin my_rewards.py training.max_steps=10
  rlkit validate recipes/*.yaml
  rlkit validate quickstart --leaks
  rlkit validate gsm8k --model Qwen/Qwen2.5-0.5B-Instruct --prompts 32""",
)
@click.argument("arguments", nargs=-1, required=True, metavar="RECIPE... [a.b=v]...")
@click.option("--plugin", "plugins", multiple=True, metavar="FILE", help="Plugin file with rewards; may be repeated.")
@click.option("--model", metavar="MODEL", help="Sample groups from this model: do the rewards differ within them?")
@click.option("--prompts", type=click.IntRange(1), default=16, show_default=True, help="Prompts to sample for --model.")
@click.option("--leaks", is_flag=True, help="List held-out prompts that stand in the training data, or nearly.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a recipe.")
def command(
    arguments: tuple[str, ...], plugins: tuple[str, ...], model: str | None, prompts: int, leaks: bool, as_json: bool
) -> None:
    """Check recipes without loading a model.

    Schema, rewards and their gold cases, columns against the data, batch sizes, missing extras. With --model, the
    signal too: groups are sampled and scored as the first step of training would. With --leaks, the prompts of every
    evaluation are compared with those of every training stage; the same, or 80% of the word 8-grams in one of them.

    Exit 2 where one of them would not run; all its problems are named at once.
    """
    import json

    from rlkit.errors import RequestError
    from rlkit.validation import shared_prompts, validate

    recipes = [argument for argument in arguments if "=" not in argument]
    overrides = tuple(argument for argument in arguments if "=" in argument)
    if not recipes:
        raise RequestError("validate which recipe? see `rlkit ls recipes`")
    failed = []
    for recipe in recipes:
        more: dict[str, Any] = {}
        listed: list[str] = []
        try:
            notes, problems = validate(recipe, overrides, plugins), ""
            if model:
                found = _signal(recipe, overrides, plugins, model, prompts)
                more, notes = {"signal": found.as_json()}, [*notes, *found.lines()]
            if leaks:
                shared = shared_prompts(recipe, overrides, plugins)
                more["leaks"] = [leak.as_json() for leak in shared]
                nothing = "--leaks: no held-out prompts beside training prompts; set eval.data"
                notes = [*notes, *(map(str, shared) if shared else [nothing])]
                listed = [line for leak in shared for line in leak.lines()]
        except RequestError as error:
            notes, problems = [], str(error)
            failed.append(str(error))
        if as_json:
            said = problems.split("\n") if problems else []
            click.echo(json.dumps({"recipe": recipe, "ok": not problems, "problems": said, "notes": notes, **more}))
        elif not problems:
            click.echo(f"{recipe}: ok")
            for line in listed:
                click.echo(f"  {line}")
        for note in notes:
            click.echo(f"  {note}", err=True)
    if failed:
        raise RequestError("\n".join(failed))


def _signal(recipe: str, overrides: tuple[str, ...], plugins: tuple[str, ...], model: str, prompts: int) -> Any:
    from rlkit import signal_check
    from rlkit.progress import Progress
    from rlkit.recipe.load import load

    return signal_check.check(load(recipe, overrides, plugins), model, prompts, Progress())
