"""`rlkit eval`: measure a model on a recipe's held-out data, or completions that were recorded; two side by side."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rlkit.measurement import Measurement


@click.command(
    "eval",
    short_help="Measure a model on held-out data, or recorded completions.",
    epilog="""Examples:

\b
  rlkit eval runs/quickstart-20260101-120000 --recipe quickstart
  rlkit eval ./my-model --recipe gsm8k --data test.jsonl --json
  rlkit eval ./my-model --recipe gsm8k --k 8 eval.batch_size=256
  rlkit eval ./my-model --suite gsm8k --suite humaneval --limit 100
  rlkit eval ./my-model --harness arc_easy,hellaswag harness.num_fewshot=5
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
    "--suite",
    "suites",
    multiple=True,
    metavar="SUITE",
    help="A suite (rlkit ls suites, or a YAML file) instead of a recipe; may be repeated.",
)
@click.option(
    "--harness", metavar="TASK[,TASK]", help="Tasks of lm-evaluation-harness instead of a recipe (rlkit[eval])."
)
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
@click.option("--limit", type=click.IntRange(1), metavar="N", help="The first N rows alone: sets data.limit.")
@click.option("--k", "samples", type=click.IntRange(1), help="Samples a prompt: pass@k and maj@k.")
@click.option("--plugin", "plugins", multiple=True, metavar="FILE", help="Plugin file with rewards; may be repeated.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write every sample to this jsonl file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    model: str | None,
    overrides: tuple[str, ...],
    recipe: str | None,
    task: str | None,
    suites: tuple[str, ...],
    harness: str | None,
    completions: Path | None,
    rewards: tuple[str, ...],
    columns: tuple[str, ...],
    against: str | None,
    by: str | None,
    data_path: str | None,
    limit: int | None,
    samples: int | None,
    plugins: tuple[str, ...],
    output: Path | None,
    as_json: bool,
) -> None:
    """Measure MODEL (a folder, a hub id or a run) on the held-out data of a recipe, or on suites.

    Greedy unless --k asks for samples. With --completions, measure what was recorded instead: each row has
    `completion`, the columns that the rewards need and, where a prompt has several completions, `prompt` or `question`.

    Every figure comes with its n and 95% interval. With --against, also how far the two are apart, with the interval
    and the p-value of that difference over the prompts that both have answered.
    """
    import json

    from rlkit.errors import RequestError

    if model and "=" in model and not Path(model).exists():  # an override: it stands where a model would
        overrides, model = (model, *overrides), None
    overrides = tuple(f"eval.{each}" if each.startswith("harness.") else each for each in overrides)
    if bool(model) == bool(completions):
        was = f"{model} is a MODEL, {completions} are completions" if model else "nothing is named"
        raise RequestError(f"measure a MODEL, or recorded completions with --completions FILE: {was}")
    if output and (output.exists() or not output.parent.is_dir()):
        wrong = "it exists" if output.exists() else f"there is no folder {output.parent}"
        raise RequestError(f"-o {output}: {wrong}")
    files = _files(suites)
    _one_source({"--recipe": recipe, "--task": task, "--suite": ", ".join(suites), "--harness": harness})
    if harness:
        besides = {"--completions": completions, "--data": data_path, "--by": by, "--k": samples}
        if named := [f"{option} {value}" for option, value in besides.items() if value]:
            raise RequestError(f"--harness {harness} brings its own data and figures: leave {named[0]} out")
    if len(files) > 1:
        one_each = {"--against": against, "--data": data_path, "--completions": completions}
        if named := [f"{option} {value}" for option, value in one_each.items() if value]:
            raise RequestError(f"{named[0]} goes with one --suite, and there are {len(files)}: {', '.join(files)}")
    source = str(next(iter(files.values()))) if files else recipe
    subject = {"completions": str(completions)} if completions else {"model": model}
    names = [next(iter(subject.values())), *([against] if against else [])]
    matched: dict[str, Any] = {}
    if completions:
        if data_path or limit:
            given = f"--data {data_path}" if data_path else f"--limit {limit}"
            raise RequestError(f"{given}: recorded completions bring their own data")
        from rlkit.cli import completions as recorded

        stack, asked = recorded.rewards(rewards, source, overrides, plugins)
        asked |= {**({"by": by} if by else {}), **({"ks": sorted({1, samples})} if samples else {})}
        measured = recorded.measure(completions, against, stack, columns, asked, matched)
    else:
        if rewards or columns:
            given = f"--reward {rewards[0]}" if rewards else f"--column {columns[0]}"
            raise RequestError(f"{given} goes with --completions; a model is measured by the rewards of its recipe")
        overrides = _of_data(overrides, data_path, None if harness else limit)
        if len(files) > 1:
            from rlkit import suites as several
            from rlkit.progress import Progress

            made = several.measure(str(model), files, overrides, plugins, samples, by, Progress())
            _several(str(model), made, output, as_json)
            return
        text = _harness(harness, limit) if harness else f"task: {json.dumps(task)}\n" if task else None
        called = f"--harness {harness}" if harness else f"--task {task}" if task else source
        measured = _models(names, called, text, overrides, plugins, samples, by)
    if output:
        _write(output, [{"of": name} if len(names) > 1 else {} for name in names], measured)
    measured_on = {"suite": suites[0]} if suites else {"recipe": recipe} if recipe else {}
    measured_on |= {"harness": harness} if harness else {}
    _print(subject, names, measured_on, measured, matched, as_json)


