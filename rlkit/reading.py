"""Reads learning curves in words: overfitting, underfitting, erratic, or converged, each with its evidence.

A curve is noisy, so whatever is said of a trend is said of a line through several points, and only where the line
moves by more than noise would move it. What the bounds below are worth depends on the task; they are on the side of
saying nothing.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

RISE, SINCE = 0.05, 2
"""Overfitting: the share by which the evaluation has worsened since its best, and the evaluations that this takes."""
FALLING = 0.05
"""Underfitting, where nothing was evaluated: the share by which the training loss falls over the last quarter."""
SLIGHTLY = 0.01
"""Underfitting: the share by which the evaluation improves over the last quarter, and the training loss falls too."""
JUMPY = 0.2
"""Erratic: the size of the losses' jumps from their trend (root mean square), as a share of the loss there."""
RISEN = 0.3
"""Erratic as well: the share by which the mean of a few losses is above what it was before."""
POINTS, FEW = 8, 4
"""Losses that a curve has at the least, and its last quarter, or the mean at a step."""
SURE = 2.0
"""How many of its standard errors a trend moves where it is one."""
BEYOND = 3.0
"""How many of the usual jumps a value is away where it is no jump itself."""


class Curve(NamedTuple):
    """Steps and values that fall while things improve."""

    steps: list[int]
    values: list[float]
    sign: int = 1
    """-1 where the values are those of a metric that is better the greater it is."""

    def figure(self, value: float) -> str:
        """A value as it was logged."""
        return f"{self.sign * value:.3g}"

    def lowest(self) -> int:
        """The place of the first of the lowest values."""
        return min(range(len(self.values)), key=self.values.__getitem__)

    def before(self, step: float) -> int:
        """The place of the last value up to a step; else of the first."""
        return max((i for i, own in enumerate(self.steps) if own <= step), default=0)

    def since(self, step: float) -> "Curve":
        """The part from a step on."""
        first = next((i for i, own in enumerate(self.steps) if own >= step), len(self.steps))
        return Curve(self.steps[first:], self.values[first:], self.sign)


class Trend(NamedTuple):
    """A line through a part of a curve."""

    start: float
    end: float
    change: float
    """Of the value from start to end, as a share of its size at the start: below 0 it fell."""
    clear: bool
    """Whether it is more than noise."""


def read(rows: Sequence[dict[str, Any]], metric: str | None = None, falls: bool = False) -> list[str]:
    """What the curves of a training stage say, a sentence each.

    Args:
        rows: Of metrics.jsonl: with "step", and "loss" where it is of training; "eval_loss" and "eval_METRIC" where
            the model was measured.
        metric: The task's. It says which step is best where there is one, and stands for the evaluation's loss where
            that was not logged.
        falls: Whether the metric is better the smaller it is.
    """
    unmeasurable = next((row["step"] for row in rows if not _finite(row.get("loss", 0.0))), None)
    if unmeasurable is not None:
        return [f"erratic: the training loss is no number at step {unmeasurable}: lower the learning rate"]
    training = _curve(rows, "loss")
    judged, word = _curve(rows, "eval_loss"), "evaluation loss"
    if not judged.steps and metric:
        judged, word = _curve(rows, f"eval_{metric}", 1 if falls else -1), f"evaluation's {metric}"
    if len(training.steps) < POINTS:
        return [f"too short to read: {len(training.steps)} losses were logged, and a curve takes {POINTS}"]
    best = _best(rows, metric, falls)
    over = _overfitting(training, judged, word, best)
    found = [over, "" if over else _underfitting(training, judged, word), _erratic(training)]
    return [sentence for sentence in found if sentence] or [_converged(training, judged, word, best)]


