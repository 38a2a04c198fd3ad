"""Length: is the completion as long as it should be?"""

import math
from collections.abc import Sequence
from typing import Any, Literal

from rlkit import groups, reward
from rlkit.rewards import compat as peers
from rlkit.rewards.verdict import Verdict

Ids = Sequence[Sequence[int]] | None


def lengths(completions: Sequence[str], completion_ids: Ids, unit: str) -> list[int]:
    """How long each completion is, in tokens as the policy wrote them, characters or words.

    Raises:
        ValueError: Tokens are asked for, and there are none.
    """
    if unit == "characters":
        return [len(text) for text in completions]
    if unit == "words":
        return [len(text.split()) for text in completions]
    if completion_ids is None:
        raise ValueError("length in tokens needs the completions' token ids; without a policy, set unit=characters")
    return [len(ids) for ids in completion_ids]


@reward(
    "length",
    gold=[
        ("four", {"target": 4, "unit": "characters"}, 1.0),
        ("eight ch", {"target": 4, "unit": "characters"}, 0.5),
        ("", {"target": 4, "unit": "characters"}, 0.5),
        ("one two three", {"minimum": 2, "maximum": 5, "unit": "words"}, 1.0),
        ("one", {"minimum": 2, "maximum": 5, "unit": "words"}, 2 / 3),
        ("any text", {"target": 3, "completion_ids": [5, 6, 7]}, 1.0),
    ],
)
class Length:
    """Closeness of the completion's length to a target or a range: 1.0 there, falling off on both sides.

    With d the distance to the target (or to the nearer end of the range) t, the reward is t / (t + d): 1.0 on
    target, 0.5 at twice the target or at nothing. It never reaches 0, so that even far from the target the
    completions of a group differ and the policy has a direction.

    Parameters: `target`, or `minimum` and `maximum` (either may be left out); `unit` is tokens (as the policy
    wrote them), characters or words.

    Range: above 0, to 1. None: never.
    Source: the Hugging Face course's length reward, which is -|n - target| and has no lower bound. It counts
    characters, though the course speaks of tokens; `compat: course` gives it, whatever the unit.
    """

    def __init__(
        self,
        *,
        target: int | None = None,
        minimum: int | None = None,
        maximum: int | None = None,
        unit: Literal["tokens", "characters", "words"] = "tokens",
        compat: Literal["course"] | None = None,
    ):
        if target is not None and (minimum is not None or maximum is not None):
            raise ValueError("set target, or minimum and maximum, not both")
        if target is None and minimum is None and maximum is None:
            raise ValueError("set a target, a minimum or a maximum, such as {length: {target: 50}}")
        if compat and target is None:
            raise ValueError("compat: course has a target, no minimum or maximum")
        if any(bound is not None and bound < 0 for bound in (target, minimum, maximum)):
            raise ValueError("a length is 0 or more")
        if minimum is not None and maximum is not None and minimum > maximum:
            raise ValueError(f"minimum {minimum} is above maximum {maximum}")
        self.target = target if compat else None
        self.minimum = (minimum if target is None else target) or 0
        self.maximum = maximum if target is None else target
        self.unit = unit

    def __call__(self, completions: list[str], completion_ids: Ids = None) -> list[float]:
        """Score a batch."""
        if self.target is not None:
            return [peers.course_length(text, self.target) for text in completions]
        return [self._score(n) for n in lengths(completions, completion_ids, self.unit)]

    def _score(self, n: int) -> float:
        goal = self.minimum if n < self.minimum else n if self.maximum is None else min(n, self.maximum)
        distance = abs(n - goal)
        return 1.0 if distance == 0 else max(goal, 1) / (max(goal, 1) + distance)


