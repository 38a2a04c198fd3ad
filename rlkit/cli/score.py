"""`rlkit score`: rewards over saved completions."""

import functools
from pathlib import Path
from typing import Any

import click


@click.command(
    "score",
    short_help="Score saved completions.",
    epilog="""Examples:

\b
  rlkit score rollouts.jsonl --reward xmlcount --reward correctness:weight=2
  rlkit score rollouts.parquet --recipe gsm8k --column answer=gold -o scored.jsonl
  rlkit score rollouts.jsonl --reward accuracy --against correctness
  rlkit score rollouts.jsonl --reward accuracy --explain
  rlkit score runs/first --reward repetition""",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[a.b=v]...")
@click.option("--reward", "rewards", multiple=True, metavar="NAME[:k=v,...]", help="A reward; may be repeated.")
@click.option("--recipe", metavar="RECIPE", help="The rewards of a recipe.")
@click.option("--plugin", "plugins", multiple=True, metavar="FILE", help="Plugin file with rewards; may be repeated.")
@click.option("--column", "columns", multiple=True, metavar="NAME=ITS_NAME", help="What a column is called in FILE.")
@click.option("--against", multiple=True, metavar="RECIPE|NAME[:k=v,...]", help="Another stack to compare with.")
@click.option("--tokenizer", metavar="MODEL", help="Counts tokens, for rewards that do, where FILE has no token ids.")
@click.option("--explain", is_flag=True, help="Tell for each row which rule took which answer from where.")
@click.option("--workers", type=click.IntRange(1), help="Processes that score; the cores at hand, at most 8.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write each row with its rewards to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    file: Path,
    overrides: tuple[str, ...],
    rewards: tuple[str, ...],
    recipe: str | None,
    plugins: tuple[str, ...],
    columns: tuple[str, ...],
    against: tuple[str, ...],
    tokenizer: str | None,
    explain: bool,
    workers: int | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Score the completions in FILE (.jsonl, .jsonl.gz, .parquet, or a folder or run with such files).

    Each row has `completion`, the columns that the rewards need and, for statistics of groups, `prompt`; the rows of a
    group stand together. A million rows take no more memory than a thousand, and come out in their order.

    Exit 1 where a reward failed on every row.
    """
    import json

    from rlkit import saved
    from rlkit import workers as pool
    from rlkit.errors import RequestError, RunError
    from rlkit.plugins import load_file
    from rlkit.progress import Progress
    from rlkit.recipe import spec
    from rlkit.recipe.files import builtin
    from rlkit.scoring import RewardStack

    if output and (output.exists() or not output.parent.is_dir()):
        wrong = "it exists" if output.exists() else f"there is no folder {output.parent}"
        raise RequestError(f"-o {output}: {wrong}")
    if overrides and not recipe:
        raise RequestError(f"{overrides[0]} changes a recipe: name it with --recipe")
    for plugin in plugins:
        load_file(plugin)
    mapped = dict(_pair(column) for column in columns)
    processes = workers or min(8, pool.cores())
    stack = RewardStack(spec.terms(rewards, recipe, overrides), max_error_rate=1.0, processes=processes)
    other = None
    if against:
        recipes = [a for a in against if a in builtin() or a.endswith((".yaml", ".yml"))]
        if len(recipes) > 1:
            raise RequestError("--against takes one recipe, or rewards")
        terms = spec.terms(tuple(a for a in against if a not in recipes), recipes[0] if recipes else None)
        other = RewardStack(terms, max_error_rate=1.0, processes=processes)
    progress = Progress()
    total = saved.count(file) if file.exists() else None
    summary = saved.to_file(
        file,
        stack,
        output,
        columns=mapped,
        against=other,
        tokenizer=_tokenizer(tokenizer) if tokenizer else None,
        explain=functools.partial(_explain, as_json) if explain else None,
        done=progress.count("scored", total) if total else None,
    )
    click.echo(json.dumps(summary.as_json()) if as_json else _table(summary))
    counts = [*summary.errors.items(), *summary.errors_against.items()]
    failed = [name for name, count in counts if count == summary.rows]
    if failed:
        raise RunError(f"failed on every row: {', '.join(failed)}; the reason stands above")


def _pair(column: str) -> tuple[str, str]:
    from rlkit.errors import RequestError

    name, equals, there = column.partition("=")
    if not equals or not name or not there:
        raise RequestError(f"--column {column}: write NAME=ITS_NAME, as answer=gold")
    return name, there


def _tokenizer(path: str) -> Any:
    from rlkit.errors import RequestError
    from rlkit.policy import load_tokenizer
    from rlkit.recipe.model import ModelSection

    try:
        return load_tokenizer(ModelSection(path=path))
    except (OSError, ValueError) as error:
        raise RequestError(f"--tokenizer {path}: {str(error).splitlines()[0]}") from None


def _explain(aside: bool, number: int, found: Any) -> None:
    said = "no answer"
    if found is not None:
        said = f"{found.text!r} by the rule {found.rule}, from {found.start} to {found.end}"
    click.echo(f"row {number}: {said}", err=aside)


def _table(summary: Any) -> str:
    heads = ("reward", "mean", "std", "min", "max", "none", "errors", "timeouts", "no variance")
    rows = [heads]
    for name, spread in [*summary.rewards.items(), ("total", summary.total)]:
        figures = ("-" if v is None else f"{v:.4g}" for v in spread.as_json().values())
        mean, std, low, high, _, none, _, share = figures
        share = share if spread.flat_share is None else f"{spread.flat_share:.1%}"
        errors = (str(counts.get(name, "-")) for counts in (summary.errors, summary.timeouts))
        rows.append((name, mean, std, low, high, none, *errors, share))
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.append(f"{summary.rows:,} rows, {summary.groups:,} groups")
    if summary.rules:
        lines.append("answers by rule: " + ", ".join(f"{rule} {n:,}" for rule, n in summary.rules.most_common()))
    if summary.compared:
        lines.append(f"advantage changed its sign on {summary.flips:,} of {summary.rows:,} completions")
        for flip in summary.examples:
            text = (
                flip.completion if len(flip.completion) < 80 else f"{flip.completion[:38]} ... {flip.completion[-38:]}"
            )
            lines.append(f"  row {flip.row}: {flip.before:+.3g} -> {flip.after:+.3g}  {text!r}")
    return "\n".join(lines)