def exploited(rows: Sequence[dict[str, Any]], metric: str, falls: bool = False) -> str:
    """Whether the training reward rises while a metric on held-out data falls; "" where it does not, or not clearly.

    The metric has fallen where it is outside of the best measurement's interval, or, without an interval, worse at the
    last two measurements; the reward rises where the line through it since that measurement does, by more than noise.

    Args:
        rows: Of metrics.jsonl, with "reward" at the training steps and "eval_METRIC" where the policy was measured.
        metric: What was measured.
        falls: Whether it is better the smaller it is.
    """
    measured = _curve(rows, f"eval_{metric}", 1 if falls else -1)
    if not measured.steps:
        return ""
    low = measured.lowest()
    step, best, after = measured.steps[low], measured.values[low], measured.values[low + 1 :]
    reward = _curve(rows, "reward").since(step)
    if not after or len(reward.steps) < FEW:
        return ""
    bounds = _curve(rows, f"eval_{metric}_{'high' if falls else 'low'}", measured.sign)
    bound = dict(zip(bounds.steps, bounds.values, strict=True)).get(step)
    if after[-1] <= best if bound is None else after[-1] <= bound:
        return ""
    if bound is None and (len(after) < SINCE or min(after[-SINCE:]) <= best):
        return ""
    trend = _trend(reward)
    if not trend.clear or trend.end <= trend.start:
        return ""
    start, end = _mean(reward.values[:FEW]), _mean(reward.values[-FEW:])
    return (
        f"the training reward rises ({start:.3g} to {end:.3g} since step {step}) while {metric} on held-"
        f"out data gets worse ({measured.figure(best)} at step {step}, {measured.figure(after[-1])} at step "
        f"{measured.steps[-1]}): the policy may be exploiting the reward: read its completions, and `rlkit audit` it"
    )


def _overfitting(training: Curve, judged: Curve, word: str, best: str) -> str:
    if len(judged.values) <= SINCE:
        return ""
    low = judged.lowest()
    step, lowest, after = judged.steps[low], judged.values[low], judged.values[low + 1 :]
    bound = lowest + max(RISE * abs(lowest), BEYOND * _jumps(judged.values))
    if len(after) < SINCE or min(after[-SINCE:]) <= bound:
        return ""
    then, now = _near(training, step), _mean(training.values[-FEW:])
    noise = _jumps(training.since(step).values) * math.sqrt(2 / FEW)
    if then - now <= BEYOND * noise:
        return ""
    rose = (judged.values[-1] - lowest) / max(abs(lowest), 1e-12)
    measured = f"{judged.figure(lowest)}; {judged.figure(judged.values[-1])} at step {judged.steps[-1]}"
    return (
        f"overfitting: the {word} has worsened by {rose:.0%} over the {len(after)} evaluations since step {step} "
        f"({measured}), while the training loss fell from {then:.3g} to {now:.3g}: take the model of step {step}"
        f"{best and f' ({best})'}; train for fewer steps, or with more data or regularisation"
    )


def _underfitting(training: Curve, judged: Curve, word: str) -> str:
    """With evaluations they decide, as what is learnt of the training data alone is no reason to go on."""
    half, quarter = _last(training, 2), _last(training, 4)
    over_half, over_quarter = _trend(half), _trend(quarter)
    if len(judged.values) > SINCE:
        start = judged.before(quarter.steps[0])
        before, last = judged.values[start], judged.values[-1]
        improves = last <= min(judged.values) and last < before - SLIGHTLY * abs(before)
        if not (improves and over_half.clear and over_half.change < -SLIGHTLY):
            return ""
        part, trend, name = half, over_half, "half"
        seen = f", and the {word} improved from {judged.figure(before)} at step {judged.steps[start]} to "
        seen += f"{judged.figure(last)} at step {judged.steps[-1]}"
    else:
        if over_quarter.change > -FALLING or not (over_quarter.clear or over_half.clear):
            return ""
        part, trend, name, seen = quarter, over_quarter, "quarter", ""
    fell = f"the training loss still fell by {-trend.change:.0%} over the last {name} of the steps"
    where = f"from {trend.start:.3g} at step {part.steps[0]} to {trend.end:.3g} at step {part.steps[-1]}"
    return f"underfitting: {fell} ({where}){seen}: train for more steps"


