"""Suites: recipes that only measure, and several of them on one model."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlkit import measuring, tables
from rlkit.errors import RequestError
from rlkit.measurement import Measurement
from rlkit.progress import Progress
from rlkit.recipe.load import load


def measure(
    model: str,
    suites: Mapping[str, Path],
    overrides: tuple[str, ...] = (),
    plugins: tuple[str, ...] = (),
    samples: int | None = None,
    by: str | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[str, Measurement]]:
    """Measure a model on one suite after the other, each as `rlkit eval MODEL --recipe SUITE` would.

    Args:
        model: A folder, a hub id, or a run directory.
        suites: Name -> file (`rlkit.recipe.files.locate_suite`).
        overrides: `a.b=v`, laid over each.
        plugins: Plugin files.
        samples: Completions a prompt instead of the suites'.
        by: A column by whose values accuracy and reward are told apart, instead of the suites'.
        progress: Where lines for a person go.

    Returns:
        Name and measurement of each suite, as soon as it is there.

    Raises:
        RequestError: One of them cannot be measured; with what is wrong with all of them, before a model is loaded.
    """
    progress, plans, wrong = progress or Progress(quiet=True), {}, []
    for name, file in suites.items():
        try:
            recipe = load(str(file), overrides, plugins, evaluate=True)
            plans[name] = measuring.plan(recipe, model, samples, by)
        except RequestError as error:
            wrong.append(f"suite {name}: {error}")
    if wrong:
        raise RequestError("\n".join(wrong))
    for number, (name, plan) in enumerate(plans.items(), start=1):
        progress.say(f"suite {number}/{len(plans)} {name}")
        yield name, measuring.run(plan, progress)
        gc.collect()  # the next one loads the model again


def table(measured: Mapping[str, dict[str, Any]]) -> str:
    """A row a suite: its main figure with interval and n, and how many completions were cut off.

    Args:
        measured: Name -> metrics.
    """
    rows: list[Sequence[str]] = [("suite", "figure", "value", "95% interval", "n", "clipped")]
    for name, metrics in measured.items():
        figure = main_figure(metrics)
        value, clipped = tables.number(metrics.get(figure)), tables.number(metrics.get("clipped"))
        rows.append((name, figure, value, tables.between(metrics, figure), tables.number(metrics["n"]), clipped))
    return tables.aligned(rows)


def main_figure(metrics: dict[str, Any]) -> str:
    """The figure that a suite is about: accuracy, where something says what is correct; else the first there is."""
    return "accuracy" if "accuracy" in metrics else next(iter(tables.named(metrics)), "reward")
