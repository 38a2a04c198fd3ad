"""Writes report.html: one page, no network, that shows what a run did."""

import base64
import importlib.resources
import json
from pathlib import Path
from typing import Any

from rlkit.progress import duration
from rlkit.runs import RunDirectory

SAMPLES = 6


def write(run: RunDirectory) -> Path:
    """Write the page of a run, from what its directory holds; returns its path."""
    import jinja2

    template = importlib.resources.files("rlkit").joinpath("report.html").read_text()
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["duration"] = duration
    picture = run.path / "curves.png"
    page = environment.from_string(template).render(
        name=run.path.name,
        stages=[{**entry, "rows": _figures(entry["metrics"])} for entry in run.summary()],
        picture=base64.b64encode(picture.read_bytes()).decode() if picture.exists() else None,
        samples=_samples(run),
        recipe=(run.path / "recipe.yaml").read_text(),
        env=json.dumps(json.loads((run.path / "env.json").read_text()), indent=2),
    )
    path = run.path / "report.html"
    path.write_text(page)
    return path


def _figures(metrics: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(name, value, interval) of each figure."""
    rows = []
    for name, value in metrics.items():
        if name.endswith(("_low", "_high")) or (isinstance(value, dict) and name != "time"):
            continue
        low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
        if name == "time":
            whole = sum(value.values()) or 1.0
            shown = ", ".join(f"{part} {seconds / whole:.0%}" for part, seconds in value.items())
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        rows.append((name, shown, f"{low:.3g} to {high:.3g}" if low is not None and high is not None else ""))
    return rows


def _samples(run: RunDirectory) -> list[dict[str, Any]]:
    """The first samples of the last measurement: not chosen, so that they show what is usual."""
    files = sorted(run.path.glob("*/samples.jsonl"), key=lambda file: int(file.parent.name.partition("-")[0]))
    if not files:
        return []
    rows = [json.loads(line) for line in files[-1].read_text().splitlines()[:SAMPLES]]
    for row in rows:
        prompt = row.get("prompt")
        if prompt is None:  # of a task's classic pipeline
            row["question"] = json.dumps({key: row[key] for key in row if key != "prediction"}, ensure_ascii=False)
            row["completion"] = json.dumps(row["prediction"], ensure_ascii=False)
        else:
            row["question"] = prompt if isinstance(prompt, str) else prompt[-1]["content"]
    return rows
