"""`rlkit eval`: measure a model on a recipe's held-out data."""

from pathlib import Path

import click


@click.command(
    "eval",
    short_help="Measure a model on a recipe's held-out data.",
    epilog="""Examples:

\b
  rlkit eval runs/quickstart-20260101-120000 --recipe quickstart
  rlkit eval ./my-model --recipe gsm8k --data test.jsonl --json
  rlkit eval ./my-model --recipe gsm8k --k 8 eval.batch_size=256""",
)
@click.argument("model")
@click.argument("overrides", nargs=-1, metavar="[a.b=v]...")
@click.option("--recipe", required=True, metavar="RECIPE", help="Whose data, rewards and generation are used.")
@click.option("--data", "data_path", metavar="PATH", help="Other data: sets data.path.")
@click.option("--k", "samples", type=click.IntRange(1), help="Samples a prompt: pass@k and maj@k.")
@click.option("--plugin", "plugins", multiple=True, metavar="FILE", help="Plugin file with rewards; may be repeated.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write every sample to this jsonl file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    model: str,
    overrides: tuple[str, ...],
    recipe: str,
    data_path: str | None,
    samples: int | None,
    plugins: tuple[str, ...],
    output: Path | None,
    as_json: bool,
) -> None:
    """Measure MODEL (a folder, a hub id or a run) on the held-out data of a recipe.

    Greedy unless --k asks for samples. Every figure comes with its n and 95% interval.
    """
    import json

    from rlkit.errors import RequestError
    from rlkit.recipe.load import load

    if output and (output.exists() or not output.parent.is_dir()):
        wrong = "it exists" if output.exists() else f"there is no folder {output.parent}"
        raise RequestError(f"-o {output}: {wrong}")
    overrides = (*overrides, *([f"data.path={json.dumps(data_path)}"] if data_path else []))
    # What is said of data is meant of the data that is measured on, also where the recipe names that apart.
    overrides = tuple(
        o for each in overrides for o in ((each, f"eval.{each}") if each.startswith("data.") else (each,))
    )
    loaded = load(recipe, overrides, plugins, evaluate=True)
    from rlkit import pipeline
    from rlkit.progress import Progress

    measured = pipeline.evaluate(loaded, model, samples, Progress())
    if output:
        output.write_text("".join(json.dumps(sample, default=str) + "\n" for sample in measured.samples))
    if as_json:
        click.echo(json.dumps({"model": model, "recipe": recipe, "metrics": measured.metrics}))
        return
    for name, value in measured.metrics.items():
        if not name.endswith(("_low", "_high")):
            low, high = measured.metrics.get(f"{name}_low"), measured.metrics.get(f"{name}_high")
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            click.echo(f"{name:<16} {shown:<8}" + (f" [{low:.3g}, {high:.3g}]" if low is not None else ""))
