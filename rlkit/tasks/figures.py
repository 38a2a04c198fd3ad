"""The figures of a task over a corpus, each with n, and the one that counts with its interval."""

import random
import time
from collections.abc import Sequence
from typing import Any

from rlkit.intervals import interval
from rlkit.tasks.task import Example, Task

RESAMPLES, SECONDS = 200, 10.0
"""Of a bootstrap over the corpus: how many, in what time at the most."""


def figures(
    task: Task, predictions: Sequence[Any], examples: Sequence[Example], metric: str | None = None
) -> dict[str, Any]:
    """`task.measure`, with a 95% interval of its metric, or of another figure (NAME_low, NAME_high).

    The interval is that of a mean where the metric is one (Wilson's where it is a share); else the percentiles of a
    bootstrap over the examples (Efron 1979).
    """
    metric = metric or task.metric
    started = time.monotonic()
    made: dict[str, Any] = dict(task.measure(predictions, examples))
    took = time.monotonic() - started
    values = task.scores(predictions, examples)
    if values is not None:
        low, high = interval(values)
    else:
        low, high = _resampled(
            task, metric, predictions, examples, max(20, min(RESAMPLES, int(SECONDS / max(took, 1e-9))))
        )
    return {"n": len(examples), **made, f"{metric}_low": low, f"{metric}_high": high}


def _resampled(
    task: Task, metric: str, predictions: Sequence[Any], examples: Sequence[Example], resamples: int
) -> tuple[float, float]:
    rng, n, found = random.Random(0), len(examples), []
    for _ in range(resamples):
        rows = rng.choices(range(n), k=n)
        found.append(task.measure([predictions[i] for i in rows], [examples[i] for i in rows])[metric])
    found.sort()
    return found[int(0.025 * resamples)], found[min(resamples - 1, int(0.975 * resamples))]


def of_text(task: Task, completions: Sequence[str], examples: Sequence[Example]) -> tuple[dict[str, Any], list[Any]]:
    """The figures of completions, with `unreadable`, the share that could not be read and counts as wrong.

    Returns:
        Metrics, and the prediction that each completion was read as (None: not readable).
    """
    read = [task.parse(text, example) for text, example in zip(completions, examples, strict=True)]
    taken = [task.unread(example) if p is None else p for p, example in zip(read, examples, strict=True)]
    missing = sum(prediction is None for prediction in read) / max(len(read), 1)
    return {**figures(task, taken, examples, task.text_metric), "unreadable": missing}, read
