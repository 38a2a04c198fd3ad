"""The verdict of another reward: which completions are correct."""

import inspect
from collections.abc import Sequence
from typing import Any

from rlkit import plugins
from rlkit.values import now


class Verdict:
    """A reward asked which completions are correct: those that it gives 1.0 or more.

    Args:
        by: Its name.

    Attributes:
        columns: The dataset columns that it needs.
    """

    def __init__(self, by: str):
        self.reward = plugins.find(by).configure()
        self.columns = self.reward.columns

    def __call__(self, batch: dict[str, Any]) -> Sequence[bool | None]:
        """Correct or not; None where the reward does not apply to a completion, or failed on it.

        Args:
            batch: `completions` and what else a reward may ask for, one entry a completion; what is None is not there.

        Raises:
            Exception: It failed on every completion: the last error.
        """
        errors: list[Exception] = []
        given = {key: values for key, values in batch.items() if values is not None}
        values = self.reward.score(given, lambda _, error: errors.append(error))
        values = now(values) if inspect.isawaitable(values) else values
        if errors and len(errors) == len(values):
            raise errors[-1]
        return [None if value is None else value >= 1.0 for value in values]
