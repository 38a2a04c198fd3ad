"""Runs a stack of rewards over a batch of completions.

A reward that fails gives None and is counted: 0.0 would teach the policy that a broken grader is a wrong
answer. Where it failed on too many of the last completions, the run stops with the last error.
"""

import inspect
import logging
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from rlkit import groups
from rlkit.completion import prefilled, text_of
from rlkit.errors import RunError
from rlkit.function import Reward
from rlkit.values import ENDS, failure, now
from rlkit.weighting import Term, check_gates, term
from rlkit.workers import TimeLimitError, WorkerError

logger = logging.getLogger(__name__)
LAST = 100
"""Completions over which the error rate is taken."""
ENOUGH = 10
"""Completions from which on it says something."""
CORRECT = ("accuracy", "correctness")
"""Rewards that say what is correct."""

Scores = dict[str, list[float | None]]


class Outcome(NamedTuple):
    """What a reward gave for a batch, and where it failed."""

    values: list[float | None]
    errors: dict[int, Exception]


class RewardStack:
    """Rewards with weights, as GRPO sums them.

    Args:
        rewards: Each reward with its weight, or as a `Term`; names are unique.
        max_error_rate: Share of the last 100 completions on which a reward may fail.
        prefill: What the chat template wrote of each completion (`<think>`); the rewards see it too.
        processes: How many processes a reward with a time limit is scored in; the cores at hand where None.

    Attributes:
        errors: Name -> completions on which the reward failed so far, `timeouts` among them.
        timeouts: Name -> completions on which it took longer than its time limit.
    """

    def __init__(
        self,
        rewards: Sequence[Term | tuple[Reward, float]],
        max_error_rate: float = 0.2,
        prefill: str = "",
        processes: int | None = None,
    ):
        self.terms = [made if isinstance(made, Term) else term(made[0], {"weight": made[1]}) for made in rewards]
        check_gates(self.terms)
        self.rewards = [made.reward for made in self.terms]
        self.names = [reward.name for reward in self.rewards]
        self.max_error_rate = max_error_rate
        self.prefill = prefill
        self.errors = dict.fromkeys(self.names, 0)
        self.timeouts = dict.fromkeys(self.names, 0)
        self._recent: dict[str, deque[bool]] = {name: deque(maxlen=LAST) for name in self.names}
        self._failed: dict[str, list[int]] = {}
        for reward in self.rewards:
            reward.processes = processes or reward.processes

    @property
    def correct(self) -> str | None:
        """The reward that says what is correct, where a recipe names none; None: there is none."""
        return next((name for name in CORRECT if name in self.names), None)

    def weights(self, step: int | None = None) -> list[float]:
        """The weight of each reward at a step; where schedules end, without one."""
        return [made.weight.at(step) for made in self.terms]

    def score(self, /, **batch: Any) -> Scores:
        """Score a batch, given as TRL gives it: `completions` and one list a column; name -> value a completion.

        Rewards that wait for something (async ones, and those with a time limit) run side by side.

        Raises:
            RunError: A reward failed where its `on_error` is raise, or on too many of the last completions.
        """
        batch = {**batch, "completions": [prefilled(completion, self.prefill) for completion in batch["completions"]]}
        waiting = [reward for reward in self.rewards if reward.waits]
        with ThreadPoolExecutor(max(len(waiting), 1)) as pool:
            try:
                later = {reward.name: pool.submit(attempt, reward, batch) for reward in waiting}
                outcomes = {reward.name: attempt(reward, batch) for reward in self.rewards if reward.name not in later}
                outcomes |= {name: future.result() for name, future in later.items()}
            except BaseException:  # interrupted: what is scored elsewhere would be waited for
                self.close()
                raise
        for made in self.terms:
            self._count(made, outcomes[made.reward.name], batch["completions"])
        self._failed = {
            made.reward.name: list(outcomes[made.reward.name].errors) if made.on_error == "none" else []
            for made in self.terms
        }
        return {name: outcomes[name].values for name in self.names}

    def shape(self, scores: Scores) -> Scores:
        """The values that count, before the weight: clipped, and 0 where the gate is shut."""
        shaped: Scores = {}
        for made in self.terms:
            values = scores[made.reward.name]
            gates = scores[made.gate.reward] if made.gate else values
            shaped[made.reward.name] = [made.shape(value, gate) for value, gate in zip(values, gates, strict=True)]
        return shaped

    def total(self, scores: Scores, step: int | None = None, prompts: list[Any] | None = None) -> list[float]:
        """The weighted sum for each completion, with the weights of a step; a None counts nothing, as in TRL.

        Where the batch's prompts are given, a completion on which a reward failed counts as its group's mean.
        """
        shaped = self._neutral(self.shape(scores), prompts)
        rows = zip(*(shaped[name] for name in self.names), strict=True)
        weights = self.weights(step)
        return [math.fsum(w * v for w, v in zip(weights, row, strict=True) if v is not None) for row in rows]

    def figures(self, scores: Scores, step: int) -> dict[str, float]:
        """What to log of a batch besides what TRL logs, which is the mean of the values that count.

        `rewards/NAME/raw`: the mean before clip and gate; `rewards/NAME/weight`: of a scheduled weight;
        `rewards/NAME/failed`: the share of the batch on which it failed.
        """
        logged = {}
        for made in self.terms:
            name = made.reward.name
            known = [value for value in scores[name] if value is not None]
            if made.shaped and known:
                logged[f"rewards/{name}/raw"] = math.fsum(known) / len(known)
            if not made.weight.constant:
                logged[f"rewards/{name}/weight"] = made.weight.at(step)
            if self._failed[name]:
                logged[f"rewards/{name}/failed"] = len(self._failed[name]) / len(scores[name])
        return logged

    def functions(self, after: Callable[[dict[str, Any], Scores], None] | None = None) -> list[Callable[..., Any]]:
        """One function a reward for TRL's `reward_funcs`.

        The first that is called scores the batch with the whole stack. They give what counts: clipped and gated; where
        a reward failed on a completion, the mean of its group, so that it is neither better nor worse for that.

        Args:
            after: Hears each batch and what the rewards gave (before clip and gate) when all have scored it.
        """
        ready: Scores = {}

        def score(batch: dict[str, Any]) -> None:
            scores = self.score(**batch)
            ready.update(self._neutral(self.shape(scores), batch.get("prompts")))
            if after:
                after(batch, scores)

        def function(name: str) -> Callable[..., list[float | None]]:
            def call(**batch: Any) -> list[float | None]:
                if name not in ready:
                    ready.clear()
                    score(batch)
                return ready.pop(name)

            call.__name__ = name
            return call

        return [function(name) for name in self.names]

    def close(self) -> None:
        """End the processes of its rewards."""
        for reward in self.rewards:
            reward.close()

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

    def _neutral(self, shaped: Scores, prompts: list[Any] | None) -> Scores:
        if prompts is None or not any(self._failed.values()):
            return shaped
        for name, failed in self._failed.items():
            values = shaped[name]
            for group in groups.split(prompts) if failed else []:
                known = [value for i in group if (value := values[i]) is not None]
                for i in set(failed).intersection(group) if known else ():
                    values[i] = math.fsum(known) / len(known)
        return shaped

    def _count(self, made: Term, outcome: Outcome, completions: list[Any]) -> None:
        """Count a reward's failures, give them what `on_error` says, and stop the run where there are too many."""
        name, errors = made.reward.name, outcome.errors
        recent, n = self._recent[name], len(completions)
        # Spread evenly, so that what is left of a large batch still has its rate.
        recent.extend((i + 1) * len(errors) // n > i * len(errors) // n for i in range(n))
        if not errors:
            return
        index, error = next(reversed(errors.items()))
        said = f"{said_of(error)}\n  on the completion {_short(text_of(completions[index]))}"
        if made.on_error == "raise":
            raise RunError(f"reward {name!r} failed, and its on_error is raise: {said}") from error
        if not self.errors[name]:
            gives = "gives None" if made.on_error == "none" else f"scores {made.on_error}"
            logger.warning("reward %r failed and %s; this is said once, and counted: %s", name, gives, said)
        self.errors[name] += len(errors)
        self.timeouts[name] += sum(isinstance(error, TimeLimitError) for error in errors.values())
        if made.on_error != "none":
            for i in errors:
                outcome.values[i] = made.on_error
        if len(recent) >= ENOUGH and sum(recent) / len(recent) > self.max_error_rate:
            raise RunError(
                f"reward {name!r} failed on {sum(recent)} of its last {len(recent)} completions, more than "
                f"max_error_rate {self.max_error_rate} allows; the last time: {said}"
            ) from error


def said_of(error: Exception) -> str:
    """An error in one line; one from a worker names its type itself."""
    return str(error) if isinstance(error, WorkerError) else f"{type(error).__name__}: {error}"


def _short(text: str) -> str:
    return repr(text if len(text) <= 300 else f"{text[:150]} ... {text[-150:]}")


def attempt(reward: Reward, batch: dict[str, Any]) -> Outcome:
    """Score a batch with one reward, whatever it raises."""
    errors: dict[int, Exception] = {}
    n = len(batch["completions"])
    try:
        values = reward.score(batch, errors.__setitem__)
        values = now(values) if inspect.isawaitable(values) else values
    except ENDS as error:
        return Outcome([None] * n, dict.fromkeys(range(n), failure(error)))
    return Outcome(list(values), dict(sorted(errors.items())))
