"""Runs a stack of rewards over a batch of completions.

A reward that fails gives None and is counted: 0.0 would teach the policy that a broken grader is a wrong
answer. Where it failed on too many of the last completions, the run stops with the last error.
"""

import inspect
import logging
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from rlkit.errors import RunError
from rlkit.function import Reward, now

logger = logging.getLogger(__name__)
LAST = 100
"""Completions over which the error rate is taken."""
ENOUGH = 10
"""Completions from which on it says something."""

Scores = dict[str, list[float | None]]


class RewardStack:
    """Rewards with weights, as GRPO sums them.

    Args:
        rewards: Each reward with its weight; names are unique.
        max_error_rate: Share of the last 100 completions on which a reward may fail.
        prefill: What the chat template wrote of each completion (`<think>`); the rewards see it too.
    """

    def __init__(self, rewards: Sequence[tuple[Reward, float]], max_error_rate: float = 0.2, prefill: str = ""):
        self.rewards = [reward for reward, _ in rewards]
        self.weights = [weight for _, weight in rewards]
        self.names = [reward.name for reward in self.rewards]
        self.max_error_rate = max_error_rate
        self.prefill = prefill
        self.errors = dict.fromkeys(self.names, 0)
        self._recent: dict[str, deque[bool]] = {name: deque(maxlen=LAST) for name in self.names}

    def score(self, **batch: Any) -> Scores:
        """Score a batch, given as TRL gives it: `completions` and one list a column; name -> value a completion."""
        return {reward.name: self._guarded(reward, batch) for reward in self.rewards}

    def total(self, scores: Scores) -> list[float]:
        """The weighted sum for each completion; a None counts nothing, as in TRL."""
        rows = zip(*(scores[name] for name in self.names), strict=True)
        return [math.fsum(w * v for w, v in zip(self.weights, row, strict=True) if v is not None) for row in rows]

    def functions(self, after: Callable[[dict[str, Any], Scores], None] | None = None) -> list[Callable[..., Any]]:
        """One function a reward for TRL's `reward_funcs`; `after` hears each batch when all have scored it."""
        scores: Scores = {}

        def function(reward: Reward) -> Callable[..., list[float | None]]:
            def call(**batch: Any) -> list[float | None]:
                scores[reward.name] = values = self._guarded(reward, batch)
                if reward is self.rewards[-1]:
                    if after:
                        after(batch, dict(scores))
                    scores.clear()
                return values

            call.__name__ = reward.name
            return call

        return [function(reward) for reward in self.rewards]

    def _guarded(self, reward: Reward, batch: dict[str, Any]) -> list[float | None]:
        batch = {**batch, "completions": [self._prefilled(completion) for completion in batch["completions"]]}
        n = len(batch["completions"])
        errors: list[Exception] = []
        try:
            values = reward.score(batch, errors.append)
            values = now(values) if inspect.isawaitable(values) else values
        except Exception as error:
            errors, values = [error] * n, [None] * n
        self._count(reward, n - len(errors), errors)
        return values

    def check(self) -> None:
        """Raise where a reward failed on more of its last completions than it may, however few there were.

        Raises:
            RunError: With the reward's name and how often it failed.
        """
        for name, recent in self._recent.items():
            if recent and sum(recent) / len(recent) > self.max_error_rate:
                raise RunError(
                    f"reward {name!r} failed on {sum(recent)} of its last {len(recent)} completions, more than "
                    f"max_error_rate {self.max_error_rate} allows; its first error stands above"
                )

    def _prefilled(self, completion: Any) -> Any:
        if not self.prefill:
            return completion
        if isinstance(completion, str):
            return self.prefill + completion
        return [{**completion[0], "content": self.prefill + (completion[0].get("content") or "")}, *completion[1:]]

    def _count(self, reward: Reward, passed: int, errors: list[Exception]) -> None:
        recent = self._recent[reward.name]
        n = passed + len(errors)  # spread evenly, so that what is left of a large batch still has its rate
        recent.extend((i + 1) * len(errors) // n > i * len(errors) // n for i in range(n))
        if not errors:
            return
        error = errors[-1]
        if not self.errors[reward.name]:
            said = f"{type(error).__name__}: {error}"
            logger.warning("reward %r failed and gives None; this is said once, and counted: %s", reward.name, said)
        self.errors[reward.name] += len(errors)
        if len(recent) >= ENOUGH and sum(recent) / len(recent) > self.max_error_rate:
            raise RunError(
                f"reward {reward.name!r} failed on {sum(recent)} of its last {len(recent)} completions, more than "
                f"max_error_rate {self.max_error_rate} allows; the last time: {type(error).__name__}: {error}"
            ) from error
