"""Scores a reward in processes of its own, where a grader may hang or crash (see `rlkit.workers`)."""

import traceback
from collections.abc import Callable
from typing import Any

from rlkit.signature import RUNTIME
from rlkit.workers import WorkerError, Workers

Failed = Callable[[int, Exception], None]
"""Hears of a sample that a reward failed on, by its place in the batch."""


class Isolated:
    """A reward's processes, started when they are first needed, and anew where they are gone."""

    def __init__(self) -> None:
        self._pool: Workers | None = None

    def score(self, reward: Any, columns: dict[str, Any], n: int, failed: Failed | None) -> list[float | None]:
        """Score `n` completions as `Reward.score` does.

        A function that takes one completion is called so, each within the time limit; one that takes the batch gets it
        whole, within the limit times n. Where there is no limit, the batch is shared out in slices.

        Args:
            reward: A configured `rlkit.function.Reward`; it is sent there whole.
            columns: The batch.
            n: Its size.
            failed: Hears of each sample on which it failed.
        """
        pool, limit = self._processes(reward), reward.timeout
        # No more than it names: a trainer's state alone would have every worker import transformers.
        stays = [key for key in RUNTIME if key != "trainer_state" or key not in reward.signature.data]
        takes = [key for key in columns if key == "completions" or (reward.takes(key) and key not in stays)]
        columns = {key: columns[key] for key in takes}
        if not reward.per_sample:
            size, limit = n, limit and limit * n
        else:
            size = 1 if limit else -(-n // (4 * pool.count))
        slices = [_slice(columns, start, start + size) for start in range(0, n, max(size, 1))]
        values: list[float | None] = []
        for result in pool.map([{"columns": columns} for columns in slices], limit):
            begin = len(values)
            part = [result] * min(size, n - begin) if isinstance(result, WorkerError) else result
            for i, value in enumerate(part, begin):
                if isinstance(value, WorkerError):
                    if failed is None:
                        raise value
                    failed(i, value)
                    value = None
                values.append(value)
        return values

    def close(self) -> None:
        """End the processes."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _processes(self, reward: Any) -> Workers:
        if self._pool is None or not self._pool.usable:
            gold = next(iter(reward.gold), None)
            known = reward.signature.parameters
            case = {key: [value] for key, value in gold.columns.items() if key not in known} if gold else {}
            warm = {"columns": {"completions": [gold.completion], **case}} if gold else None
            self._pool = Workers(_Call(reward), reward.processes, warm)
        return self._pool


class _Call:
    """What a worker does: score a slice; each failure is told in its sample's place."""

    def __init__(self, reward: Any):
        self.reward = reward
        self.__name__ = f"reward {reward.name!r}"
        self.__module__ = reward.function.__module__ if hasattr(reward.function, "__module__") else __name__

    def __call__(self, columns: dict[str, Any]) -> list[float | WorkerError | None]:
        errors: dict[int, Exception] = {}
        values = self.reward.score(columns, errors.__setitem__)
        return [_told(errors[i]) if i in errors else value for i, value in enumerate(values)]


def _slice(columns: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    return {key: values if key in RUNTIME else values[start:end] for key, values in columns.items()}


def _told(error: Exception) -> WorkerError:
    told = WorkerError(f"{type(error).__name__}: {error}")
    told.add_note("".join(traceback.format_exception(error)))
    return told
