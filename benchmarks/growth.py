"""How the training part of a step grows beside TRL's: with the group, the completion, and the model. Draws the curves.

One prompt of 128 tokens; the group goes from 4 to 64 (completions of 32 tokens), the completion from 32 to 512 (a group
of 4), the model from 0.9M to 360M (a group of 8, 32 tokens). LoRA r=16.
"""

import argparse
from pathlib import Path
from typing import Any

import measure
import trainers

PROMPT = 128
GROUPS, COMPLETIONS = (4, 8, 16, 32, 64), (32, 64, 128, 256, 512)
MODELS = ("0.9M", "14M", "135M", "360M")


def point(model: str, dtype: str, group: int, completion: int, runs: int) -> measure.Row:
    """Seconds of both sides."""
    policy = measure.models(model, dtype)
    inputs = trainers.batch(policy, 1, group, PROMPT, completion)
    sides = trainers.pair(policy, group, lora=True, num_generations=group, max_completion_length=completion)
    seconds = measure.interleave(runs, {name: trainers.step(sides[name], inputs) for name in sides})
    said = f"training part, {model} {dtype}, group of {group}, {PROMPT} + {completion} tokens (s)"
    return measure.row(said, seconds["ours"], seconds["theirs"], higher_is_better=False)


def draw(curves: dict[str, tuple[Any, list[measure.Row]]], file: Path) -> None:
    """A panel a curve, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(curves), figsize=(4.4 * len(curves), 3.4), layout="constrained")
    for axis, (title, (places, rows)) in zip(axes, curves.items(), strict=True):
        x = list(range(len(places)))
        for side, colour in (("theirs", "#8a93a6"), ("ours", "#2f6fde")):
            label = "TRL" if side == "theirs" else "rlkit"
            axis.plot(x, [row[side] for row in rows], "o-", color=colour, label=label)  # type: ignore[literal-required]
        for at, row in zip(x, rows, strict=True):
            where = (at, row["ours"])
            axis.annotate(f"{row['ratio']:.2f}x", where, (0, -13), textcoords="offset points", ha="center", fontsize=7)
        axis.set_xticks(x, [str(place) for place in places])
        axis.set_yscale("log")
        axis.margins(0.08, 0.12)
        axis.set_title(title, loc="left", fontsize=11, fontweight="bold")
        axis.set_ylabel("seconds")
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        axis.legend(frameon=False)
    figure.savefig(file, dpi=140, facecolor="white")


def main() -> None:
    """Measure every point, print the rows, draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="14M", help="the model of the first two curves")
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--plot", type=Path, default=Path(__file__).parent / "growth.png")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    base, dtype, runs = asked.base, asked.dtype, asked.runs
    curves = {
        "completions of a group": (GROUPS, [point(base, dtype, n, 32, runs) for n in GROUPS]),
        "tokens of a completion": (COMPLETIONS, [point(base, dtype, 4, n, runs) for n in COMPLETIONS]),
        "parameters": (asked.models, [point(model, dtype, 8, 32, runs) for model in asked.models]),
    }
    measure.show([row for _, rows in curves.values() for row in rows], asked.json)
    draw(curves, asked.plot)


if __name__ == "__main__":
    main()
