"""What a reward returned, as floats."""

import math
from collections.abc import Awaitable
from typing import Any

from rlkit.errors import RewardError


def now(later: Awaitable[Any]) -> Any:
    """Wait for what an async reward gives."""
    import asyncio

    async def wait() -> Any:
        return await later

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
