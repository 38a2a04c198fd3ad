"""Every task trained on real data beside its baseline: python benchmarks/tasks/table.py [TASK ...] [--json]

Each recipe in this folder is run as a user would run it, on one CPU thread: small models from scratch, minutes each.
A row is the task's metric over rows that were held out, with its interval, what one gets there without a model, and
what there is to reach; where it is not reached, the exit code is 1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rlkit import data, sources
from rlkit.progress import Progress
from rlkit.recipe.load import load
from rlkit.recipe.recipe import Stage

FOLDER = Path(__file__).parent
RECIPES = {file.stem: file for file in sorted(FOLDER.glob("*.yaml"))}
MARGINS = {
    "causal-lm": 0.4,
    "causal-lm-code": 0.5,
    "masked-lm": 0.8,
    "question-answering": 0.08,
    "sft": 0.05,
    "summarization": 0.015,
    "text-classification": 0.6,
    "token-classification": 0.08,
    "translation": 2.0,
}
"""How much more than the baseline there is to reach; of a figure that falls, what share of the baseline."""


def measure(file: Path, run: Path, overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run a recipe; returns what its last stage measured, beside the baseline."""
    command = [sys.executable, "-m", "rlkit", "train", str(file), *overrides, "--run-dir", str(run)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    summary = json.loads((run / "summary.json").read_text())
    *_, last = load(str(file), overrides).resolved()
    assert last.task is not None
    found, metric = summary[-1]["metrics"], last.task.metric
    name, value = baseline(last) if last.kind == "eval" else ("", found[f"baseline_{metric}"])
    if last.kind == "eval" and metric not in found:
        metric = last.task.text_metric or metric
    falls = last.task.falls and metric == last.task.metric
    reach = value * MARGINS[file.stem] if falls else value + MARGINS[file.stem]
    return {
        "task": file.stem,
        "metric": metric,
        "figure": found[metric],
        "low": found.get(f"{metric}_low"),
        "high": found.get(f"{metric}_high"),
        "baseline": value,
        "without a model": name,
        "to reach": reach,
        "reached": found[metric] <= reach if falls else found[metric] >= reach,
        "n": found["n"],
        "seconds": sum(stage["seconds"] for stage in summary),
    }


def baseline(stage: Stage) -> tuple[str, float]:
    """What the stage's task gets on its rows without a model."""
    assert stage.task is not None
    rows = data.examples(sources.load(stage.data, FOLDER), stage.data, stage.task).dataset
    task = stage.task.fit(rows)
    name, predictions = task.baseline(list(rows), list(rows))
    return name, task.measure(predictions, list(rows))[task.metric]


def show(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    print("| task | metric | figure | 95% interval | baseline | to reach | n | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        between = "" if row["low"] is None else f"{row['low']:.3g} to {row['high']:.3g}"
        cells = (row["task"], row["metric"], f"{row['figure']:.3g}", between, f"{row['baseline']:.3g}")
        print("| " + " | ".join(map(str, (*cells, f"{row['to reach']:.3g}", row["n"], f"{row['seconds']:.0f}"))) + " |")


def main() -> None:
    """Run the recipes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", help=f"all where none is named: {', '.join(RECIPES)}")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    progress, rows = Progress(), []
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.tasks or RECIPES:
            progress.say(name)
            rows.append(measure(RECIPES[name], Path(folder) / name))
    if asked.json:
        print(json.dumps(rows))
    else:
        show(rows)
    missed = [row["task"] for row in rows if not row["reached"]]
    sys.exit(f"not reached: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
