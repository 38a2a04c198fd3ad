"""`rlkit eval`: measure a model on a recipe's held-out data, or completions that were recorded; two side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rlkit.measurement import Measurement
    from rlkit.recorded import Recorded
    from rlkit.scoring import RewardStack


@click.command(
    "eval",
    short_help="Measure a model on held-out data, or recorded completions.",
    epilog="""Examples:

\b
  rlkit eval runs/quickstart-20260101-120000 --recipe quickstart
  rlkit eval ./my-model --recipe gsm8k --data test.jsonl --json
  rlkit eval ./my-model --recipe gsm8k --k 8 eval.batch_size=256
  rlkit eval runs/squad --task question-answering --data dev.json
  rlkit eval runs/gsm8k --against Qwen/Qwen2.5-0.5B-Instruct --recipe gsm8k
  rlkit eval --completions answers.jsonl --reward accuracy --by level
  rlkit eval --completions ours.jsonl --against theirs.jsonl --reward accuracy --column answer=gold""",
)
@click.argument("model", required=False)
@click.argument("overrides", nargs=-1, metavar="[a.b=v]...")
@click.option("--recipe", metavar="RECIPE", help="Whose data, rewards and generation are used.")
@click.option("--task", metavar="TASK", help="A task (rlkit ls tasks) instead of a recipe, with --data.")
@click.option(
    "--completions",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Measure recorded completions, no model (.jsonl, .jsonl.gz, .parquet, or a folder or run with such files).",
)
@click.option(
    "--reward",
    "rewards",
    multiple=True,
    metavar="NAME[:k=v,...]",
    help="With --completions: a reward; may be repeated.",
)
@click.option(
    "--column", "columns", multiple=True, metavar="NAME=ITS_NAME", help="With --completions: what a column is called."
)
@click.option("--against", metavar="OTHER", help="Another model (or file) on the same prompts, side by side.")
@click.option("--by", metavar="COLUMN", help="Accuracy and reward for each value of a column, too.")
@click.option("--data", "data_path", metavar="PATH", help="Other data: sets data.path.")
@click.option("--k", "samples", type=click.IntRange(1), help="Samples a prompt: pass@k and maj@k.")
@click.option("--plugin", "plugins", multiple=True, metavar="FILE", help="Plugin file with rewards; may be repeated.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write every sample to this jsonl file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    model: str | None,
    overrides: tuple[str, ...],
    recipe: str | None,
    task: str | None,
    completions: Path | None,
    rewards: tuple[str, ...],
    columns: tuple[str, ...],
    against: str | None,
    by: str | None,
    data_path: str | None,
    samples: int | None,
    plugins: tuple[str, ...],
    output: Path | None,
    as_json: bool,
) -> None:
    """Measure MODEL (a folder, a hub id or a run) on the held-out data of a recipe.

    Greedy unless --k asks for samples. With --completions, measure what was recorded instead: each row has
    `completion`, the columns that the rewards need and, where a prompt has several completions, `prompt` or `question`.

    Every figure comes with its n and 95% interval. With --against, also how far the two are apart, with the interval
    and the p-value of that difference over the prompts that both have answered.
    """
    from rlkit.errors import RequestError

    if model and "=" in model and not Path(model).exists():  # an override: it stands where a model would
        overrides, model = (model, *overrides), None
    if bool(model) == bool(completions):
        was = f"{model} is a MODEL, {completions} are completions" if model else "nothing is named"
        raise RequestError(f"measure a MODEL, or recorded completions with --completions FILE: {was}")
    if output and (output.exists() or not output.parent.is_dir()):
        wrong = "it exists" if output.exists() else f"there is no folder {output.parent}"
        raise RequestError(f"-o {output}: {wrong}")
    subject = {"completions": str(completions)} if completions else {"model": model}
    names = [next(iter(subject.values())), *([against] if against else [])]
    matched: dict[str, Any] = {}
    if completions:
        if data_path:
            raise RequestError(f"--data {data_path}: recorded completions bring their own data")
        stack, asked = _rewards(rewards, recipe, overrides, plugins)
        asked |= {**({"by": by} if by else {}), **({"ks": sorted({1, samples})} if samples else {})}
        measured = _recorded(completions, against, stack, columns, asked, matched)
    else:
        if rewards or columns:
            given = f"--reward {rewards[0]}" if rewards else f"--column {columns[0]}"
            raise RequestError(f"{given} goes with --completions; a model is measured by the rewards of its recipe")
        measured = _models(names, recipe, task, overrides, data_path, plugins, samples, by)
    if output:
        _write(output, names, measured)
    _print(subject, names, {"recipe": recipe} if recipe else {}, measured, matched, as_json)


def _models(
    models: list[Any],
    recipe: str | None,
    task: str | None,
    overrides: tuple[str, ...],
    data_path: str | None,
    plugins: tuple[str, ...],
    samples: int | None,
    by: str | None,
) -> list["Measurement"]:
    import json

    from rlkit.errors import RequestError
    from rlkit.recipe.load import load

    if bool(recipe) == bool(task):
        raise RequestError(
            f"measure {models[0]} on what? Name a recipe's data and rewards with --recipe RECIPE, or --task T --data D"
        )
    overrides = (*overrides, *([f"data.path={json.dumps(data_path)}"] if data_path else []))
    # What is said of data is meant of the data that is measured on, also where the recipe names that apart.
    overrides = tuple(
        o for each in overrides for o in ((each, f"eval.{each}") if each.startswith("data.") else (each,))
    )
    text = f"task: {json.dumps(task)}\n" if task else None
    loaded = load(recipe or f"--task {task}", overrides, plugins, evaluate=True, text=text)
    from rlkit import side_by_side
    from rlkit.progress import Progress

    return side_by_side.evaluate(loaded, models, samples, by, Progress())


def _rewards(
    rewards: tuple[str, ...], recipe: str | None, overrides: tuple[str, ...], plugins: tuple[str, ...]
) -> tuple["RewardStack", dict[str, Any]]:
    """The rewards, and what a recipe asks to be measured."""
    from rlkit.errors import RequestError
    from rlkit.plugins import load_file
    from rlkit.recipe import spec
    from rlkit.recipe.load import load
    from rlkit.scoring import RewardStack

    if overrides and not recipe:
        raise RequestError(f"{overrides[0]} changes a recipe: name it with --recipe")
    for plugin in plugins:
        load_file(plugin)
    asked: dict[str, Any] = {}
    if recipe:
        section = load(recipe, overrides, evaluate=True).evaluation().eval
        asked = {"accuracy": section.accuracy, "ks": section.k, "by": section.by}
    return RewardStack(spec.terms(rewards, recipe, overrides), max_error_rate=1.0), asked


def _recorded(
    path: Path,
    against: str | None,
    stack: "RewardStack",
    columns: tuple[str, ...],
    asked: dict[str, Any],
    matched: dict[str, Any],
) -> list["Measurement"]:
    from rlkit import recorded
    from rlkit.cli.score import _pair
    from rlkit.progress import Progress

    renamed = dict(_pair(column) for column in columns)
    needed = [column for reward in stack.rewards for column in reward.columns]
    needed += [asked["by"]] if asked.get("by") else []
    say = Progress().say
    one = recorded.read(path, needed, renamed)
    if against is None:
        return [_measured(one, stack, asked, None)]
    found = recorded.match(one, recorded.read(Path(against), needed, renamed))
    matched |= {"matched_by": found.by, "left_out": list(found.left_out)}
    if found.by == "order":
        say(f"the rows of {path} and {against} share no prompt: they are compared in their order")
    elif any(found.left_out):
        left, right = found.left_out
        say(f"left out, for want of the prompt in the other file: {left:,} rows of {path}, {right:,} of {against}")
    files = zip((found.one, found.other), found.groups, strict=True)
    return [_measured(file, stack, asked, groups) for file, groups in files]


def _measured(file: "Recorded", stack: "RewardStack", asked: dict[str, Any], groups: list[int] | None) -> "Measurement":
    from rlkit import recorded
    from rlkit.errors import RunError

    before = dict(stack.errors)
    try:
        measured = recorded.measure(file, stack, groups=groups, **asked)
    finally:
        stack.close()
    failed = [name for name, count in stack.errors.items() if count - before[name] == len(file.rows)]
    if failed:
        raise RunError(f"failed on every row of {file.path}: {', '.join(failed)}; the reason stands above")
    return measured


def _write(output: Path, names: list[Any], measured: list["Measurement"]) -> None:
    """Every sample; where there are two, each says whose it is."""
    import json

    of = [{"of": name} if len(names) > 1 else {} for name in names]
    lines = (
        json.dumps({**mark, **sample}, default=str) + "\n"
        for mark, made in zip(of, measured, strict=True)
        for sample in made.samples
    )
    with output.open("w", encoding="utf-8") as file:
        file.writelines(lines)


def _print(
    subject: dict[str, Any],
    names: list[Any],
    recipe: dict[str, Any],
    measured: list["Measurement"],
    matched: dict[str, Any],
    as_json: bool,
) -> None:
    import json

    from rlkit import tables

    one = measured[0]
    if len(measured) == 1:
        made = {**subject, **recipe, "metrics": one.metrics}
        click.echo(json.dumps(made) if as_json else tables.measured(one.metrics))
        return
    from rlkit import comparison

    other = measured[1]
    apart = {**comparison.compare(one.samples, other.samples), **matched}
    if as_json:
        both = {"metrics": one.metrics, "metrics_against": other.metrics}
        click.echo(json.dumps({**subject, "against": names[1], **recipe, **both, "comparison": apart}))
    else:
        click.echo(tables.compared((names[0], names[1]), (one.metrics, other.metrics), apart))