def _erratic(training: Curve) -> str:
    """Jumps are taken as a share of the loss, but of no less than a tenth of the first: near 0 they do not matter."""
    values = training.values
    least = 0.1 * max(values[0], 1e-12)
    late = values[len(values) // 4 :]  # the first fall is steep, and no jump
    size = _jumps(late) / max(_mean(late), least)
    if size > JUMPY:
        evidence = f"the training loss jumps by {size:.0%} of its size from one log to the next"
        between = f"between {min(late):.3g} and {max(late):.3g} from step {training.steps[-len(late)]} on"
        return f"erratic: {evidence} ({between}): {_MEND}"
    means = [_mean(values[i : i + FEW]) for i in range(len(values) - FEW + 1)]
    rises = []
    low, place = values[0], 0
    for i, mean in enumerate(means):
        if i >= FEW and means[i - FEW] < low:
            low, place = means[i - FEW], i - FEW
        rises.append((mean - low, low, place, i))
    rise, low, start, end = max(rises)
    if rise > max(RISEN * max(low, least), BEYOND * _jumps(values)):
        rose = f"the training loss rose from {low:.3g} at step {training.steps[start]}"
        return f"erratic: {rose} to {means[end]:.3g} at step {training.steps[end + FEW - 1]}: {_MEND}"
    return ""


_MEND = "lower the learning rate, or take larger batches"


def _converged(training: Curve, judged: Curve, word: str, best: str) -> str:
    now = _mean(training.values[-FEW:])
    evidence = f"the training loss is {now:.3g} at step {training.steps[-1]}, from {training.values[0]:.3g}"
    if judged.values:
        low = judged.lowest()
        lowest = f"at its best {judged.figure(judged.values[low])} at step {judged.steps[low]}"
        evidence += f"; the {word} is {judged.figure(judged.values[-1])}, {lowest}"
    return f"converged: {evidence}; {best}" if best else f"converged: {evidence}"


def _curve(rows: Sequence[dict[str, Any]], key: str, sign: int = 1) -> Curve:
    points = {row["step"]: sign * float(row[key]) for row in rows if _number(row.get(key)) and _finite(row[key])}
    steps = sorted(points)
    return Curve(steps, [points[step] for step in steps], sign)


def _best(rows: Sequence[dict[str, Any]], metric: str | None, falls: bool) -> str:
    """The step at which the metric was best, and its figures there and at the end."""
    curve = _curve(rows, f"eval_{metric}", 1 if falls else -1) if metric else Curve([], [])
    if not curve.steps:
        return ""
    low = curve.lowest()
    end = f", {curve.figure(curve.values[-1])} at the end" if low < len(curve.values) - 1 else ""
    return f"{metric} was best at step {curve.steps[low]}: {curve.figure(curve.values[low])}{end}"


def _last(curve: Curve, part: int) -> Curve:
    """The last half or quarter of the steps, or as many points as a trend takes."""
    found = curve.since(curve.steps[0] + (1 - 1 / part) * (curve.steps[-1] - curve.steps[0]))
    n = max(len(found.steps), FEW)
    return Curve(curve.steps[-n:], curve.values[-n:], curve.sign)


def _trend(curve: Curve) -> Trend:
    """The least-squares line; its change is clear where it is over so many of its standard errors."""
    n = len(curve.values)
    middle, mean = _mean(curve.steps), _mean(curve.values)
    spread = math.fsum((step - middle) ** 2 for step in curve.steps)
    points = list(zip(curve.steps, curve.values, strict=True))
    slope = math.fsum((step - middle) * (value - mean) for step, value in points) / spread
    rest = math.fsum((value - mean - slope * (step - middle)) ** 2 for step, value in points)
    error = math.sqrt(rest / max(n - 2, 1) / spread)
    start, end = (mean + slope * (step - middle) for step in (curve.steps[0], curve.steps[-1]))
    change = (end - start) / max(abs(start), 1e-12)
    return Trend(start, end, change, abs(slope) > SURE * error)


def _jumps(values: Sequence[float]) -> float:
    """How far values are from the line between their neighbours, as the standard deviation of such noise."""
    off = [b - (a + c) / 2 for a, b, c in zip(values, values[1:], values[2:], strict=False)]
    return math.sqrt(_mean([each**2 for each in off]) / 1.5) if off else 0.0


def _near(curve: Curve, step: int) -> float:
    """The mean of the points nearest to a step."""
    nearest = sorted(range(len(curve.steps)), key=lambda i: abs(curve.steps[i] - step))[:FEW]
    return _mean([curve.values[i] for i in nearest])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: Any) -> bool:
    return not _number(value) or math.isfinite(value)
