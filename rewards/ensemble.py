"""Ensemble: several rewards as one."""

import math
from typing import Any, Literal

from rlkit import plugins, reward

Member = str | dict[str, dict[str, Any] | None]


@reward(
    "ensemble",
    gold=[
        ("<answer>4</answer>", {"of": ["int", "correctness"], "answer": "4"}, 1.0),
        ("<answer>5</answer>", {"of": ["int", "correctness"], "answer": "4"}, 0.5),
        ("<answer>4</answer>", {"of": ["int", {"correctness": {"weight": 3}}], "answer": "4"}, 1.0),
        ("<answer>5</answer>", {"of": ["int", {"correctness": {"weight": 3}}], "answer": "4"}, 0.25),
        ("<answer>5</answer>", {"of": ["int", {"correctness": {"weight": 3}}], "answer": None}, 1.0),
        ("<answer>5</answer>", {"of": ["int", "correctness"], "mode": "min", "answer": "4"}, 0.0),
        ("<answer>4.0</answer>", {"of": ["exact_match", "correctness"], "mode": "any", "answer": "4"}, 1.0),
        ("<answer>5</answer>", {"of": ["exact_match", "correctness"], "mode": "any", "answer": "4"}, 0.0),
        ("<answer>5</answer>", {"of": ["correctness"], "answer": None}, None),
    ],
)
class Ensemble:
    """Several rewards as one: their weighted mean, the least, the greatest or the product.

    Parameters: `of`, the rewards, each as in a recipe: a name, or {NAME: {parameters, and a weight}}; an ensemble may
    be one of them. `mode` is mean (weighted), min, product, or any (the greatest). A member that is None for a sample
    is left out of it. So is one that fails: that is counted and said for the member, as for a reward of the stack
    itself, and ends the run where it happens too often. Time limits of members hold.

    Range: that of its members. None: every member is None.
    Source: Coste et al. 2024 (arXiv 2310.02743) for the mean and the least of several reward models.
    """

    def __init__(self, *, of: list[Member], mode: Literal["mean", "min", "product", "any"] = "mean"):
        from rlkit.scoring import RewardStack

        self.mode = mode
        members, weights = [], []
        for member in of:
            if isinstance(member, dict) and len(member) != 1:
                raise ValueError(f"{member!r} is not {{NAME: {{parameters}}}}")
            ((name, settings),) = member.items() if isinstance(member, dict) else [(member, None)]
            settings = dict(settings or {})
            weight = settings.pop("weight", None)
            if weight is not None and (mode != "mean" or not _is_weight(weight)):
                raise ValueError(f"{name}: weight is {weight!r}; it is a number above 0, and for mode: mean alone")
            title = settings.pop("name", name)
            members.append(plugins.find(name).configure(name=title, **settings))
            weights.append(float(weight or 1.0))
        if not members:
            raise ValueError("of is empty: name a reward, such as {ensemble: {of: [correctness, format]}}")
        titles = [member.name for member in members]
        for title in titles:
            if titles.count(title) > 1:
                raise ValueError(
                    f"two members are called {title!r}: give one of them a name, {{NAME: {{name: OTHER}}}}"
                )
        self.columns = tuple(dict.fromkeys(column for member in members for column in member.columns))
        self.weights = weights
        self.stack = RewardStack(list(zip(members, weights, strict=True)))

    def __call__(self, completions: list[str], **columns: Any) -> list[float | None]:
        """Score a batch."""
        scores = self.stack.score(completions=completions, **columns)
        return [self._join(row) for row in zip(*scores.values(), strict=True)]

    def _join(self, row: tuple[float | None, ...]) -> float | None:
        known = [(value, weight) for value, weight in zip(row, self.weights, strict=True) if value is not None]
        if not known:
            return None
        values = [value for value, _ in known]
        if self.mode == "mean":
            return math.fsum(value * weight for value, weight in known) / math.fsum(weight for _, weight in known)
        return math.prod(values) if self.mode == "product" else min(values) if self.mode == "min" else max(values)


def _is_weight(weight: Any) -> bool:
    return isinstance(weight, int | float) and not isinstance(weight, bool) and 0 < weight < math.inf