@reward(
    "cosine_length",
    gold=[
        ("<answer>4</answer>", {"max_length": 36, "unit": "characters", "by": "int"}, 0.75),
        ("<answer>x</answer>", {"max_length": 36, "unit": "characters", "by": "int"}, -0.75),
        ("x" * 99, {"max_length": 36, "unit": "characters", "by": "int"}, -0.5),
        ("", {"max_length": 36, "unit": "characters", "by": "int"}, -1.0),
        ("<answer>4</answer>", {"max_length": 36, "by": "int", "completion_ids": []}, 1.0),
        ("<answer>4</answer>", {"max_length": 36, "unit": "characters", "by": "int", "exceeded": -2.0}, 0.75),
        ("x" * 36, {"max_length": 36, "unit": "characters", "by": "int", "exceeded": -2.0}, -2.0),
    ],
)
class CosineLength:
    """Correctness scaled by length: short is better where the answer is right, long where it is wrong.

    A correct completion gets from `correct[0]` at no length to `correct[1]` at `max_length`, a wrong one from
    `wrong[0]` to `wrong[1]`, both along half a cosine; beyond `max_length` nothing changes any more. So the policy
    learns to be brief on what it can do, and to think longer on what it cannot yet.

    Parameters: `max_length` in `unit`: tokens (as the policy wrote them) or characters; `by` names the reward that
    says what is correct, at 1.0. `exceeded`, where set, is what a completion of `max_length` or more gets, right or
    wrong: it ran out of room. With `compat` the column is `solution` and math-verify judges, without a time limit:
    set `timeout`.

    Range: -1 to 1, or as `correct`, `wrong` and `exceeded` say. None: the judging reward gives None.
    Source: Demystifying Long Chain-of-Thought Reasoning (arXiv 2502.03373, appendix C), with open-r1's values.
    open-r1 counts characters and lets the cosine climb again beyond `max_length`; it gives 1.0 where it cannot read
    the gold. TRL's is clamped, and has no `exceeded`.
    """

    def __init__(
        self,
        *,
        max_length: int,
        correct: tuple[float, float] = (1.0, 0.5),
        wrong: tuple[float, float] = (-1.0, -0.5),
        exceeded: float | None = None,
        unit: Literal["tokens", "characters"] = "tokens",
        by: str = "accuracy",
        compat: Literal["trl", "open-r1"] | None = None,
    ):
        if max_length < 1:
            raise ValueError(f"max_length is {max_length}, not 1 or more")
        if compat and exceeded is not None:
            raise ValueError("with compat there is no exceeded")
        if compat:
            peers.need("math_verify")
        self.max_length, self.correct, self.wrong, self.exceeded = max_length, correct, wrong, exceeded
        self.unit, self.compat = unit, compat
        self.verdict = None if compat else Verdict(by)
        self.columns = self.verdict.columns if self.verdict else ("solution",)

    def __call__(self, completions: list[str], completion_ids: Ids = None, **columns: Any) -> Sequence[float | None]:
        """Score a batch."""
        if self.verdict is None:
            return self._peers(completions, completion_ids, columns["solution"])
        ns = lengths(completions, completion_ids, self.unit)
        verdict = self.verdict({"completions": completions, "completion_ids": completion_ids, **columns})
        return [None if right is None else self._score(n, right) for n, right in zip(ns, verdict, strict=True)]

    def _score(self, n: int, is_correct: bool) -> float:
        if self.exceeded is not None and n >= self.max_length:
            return self.exceeded
        start, end = self.correct if is_correct else self.wrong
        return end + (start - end) * (1 + math.cos(math.pi * min(1.0, n / self.max_length))) / 2

    def _peers(self, completions: list[str], completion_ids: Ids, solution: list[str]) -> Sequence[float | None]:
        scale = (self.max_length, self.correct, self.wrong)
        if self.compat == "open-r1":
            return peers.open_r1_cosine_length(completions, solution, *scale)
        if completion_ids is None:
            raise ValueError("TRL's cosine counts tokens, and there are no token ids")
        return peers.trl_cosine_length(completions, completion_ids, solution, *scale)