def _files(suites: tuple[str, ...]) -> dict[str, Path]:
    """The file of each suite, by the name that it was given."""
    from rlkit.errors import RequestError
    from rlkit.recipe.files import locate_suite

    if len({*suites}) < len(suites):
        raise RequestError("--suite: each suite once; for more samples of a prompt: --k N")
    return {suite: locate_suite(suite) for suite in suites}


def _one_source(given: dict[str, str | None]) -> None:
    """Refuse more than one option that says what is measured on."""
    from rlkit.errors import RequestError

    named = [f"{option} {value}" for option, value in given.items() if value]
    if len(named) > 1:
        raise RequestError(f"{named[0]} says what is measured, and so does {named[1]}: leave one of them out")


def _harness(tasks: str, limit: int | None) -> str:
    """A recipe that measures tasks of lm-evaluation-harness."""
    import json

    section = {"tasks": [task.strip() for task in tasks.split(",")], **({"limit": limit} if limit else {})}
    return json.dumps({"stages": [{"eval": {"harness": section}}]})


def _of_data(overrides: tuple[str, ...], path: str | None, limit: int | None) -> tuple[str, ...]:
    """What is said of data is meant of the data that is measured on, also where the recipe names that apart."""
    import json

    said = [f"data.path={json.dumps(path)}"] if path else []
    said += [f"data.limit={limit}"] if limit else []
    both = (*overrides, *said)
    return tuple(o for each in both for o in ((each, f"eval.{each}") if each.startswith("data.") else (each,)))


def _several(model: str, made: Iterable[tuple[str, "Measurement"]], output: Path | None, as_json: bool) -> None:
    """Tell what a model came to on several suites; where one fails, what was measured is told before the error."""
    import json

    from rlkit import suites

    measured: dict[str, Measurement] = {}
    try:
        measured.update(made)
    finally:
        if measured:
            if output:
                _write(output, [{"suite": name} for name in measured], list(measured.values()))
            metrics = {name: one.metrics for name, one in measured.items()}
            listed = [{"suite": name, "metrics": of} for name, of in metrics.items()]
            click.echo(json.dumps({"model": model, "suites": listed}) if as_json else suites.table(metrics))


def _models(
    models: list[Any],
    recipe: str | None,
    text: str | None,
    overrides: tuple[str, ...],
    plugins: tuple[str, ...],
    samples: int | None,
    by: str | None,
) -> list["Measurement"]:
    """Measure models on the recipe of that name, or on the one whose text is given."""
    from rlkit.errors import RequestError
    from rlkit.recipe.load import load

    if not recipe:
        raise RequestError(
            f"measure {models[0]} on what? Name a recipe's data and rewards with --recipe RECIPE, a suite with "
            f"--suite SUITE (rlkit ls suites), --harness TASK, or --task T --data D"
        )
    loaded = load(recipe, overrides, plugins, evaluate=True, text=text)
    from rlkit import side_by_side
    from rlkit.progress import Progress

    return side_by_side.evaluate(loaded, models, samples, by, Progress())


def _write(output: Path, marks: Sequence[dict[str, Any]], measured: list["Measurement"]) -> None:
    """Every sample; the mark of each measurement says whose its samples are."""
    import json

    lines = (
        json.dumps({**mark, **sample}, default=str) + "\n"
        for mark, made in zip(marks, measured, strict=True)
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
