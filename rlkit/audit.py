"""Attacks a reward: what a completion that answers nothing can reach, against what the gold cases score."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rlkit.attacks import Attack, attacks
from rlkit.errors import RequestError
from rlkit.function import Gold, Reward
from rlkit.registry import check_gold
from rlkit.scoring import attempt, said_of
from rlkit.signature import PER_SAMPLE
from rlkit.workers import TimeLimitError

CASES = 4
"""Gold cases that are attacked at most; each has its own columns and parameters."""
SAME = 1e-9
PATIENCE = 2.0
"""Seconds above which an attack is not tried a second time."""


class Strike(NamedTuple):
    """An attack and what came of it."""

    attack: Attack
    score: float | None
    gold: float
    """What the gold completion scores with the same columns and parameters."""
    beats: bool


@dataclass
class Audit:
    """What the attacks on a reward came to."""

    reward: str
    strikes: list[Strike] = field(default_factory=list)
    errors: list[tuple[Attack, str]] = field(default_factory=list)
    """Attacks on which the reward raised, with the error."""
    timeouts: int = 0
    random: list[Attack] = field(default_factory=list)
    """Attacks that did not score the same twice."""
    dependent: list[Attack] = field(default_factory=list)
    """Attacks whose score depended on the other prompts' completions in the batch."""
    slowest: tuple[Attack, float] | None = None
    """The attack that took the longest, in seconds."""
    gold: float | None = None
    """The highest score of a gold completion; None where the reward has no gold cases."""
    wrong: list[str] = field(default_factory=list)
    """Gold cases that do not score as they say."""
    attacks: int = 0
    """How many were tried."""

    @property
    def broken(self) -> str:
        """Why nothing was proven; empty where something was."""
        if self.wrong:
            return self.wrong[0]
        if self.attacks and len(self.errors) == self.attacks:
            return f"it raised on every attack: {self.errors[0][1]}"
        return ""

    @property
    def beaten(self) -> list[Strike]:
        """The attacks that score as a gold answer does, or above it."""
        return [strike for strike in self.strikes if strike.beats]

    @property
    def best(self) -> Strike | None:
        """The attack that came nearest to its gold answer, or passed it."""
        known = [strike for strike in self.strikes if strike.score is not None]
        return max(known, key=lambda strike: (strike.beats, (strike.score or 0.0) - strike.gold), default=None)


def audit(reward: Reward, progress: Callable[[int, int], None] | None = None) -> Audit:
    """Try every attack on a reward, on the rows of its gold cases.

    A reward that looks at a column of the row is beaten by an attack that scores as high as the gold answer: it knows
    nothing of the row, or gives several answers. One that looks at the completion alone is beaten by what scores
    higher than its best gold completion.

    Args:
        reward: Configured, or as it stands in the registry; gold cases set what parameters it does not set.
        progress: Hears how many rows of how many are attacked.

    Raises:
        RequestError: It needs parameters that neither are set nor stand in a gold case.
    """
    made = Audit(reward.name, wrong=check_gold(reward.unset()))
    cases = _cases(reward)
    known = [gold for _, _, gold in cases if gold is not None]
    asks = any(_asks(columns) for _, columns, _ in cases)
    if known and not asks:  # what looks at the completion alone has one best score, whatever it is set to
        cases = [(configured, columns, max(known)) for configured, columns, _ in cases]
    for done, (configured, columns, gold) in enumerate(cases):
        if progress:
            progress(done, len(cases))
        _strike(made, configured, columns, gold)
    return made


