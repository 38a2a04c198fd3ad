"""What a reward returned, at once or awaited, as floats."""

import inspect
import math
from collections.abc import Awaitable, Callable
from typing import Any

from rlkit.errors import RewardError
from rlkit.workers import TimeLimitError

ENDS = (Exception, SystemExit)
"""What counts as a failure of a reward: one that calls sys.exit must not end the run as if all were well."""


def failure(error: BaseException) -> Exception:
    """What a reward raised, as an error that says so."""
    if isinstance(error, Exception):
        return error
    said = f"it called sys.exit({error.code!r})" if isinstance(error, SystemExit) else type(error).__name__
    return RewardError(f"a reward may not end the program: {said}")


def now(later: Awaitable[Any]) -> Any:
    """Wait for what an async reward gives.

    Raises:
        RewardError: It was cancelled.
    """
    import asyncio

    async def wait() -> Any:
        try:
            return await later
        except asyncio.CancelledError:
            raise RewardError("it was cancelled") from None

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    from concurrent.futures import ThreadPoolExecutor  # in a notebook a loop runs already: wait in another thread

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, wait()).result()


def floats(result: Any, n: int, name: str) -> list[float | None]:
    """The values of a reward as floats: numbers of any library and bools are converted, None and NaN become None.

    Raises:
        RewardError: There are not `n` of them, or one is no finite number.
    """
    try:
        if isinstance(result, str | bytes | dict | set):
            raise TypeError
        values = list(result)
    except TypeError:
        raise RewardError(f"reward {name!r} returned {type(result).__name__}, not a list with a number each") from None
    if len(values) != n:
        raise RewardError(f"reward {name!r} returned {len(values)} values for {n} completions")
    converted: list[float | None] = []
    for index, value in enumerate(values):
        try:
            number = math.inf if isinstance(value, str) else math.nan if value is None else float(value)
        except (TypeError, ValueError):
            number = math.inf
        if math.isinf(number):
            raise RewardError(f"reward {name!r} returned {value!r} for completion {index}: not a finite number or None")
        converted.append(None if math.isnan(number) else number)
    return converted


async def gather(
    values: list[Any], name: str, timeout: float | None, failed: Callable[[int, Exception], None] | None
) -> list[float | None]:
    """The values of samples, of which some are still to be awaited, side by side; one that fails gives None.

    Args:
        values: One a sample, a value or what gives it.
        name: The reward's.
        timeout: Seconds that each may take.
        failed: Hears of each that fails; without it, the error is raised.
    """
    import asyncio

    async def one(index: int, value: Any) -> Any:
        if not inspect.isawaitable(value):
            return value
        try:
            return floats([await _in_time(value, timeout)], 1, name)[0]
        except (*ENDS, asyncio.CancelledError) as error:
            if failed is None:
                raise failure(error) from error
            failed(index, failure(error))
            return None

    return list(await asyncio.gather(*map(one, range(len(values)), values)))


async def awaited(result: Any, n: int, name: str, timeout: float | None) -> list[float | None]:
    """The values of n samples that are awaited together, for n times as long as one may take."""
    return floats(await _in_time(result, timeout and timeout * n), n, name)


async def _in_time(value: Any, seconds: float | None) -> Any:
    import asyncio

    try:
        return await asyncio.wait_for(value, seconds)
    except TimeoutError:
        if seconds is None:
            raise
        raise TimeLimitError(f"took longer than {seconds:g} s") from None
