"""How much a reward counts: its weight, which may change with the step, its clip and its gate; what a failure gives."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rlkit import names
from rlkit.errors import RequestError
from rlkit.function import Reward

SETTINGS = ("weight", "clip", "gate", "on_error")
SHAPES = ("linear", "cosine", "step")


@dataclass(frozen=True)
class Weight:
    """A weight that goes from `start` to `end` over the first `over` steps, and stays there."""

    start: float
    end: float
    over: int = 0
    shape: Literal["linear", "cosine", "step"] = "linear"

    @property
    def constant(self) -> bool:
        """Whether it stays what it is."""
        return self.start == self.end

    def at(self, step: int | None) -> float:
        """The weight at a step (from 0); None asks for where it ends."""
        if step is None or step >= self.over:
            return self.end
        if self.shape == "step":
            return self.start
        done = step / self.over
        if self.shape == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        return self.start + (self.end - self.start) * done


@dataclass(frozen=True)
class Gate:
    """Another reward of the stack, which has to be above a value (0) for this one to count."""

    reward: str
    above: float = 0.0


@dataclass(frozen=True)
class Term:
    """A reward and how much it counts: `weight * gate * clip(value)`.

    Where the gate is shut, it counts 0; where the gate has no value (None), neither has this.
    """

    reward: Reward
    weight: Weight
    clip: tuple[float, float] | None = None
    gate: Gate | None = None
    on_error: float | Literal["none", "raise"] = "none"

    @property
    def shaped(self) -> bool:
        """Whether what counts may be another value than the reward gave."""
        return self.clip is not None or self.gate is not None

    def shape(self, value: float | None, gate: float | None) -> float | None:
        """The value after clip and gate."""
        if value is None or (self.gate and gate is None):
            return None
        if self.gate and gate is not None and gate <= self.gate.above:
            return 0.0
        return value if self.clip is None else min(max(value, self.clip[0]), self.clip[1])


def term(reward: Reward, settings: Mapping[str, Any]) -> Term:
    """A term from what a recipe says of it: `weight`, `clip`, `gate` and `on_error`, each of which may be left out.

    Raises:
        RequestError: A setting is of the wrong form; with every such setting.
    """
    problems: list[str] = []

    def read(key: str, reader: Any, default: Any) -> Any:
        try:
            return reader(settings[key]) if key in settings else default
        except (ValueError, TypeError) as error:
            problems.append(f"reward {reward.name!r}: {key} is {settings[key]!r}: {error}")
            return default

    made = Term(
        reward,
        read("weight", _weight, Weight(1.0, 1.0)),
        read("clip", _clip, None),
        read("gate", _gate, None),
        read("on_error", _on_error, "none"),
    )
    if problems:
        raise RequestError("\n".join(problems))
    return made


def check_gates(terms: list[Term]) -> None:
    """See that every gate is another reward of the stack.

    Raises:
        RequestError: One is not.
    """
    known = [made.reward.name for made in terms]
    for made in terms:
        if made.gate and (made.gate.reward not in known or made.gate.reward == made.reward.name):
            others = [name for name in known if name != made.reward.name]
            said = names.unknown("reward", made.gate.reward, others)
            raise RequestError(f"reward {made.reward.name!r}: its gate is no other reward of this stack: {said}")


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)


def _weight(value: Any) -> Weight:
    if not isinstance(value, dict):
        number = _number(value)
        return Weight(number, number)
    unknown = [key for key in value if key not in ("from", "to", "over", "shape")]
    if unknown:
        raise ValueError(names.unknown("key", str(unknown[0]), ("from", "to", "over", "shape")))
    if not {"from", "to", "over"} <= set(value):
        raise ValueError("a schedule is written {from: 1, to: 0, over: 200}")
    over, shape = value["over"], value.get("shape", "linear")
    if isinstance(over, bool) or not isinstance(over, int) or over < 1:
        raise ValueError(f"over is {over!r}, not a number of steps")
    if shape not in SHAPES:
        raise ValueError(names.unknown("shape", str(shape), SHAPES))
    return Weight(_number(value["from"]), _number(value["to"]), over, shape)


def _clip(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("a clip is written [low, high]")
    low, high = _number(value[0]), _number(value[1])
    if low > high:
        raise ValueError("its low end is above its high end")
    return low, high


def _gate(value: Any) -> Gate | None:
    if value is None or isinstance(value, str):
        return Gate(value) if value else None
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError("a gate is the name of a reward, or {NAME: VALUE THAT IT HAS TO BE ABOVE}")
    ((name, above),) = value.items()
    return Gate(str(name), _number(above))


def _on_error(value: Any) -> float | str:
    if value is None or value in ("none", "raise"):
        return value or "none"
    try:
        return _number(value)
    except ValueError:
        raise ValueError("it is none, raise, or a number to score with") from None