def _cases(reward: Reward) -> list[tuple[Reward, dict[str, Any], float | None]]:
    """The reward as each kind of gold case sets it, the columns of the best such case, and what that scores."""
    known = reward.signature.parameters
    # What looks at the completion alone may want another completion under parameters that no gold case has.
    asks = any(_asks({k: v for k, v in case.columns.items() if k not in known}) for case in reward.gold)
    gold = reward.gold if asks or not reward.parameters else []
    lowest = math.inf
    best: dict[str, tuple[Reward, dict[str, Any], float | None]] = {}
    for case in gold:
        parameters = {k: v for k, v in case.columns.items() if k in known and k not in reward.parameters}
        columns = {k: v for k, v in case.columns.items() if k not in known}
        if None in columns.values():  # a row that asks nothing
            continue
        try:
            configured = reward.configure(reward.name, **parameters)
        except RequestError:  # its parameters do not go with those that are set
            continue
        score = _gold_score(configured, case, columns)
        before = best.get(repr(parameters))
        lowest = min(lowest, math.inf if score is None else score)
        if score is not None and (before is None or score > (-math.inf if before[2] is None else before[2])):
            best[repr(parameters)] = (configured, columns, score)
    # Parameters under which no gold completion is a good one say nothing of what a good one scores.
    floor = 0.0 if any((score or 0.0) > 0.0 for _, _, score in best.values()) else lowest
    good = [case for case in best.values() if case[2] is not None and case[2] > floor]
    if good:
        return good[:CASES]
    for configured, columns, _ in best.values():
        return [(configured, columns, None)]
    if reward.missing:
        raise RequestError(
            f"reward {reward.name!r} needs the parameter {', '.join(map(repr, reward.missing))}: "
            f"rlkit audit {reward.name}:{reward.missing[0]}=VALUE"
        )
    return [(reward.configure(reward.name), {}, None)]


def _gold_score(reward: Reward, case: Gold, columns: dict[str, Any]) -> float | None:
    return attempt(reward, _batch([case.completion], columns, [0])).values[0]


def _strike(made: Audit, reward: Reward, columns: dict[str, Any], gold: float | None) -> None:
    columns = {name: value for name, value in columns.items() if name != "completion_ids"}
    tried = list(attacks(columns))
    texts = [attack.completion for attack in tried]
    alone: list[float | None] = []
    times = []
    for number, attack in enumerate(tried):
        start = time.monotonic()
        values, errors = attempt(reward, _batch([attack.completion], columns, [number]))
        seconds = time.monotonic() - start
        times.append(seconds)
        if made.slowest is None or seconds > made.slowest[1]:
            made.slowest = (attack, seconds)
        alone += values
        if errors:
            made.errors.append((attack, said_of(errors[0])))
            made.timeouts += isinstance(errors[0], TimeLimitError)
    quick = [number for number, seconds in enumerate(times) if seconds < PATIENCE]
    together = attempt(reward, _batch([texts[number] for number in quick], columns, quick)).values
    _compare(made, reward, columns, tried, alone, dict(zip(quick, together, strict=True)))
    needs = _asks(columns)
    made.attacks += len(tried)
    for attack, score in zip(tried, alone, strict=True):
        if gold is not None:
            beats = score is not None and (score >= gold - SAME if needs else score > gold + SAME)
            made.strikes.append(Strike(attack, score, gold, beats))
    made.gold = gold if made.gold is None or (gold is not None and gold > made.gold) else made.gold


def _asks(columns: dict[str, Any]) -> bool:
    """Whether a row has something that the completion is held against."""
    return bool(columns.keys() - {"completion_ids", "prompt", "prompts"})


def _compare(
    made: Audit,
    reward: Reward,
    columns: dict[str, Any],
    tried: list[Attack],
    alone: list[float | None],
    together: dict[int, float | None],
) -> None:
    """Note the attacks that scored otherwise in the batch than alone."""
    for number, score in together.items():
        if not _same(alone[number], score):
            again = attempt(reward, _batch([tried[number].completion], columns, [number])).values[0]
            (made.dependent if _same(alone[number], again) else made.random).append(tried[number])


def _batch(texts: list[str], columns: dict[str, Any], numbers: Any) -> dict[str, Any]:
    """A batch in which each completion stands in a group of its own, unless its reward looks at the prompt."""
    columns = {PER_SAMPLE.get(name, name): value for name, value in columns.items()}
    return {
        "prompts": [f"What is the answer to question {number}?" for number in numbers],
        "completions": texts,
        "completion_ids": [[0] * (len(text) // 4) for text in texts],
        **{name: [value] * len(texts) for name, value in columns.items()},
    }


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, abs_tol=1e-6)
