"""The reward registry: `@reward`, and every reward by its name."""

import copy
import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlkit.errors import RequestError
from rlkit.function import Reward, make
from rlkit.values import ENDS, now

REGISTRY: dict[str, Reward] = {}
"""Every reward that was registered in this process, by name."""


def reward(
    name: str,
    gold: Sequence[Any] = (),
    *,
    timeout: float | None = None,
    requires: tuple[str, str] | None = None,
) -> Callable[[Callable[..., Any]], Reward]:
    """Register a function, a class or a factory as a reward.

    Args:
        name: What recipes and `rlkit ls` call it.
        gold: Cases (completion, columns, expected) that `rlkit validate` and the tests run. The
            columns may also set parameters.
        timeout: For a grader that can hang or crash: the seconds that one sample may take. It runs in a process
            that is killed after them, and the sample gets None.
        requires: A module that it imports and what to tell pip to install: `("math_verify", "rlkit[rewards]")`.

    Raises:
        RequestError: The name is taken by another function. A module that is run again, or a notebook's cell,
            replaces its own.
        TypeError: It was written without a name: `@reward`.
    """
    if not isinstance(name, str) or not name:
        raise TypeError('a reward needs a name: @reward("concise")')

    def register(function: Callable[..., Any]) -> Reward:
        made = make(name, function, gold, timeout=timeout, requires=requires)
        taken = REGISTRY.get(name)
        if taken is not None and not _again(taken, made):
            here, there = made.source, taken.source
            raise RequestError(
                f"two rewards are called {name!r}: {there[0]}:{there[1]} and {here[0]}:{here[1]}; rename one of them"
            )
        REGISTRY[name] = made
        return made

    return register


def _again(taken: Reward, made: Reward) -> bool:
    """Whether a reward is the one that was there, registered again."""
    if all(getattr(r.function, "__module__", "") == "__main__" for r in (taken, made)):
        return True  # a notebook's cell, run again
    same_run = _globals(taken) is not None and _globals(taken) is _globals(made)
    return _home(taken) == _home(made) and not (same_run and taken.source != made.source)


def _globals(reward: Reward) -> Any:
    return getattr(inspect.unwrap(reward.function), "__globals__", None)


def _home(reward: Reward) -> tuple[str, str]:
    return str(Path(reward.source[0]).resolve()), getattr(reward.function, "__qualname__", "")


def check_gold(reward: Reward) -> list[str]:
    """Run the gold cases; one sentence for each that does not come out as expected."""
    wrong = []
    for case in reward.gold:
        try:
            got = reward(completion=case.completion, **copy.deepcopy(case.columns))
            got = now(got) if inspect.isawaitable(got) else got
        except ENDS as error:
            wrong.append(f"reward {reward.name!r} failed on its gold case {case.completion!r}: {error}")
            continue
        if got is None or case.expected is None:
            same = got is case.expected
        else:
            same = math.isclose(got, case.expected, abs_tol=1e-6)
        if not same:
            wrong.append(f"reward {reward.name!r} gave {got} to its gold case {case.completion!r}, not {case.expected}")
    return wrong
