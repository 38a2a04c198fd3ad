"""Groups: the completions of one prompt."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FLAT = 1e-9
"""Rewards that differ by no more are the same."""


def split(prompts: Sequence[Any]) -> list[list[int]]:
    """The places of each group's completions, the groups in order of first appearance.

    Args:
        prompts: One a completion, texts or lists of messages; those of a group are equal.
    """
    found: dict[str, list[int]] = {}
    for index, prompt in enumerate(prompts):
        key = prompt if isinstance(prompt, str) else json.dumps(prompt, sort_keys=True, default=str)
        found.setdefault(key, []).append(index)
    return list(found.values())


def centred(values: Sequence[float], groups: Sequence[Sequence[int]]) -> list[float]:
    """Each value less the mean of its group: the advantage before it is scaled (arXiv 2402.03300, section 4.1.2)."""
    left = [0.0] * len(values)
    for group in groups:
        mean = math.fsum(values[i] for i in group) / len(group)
        for i in group:
            left[i] = values[i] - mean
    return left


def varies(values: Sequence[float | None]) -> bool:
    """Whether the values of a group differ: where they do not, every advantage is 0 and the group teaches nothing."""
    known = [value for value in values if value is not None]
    return bool(known) and max(known) - min(known) > FLAT


@dataclass
class Spread:
    """Mean, spread and groups without variance of values that arrive in batches."""

    n: int = 0
    none: int = 0
    groups: int = 0
    flat: int = 0
    """Groups of two or more whose values are all the same."""
    low: float = math.inf
    high: float = -math.inf
    _mean: float = 0.0
    _squares: float = 0.0

    def add(self, values: Sequence[float | None], groups: Sequence[Sequence[int]] = ()) -> None:
        """Take a batch; `groups` are places in it."""
        for value in values:
            if value is None:
                self.none += 1
                continue
            self.n += 1
            step = value - self._mean  # Welford's recurrence
            self._mean += step / self.n
            self._squares += step * (value - self._mean)
            self.low, self.high = min(self.low, value), max(self.high, value)
        for group in groups:
            if len(group) > 1:
                self.groups += 1
                self.flat += not varies([values[i] for i in group])

    @property
    def mean(self) -> float | None:
        """None where there is no value."""
        return self._mean if self.n else None

    @property
    def std(self) -> float | None:
        """Standard deviation of the values as they stand (divided by n)."""
        return math.sqrt(self._squares / self.n) if self.n else None

    @property
    def flat_share(self) -> float | None:
        """Share of the groups whose values are all the same; None where there is no group."""
        return self.flat / self.groups if self.groups else None

    def as_json(self) -> dict[str, float | int | None]:
        """One JSON object."""
        low, high = (self.low, self.high) if self.n else (None, None)
        made = {"mean": self.mean, "std": self.std, "min": low, "max": high, "n": self.n, "none": self.none}
        return {**made, "groups_without_variance": self.flat, "share_without_variance": self.flat_share}
