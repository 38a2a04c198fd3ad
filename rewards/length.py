"""Length: is the completion as long as it should be?"""

from typing import Any, Literal

from rlkit import reward


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
    Source: the Hugging Face course's length reward, -|n - target| in characters, which has no lower bound.
    """

    def __init__(
        self,
        *,
        target: int | None = None,
        minimum: int | None = None,
        maximum: int | None = None,
        unit: Literal["tokens", "characters", "words"] = "tokens",
    ):
        if target is not None and (minimum is not None or maximum is not None):
            raise ValueError("set target, or minimum and maximum, not both")
        if target is None and minimum is None and maximum is None:
            raise ValueError("set a target, a minimum or a maximum, such as {length: {target: 50}}")
        if any(bound is not None and bound < 0 for bound in (target, minimum, maximum)):
            raise ValueError("a length is 0 or more")
        if minimum is not None and maximum is not None and minimum > maximum:
            raise ValueError(f"minimum {minimum} is above maximum {maximum}")
        if target is not None:
            minimum = maximum = target
        self.minimum = minimum or 0
        self.maximum = maximum
        self.unit = unit

    def __call__(self, completions: list[str], completion_ids: list[list[int]] | None = None) -> list[float]:
        """Score a batch."""
        return [self._score(n) for n in self._lengths(completions, completion_ids)]

    def _lengths(self, completions: list[str], completion_ids: Any) -> list[int]:
        if self.unit == "characters":
            return [len(text) for text in completions]
        if self.unit == "words":
            return [len(text.split()) for text in completions]
        if completion_ids is None:
            raise ValueError("length in tokens needs the completions' token ids; without a policy, set unit=characters")
        return [len(ids) for ids in completion_ids]

    def _score(self, n: int) -> float:
        goal = self.minimum if n < self.minimum else n if self.maximum is None else min(n, self.maximum)
        distance = abs(n - goal)
        return 1.0 if distance == 0 else max(goal, 1) / (max(goal, 1) + distance)
