"""Draws what a run did: losses, rewards by step, and each measurement with its interval."""

from typing import Any

from rlkit.runs import RunDirectory

INK, SOFT, GRID = "#1f2430", "#8a93a6", "#e6e9ef"
COLOURS = ("#2f6fde", "#e07b39", "#2a9d74", "#b0479a", "#c9a227", "#5b5f97", "#7a8b3c")
SMOOTH = 5
"""Steps over which a drawn curve is averaged; the raw one stands behind it."""


def draw(run: RunDirectory) -> None:
    """Write `curves.png` into the run directory.

    A panel a training stage, one for where a GRPO stage's time went, and one for the measurements.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    summary = run.summary()
    trained = list(dict.fromkeys(row["stage"] for row in run.metrics()))
    measured = [entry for entry in summary if entry["stage"] == "eval" and "harness" not in entry["metrics"]]
    timed = [name for name in trained if any("time/other" in row for row in run.metrics(name))]
    panels = len(trained) + len(timed) + bool(measured)
    if not panels:
        return
    figure, axes = plt.subplots(1, panels, figsize=(4.6 * panels, 3.6), squeeze=False, layout="constrained")
    left = iter(axes[0])
    for name in trained:
        rows = run.metrics(name)
        shown = _rewards if any("reward" in row for row in rows) else _loss
        axis = next(left)
        shown(axis, name, rows)
        _selected(axis, rows, next((entry["metrics"] for entry in summary if entry["name"] == name), {}))
        if name in timed:
            _times(next(left), name, rows)
    if measured:
        _measurements(axes[0][-1], measured)
    figure.savefig(run.path / "curves.png", dpi=150, facecolor="white")
    plt.close(figure)


def _style(axis: Any, title: str, x: str | None = None) -> None:
    axis.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold")
    axis.grid(True, axis="y", color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(colors=SOFT, labelsize=8, length=0)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(GRID)
    if x:
        axis.set_xlabel(x, fontsize=9, color=SOFT)


def _curve(axis: Any, points: list[tuple[int, float]], colour: str, label: str | None = None) -> None:
    steps, values = zip(*points, strict=True)
    half = SMOOTH // 2
    smooth = [sum(w) / len(w) for i in range(len(values)) if (w := values[max(0, i - half) : i + half + 1])]
    axis.plot(steps, values, color=colour, alpha=0.2, linewidth=1)
    axis.plot(steps, smooth, color=colour, linewidth=1.8, label=label)


def _points(rows: list[dict[str, Any]], key: str) -> list[tuple[int, float]]:
    return [(row["step"], row[key]) for row in rows if isinstance(row.get(key), int | float)]


def _loss(axis: Any, name: str, rows: list[dict[str, Any]]) -> None:
    _curve(axis, _points(rows, "loss"), COLOURS[0], "training")
    if held_out := _points(rows, "eval_loss"):
        axis.plot(*zip(*held_out, strict=True), color=COLOURS[1], linewidth=1.8, marker="o", ms=3, label="held out")
        axis.legend(frameon=False, fontsize=8)
    axis.set_yscale("log")
    _style(axis, f"{name}: loss", "step")


def _rewards(axis: Any, name: str, rows: list[dict[str, Any]]) -> None:
    keys = list(
        dict.fromkeys(key for row in rows for key in row if key.startswith("rewards/") and key.endswith("/mean"))
    )
    for key, colour in zip(keys, COLOURS * len(keys), strict=False):
        points = _points(rows, key)
        if points:
            _curve(axis, points, colour, key.split("/")[1])
    _style(axis, f"{name}: mean of each reward", "step")
    axis.legend(fontsize=8, frameon=False, labelcolor=INK)


def _selected(axis: Any, rows: list[dict[str, Any]], metrics: dict[str, Any]) -> None:
    """The figure that the checkpoint was selected by, with a line at the step that was."""
    names = [key.removeprefix("selected_") for key in metrics if key.startswith("selected_") and key != "selected_step"]
    points = _points(rows, f"eval_{names[0]}") if names else []
    if points:
        axis.plot(*zip(*points, strict=True), color=INK, linewidth=1.4, marker="o", ms=3, label=f"{names[0]}, held out")
        axis.axvline(
            metrics["selected_step"], color=SOFT, linewidth=1, linestyle=":", label="the checkpoint that is left"
        )
        axis.legend(fontsize=8, frameon=False, labelcolor=INK)


def _times(axis: Any, name: str, rows: list[dict[str, Any]]) -> None:
    """Seconds a step by what they were spent on, one on the other."""
    timed = [row for row in rows if "time/other" in row]
    parts = [key for key in timed[0] if key.startswith("time/")]
    steps = [row["step"] for row in timed]
    heights = [[row[part] for row in timed] for part in parts]
    labels = [part.removeprefix("time/") for part in parts]
    axis.stackplot(steps, heights, labels=labels, colors=(*COLOURS[: len(parts) - 1], SOFT), linewidth=0, alpha=0.85)
    highest = sorted(map(sum, zip(*heights, strict=True)))[
        int(len(steps) * 0.98)
    ]  # one slow step does not hide the rest
    axis.set_ylim(0, highest * 1.25)
    _style(axis, f"{name}: seconds a step", "step")
    axis.legend(fontsize=8, frameon=False, labelcolor=INK, ncols=3, loc="upper left")


def _measurements(axis: Any, measured: list[dict[str, Any]]) -> None:
    """Bars with intervals, for the figures that all measurements share and that lie between 0 and 1."""
    shared = [
        key.removesuffix("_low")
        for key in measured[0]["metrics"]
        if key.endswith("_low") and all(0 <= (entry["metrics"].get(key) or 0) <= 1 for entry in measured)
    ]
    names = [
        n for n in shared if n not in ("reward", "correctness") or (n == "correctness" and "accuracy" not in shared)
    ]
    names = [n for n in names if all(0 <= (entry["metrics"].get(n) or 0) <= 1 for entry in measured)]
    width = 0.8 / len(measured)
    for which, entry in enumerate(measured):
        metrics = entry["metrics"]
        values = [metrics.get(name) or 0 for name in names]
        low = [max(0, value - metrics.get(f"{name}_low", value)) for name, value in zip(names, values, strict=True)]
        high = [max(0, metrics.get(f"{name}_high", value) - value) for name, value in zip(names, values, strict=True)]
        places = [i + (which - (len(measured) - 1) / 2) * width for i in range(len(names))]
        colour = SOFT if which == 0 and len(measured) > 1 else COLOURS[(which - 1) % len(COLOURS)]
        axis.bar(places, values, width * 0.92, color=colour, label=f"{entry['name']} (n={metrics['n']})")
        axis.errorbar(places, values, yerr=[low, high], fmt="none", ecolor=INK, elinewidth=1, capsize=2)
        for place, value, above in zip(places, values, high, strict=True):
            text = f"{value:.0%}" if value in (0, 1) else f"{value:.1%}"
            at = (place, value + above)
            axis.annotate(text, at, (0, 3), textcoords="offset points", ha="center", fontsize=7, color=INK)
    axis.set_xticks(range(len(names)), names, rotation=20, ha="right")
    axis.set_ylim(0, 1.25)
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
    _style(axis, "measured, with 95% intervals")
    axis.legend(fontsize=8, frameon=False, labelcolor=INK, loc="upper left", ncols=len(measured))