@reward(
    "soft_overlong",
    gold=[
        ("", {"max_length": 100, "cache": 20, "completion_ids": [0] * 500}, -1.0),
        ("", {"max_length": 100, "cache": 20, "completion_ids": [0] * 100}, -1.0),
        ("", {"max_length": 100, "cache": 20, "completion_ids": [0] * 90}, -0.5),
        ("", {"max_length": 100, "cache": 20, "completion_ids": [0] * 80}, 0.0),
        ("", {"max_length": 100, "completion_ids": [0] * 85}, -0.25),
        ("", {"max_length": 100, "completion_ids": [0] * 20}, 0.0),
    ],
)
class SoftOverlong:
    """A growing charge on completions that come near the length limit: 0 well below it, -1 at it.

    It falls in a straight line over the last `cache` tokens before `max_length`, and is -1 beyond.

    Parameters: `max_length` in tokens, usually generation's max_completion_length; `cache` in tokens, a fifth of
    `max_length` where it is not set, as in the paper.

    Range: -1 to 0. None: never.
    Source: soft overlong punishment of DAPO (arXiv 2503.14476, equation 13). TRL's agrees, and also takes a `cache`
    above `max_length`, where even an empty completion is charged.
    """

    def __init__(self, *, max_length: int, cache: int | None = None, compat: Literal["trl"] | None = None):
        self.cache = max_length // 5 if cache is None else cache
        if max_length < 1:
            raise ValueError(f"max_length is {max_length}, not 1 or more")
        if compat is None and not 0 <= self.cache <= max_length:
            raise ValueError(f"cache is {self.cache}, not between 0 and max_length {max_length}")
        self.max_length, self.compat = max_length, compat

    def __call__(self, completion_ids: list[list[int]]) -> list[float]:
        """Score a batch."""
        if self.compat:
            return peers.trl_soft_overlong(completion_ids, self.max_length, self.cache)
        return [self._score(len(ids)) for ids in completion_ids]

    def _score(self, n: int) -> float:
        over = n - (self.max_length - self.cache)
        return 0.0 if over <= 0 else -1.0 if over >= self.cache else -over / self.cache


@reward(
    "brevity",
    gold=[
        ("<answer>4</answer>", {"by": "int", "unit": "characters"}, 0.0),
        ("<answer>four</answer>", {"by": "int", "unit": "characters"}, 0.0),
        ("", {"by": "int", "unit": "characters"}, 0.0),
        ("<answer>4</answer>", {"answer": None, "by": "correctness", "unit": "characters"}, None),
    ],
)
class Brevity:
    """Brevity among the completions of one prompt: 0.5 to the shortest, -0.5 to the longest, in between in proportion.

    A wrong completion gets that too where it is negative, else 0: it may not gain by being short. Where all
    completions of the prompt are equally long, as where there is one alone, each gets 0.

    Parameters: `by` names the reward that says what is correct, at 1.0; `unit` is tokens (as the policy wrote them)
    or characters. With `compat` the column is `solution` and math-verify judges, without a time limit: set `timeout`.

    Range: -0.5 to 0.5. None: the judging reward gives None.
    Source: the length reward of Kimi k1.5 (arXiv 2501.12599, section 2.3.3). open-r1's compares characters over the
    whole batch, so that a hard prompt's completions lose to an easy one's, and takes what it cannot read as correct.
    """

    def __init__(
        self,
        *,
        by: str = "accuracy",
        unit: Literal["tokens", "characters"] = "tokens",
        compat: Literal["open-r1"] | None = None,
    ):
        if compat:
            peers.need("math_verify")
        self.unit = unit
        self.verdict = None if compat else Verdict(by)
        self.columns = self.verdict.columns if self.verdict else ("solution",)

    def __call__(
        self,
        completions: list[str],
        prompts: list[Any] | None = None,
        completion_ids: Ids = None,
        **columns: Any,
    ) -> Sequence[float | None]:
        """Score a batch; without prompts it is one group."""
        if self.verdict is None:
            return peers.open_r1_brevity(completions, columns["solution"])
        ns = lengths(completions, completion_ids, self.unit)
        batch = {"prompts": prompts, "completions": completions, "completion_ids": completion_ids, **columns}
        verdict, values = self.verdict(batch), [0.0] * len(ns)
        for group in groups.split(prompts or [""] * len(ns)):
            shortest, longest = min(ns[i] for i in group), max(ns[i] for i in group)
            for i in group:
                share = 0.5 - (ns[i] - shortest) / (longest - shortest) if longest > shortest else 0.0
                values[i] = share if verdict[i] else min(0.0, share)
        return [None if right is None else value for right, value in zip(verdict, values, strict=True)]
