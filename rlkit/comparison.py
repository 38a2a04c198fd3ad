"""Whether one of two is better: paired figures, taken on the same prompts.

Prompts differ in difficulty far more than models do. That part of the noise is in both figures alike, so a difference
is judged by what it is on each prompt, not by whether two intervals overlap.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rlkit.intervals import bootstrap
from rlkit.measurement import of_prompts

RESAMPLES = 20_000
"""Signs that are drawn where there are too many to try them all."""


class Difference(NamedTuple):
    """How much higher the first is than the second, on average over prompts."""

    difference: float
    low: float
    """Of the 95% interval: a percentile bootstrap over prompts."""
    high: float
    p: float
    """Chance of a difference at least as large, either way, if neither were better."""
    test: str
    """`mcnemar`, or `sign-flip`."""
    n: int
    """Prompts on which both have a value."""
    better: int
    """Prompts on which the first is higher."""
    worse: int


def compare(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The differences in accuracy (where a reward judges) and in the mean reward of two measurements.

    Args:
        one: The samples of the first.
        other: The samples of the second, of the same prompts in the same order.
    """
    made = {}
    for name, field in (("accuracy", "correct"), ("reward", "reward")):
        if field in one[0] and field in other[0]:
            found = paired(of_prompts(one, field), of_prompts(other, field))
            if found:
                made[name] = {**found._asdict(), "p": float(f"{found.p:.6g}")}
    return {
        name: {key: round(v, 6) if isinstance(v, float) and key != "p" else v for key, v in found.items()}
        for name, found in made.items()
    }


def paired(one: Sequence[float | None], other: Sequence[float | None]) -> Difference | None:
    """Compare two values a prompt; a prompt where either is None is left out. None where no prompt is left.

    Args:
        one: Of the first, one a prompt.
        other: Of the second, of the same prompts in the same order.

    Raises:
        ValueError: They are not of the same number.
    """
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    if not pairs:
        return None
    differences = [a - b for a, b in pairs]
    better, worse = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    outcomes = all(value in (0.0, 1.0) for pair in pairs for value in pair)
    p = mcnemar(better, worse) if outcomes else sign_flip(differences)
    low, high = bootstrap(differences)
    test = "mcnemar" if outcomes else "sign-flip"
    return Difference(sum(differences) / len(pairs), low, high, p, test, len(pairs), better, worse)


def mcnemar(better: int, worse: int) -> float:
    """The exact two-sided test of paired 0/1 outcomes (McNemar 1947, in its binomial form).

    Args:
        better: Pairs of which only the first is 1.
        worse: Pairs of which only the second is 1.
    """
    n = better + worse
    term = below = 1
    for i in range(min(better, worse)):
        term = term * (n - i) // (i + 1)
        below += term
    return min(1.0, 2 * below / 2**n)


def sign_flip(differences: Sequence[float], resamples: int = RESAMPLES, seed: int = 0) -> float:
    """The two-sided permutation test of a mean of 0: a paired difference might have had either sign (Fisher 1935).

    Exact where all signs can be tried, else from `resamples` of them, the observed ones counted among them.
    """
    import numpy

    values = numpy.asarray([d for d in differences if d], dtype=float)
    if not len(values):
        return 1.0
    size = numpy.abs(values)
    bound = abs(values.sum()) - 1e-9 * size.sum()  # sums that are equal but for their rounding
    if 2 ** len(values) <= resamples:
        signs = 1 - 2 * ((numpy.arange(2 ** len(values))[:, None] >> numpy.arange(len(values))) & 1)
        return float((numpy.abs(signs @ values) >= bound).mean())
    rng, extreme, left = numpy.random.default_rng(seed), 0, resamples
    at_once = max(1, 4_000_000 // len(values))
    while left:
        draw = min(left, at_once)
        signs = rng.integers(0, 2, size=(draw, len(values)), dtype=numpy.int8) * 2.0 - 1.0
        extreme += int((numpy.abs(signs @ values) >= bound).sum())
        left -= draw
    return (extreme + 1) / (resamples + 1)
