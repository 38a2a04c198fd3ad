"""Prompts to completions, as text."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rlkit.engines import Sampling
from rlkit.errors import RequestError
from rlkit.serving.prompt import Prompter
from rlkit.serving.served import Messages, Served


class Completion(NamedTuple):
    """What a model wrote."""

    text: str
    """With what the chat template wrote of it in front (`<think>`)."""
    tokens: int
    """How many it made, the end token included."""
    clipped: bool
    """Whether it was cut off at the most tokens that it may have."""


def complete(
    served: Served,
    prompter: Prompter,
    asked: Sequence[tuple[str, str | Messages]],
    sampling: Sampling,
    progress: Callable[[int], None] | None = None,
) -> list[list[Completion]]:
    """Complete each prompt `sampling.n` times.

    Args:
        served: The model.
        prompter: Writes its prompts.
        asked: Of each prompt what it is called in messages, and what is asked.
        sampling: How tokens are drawn.
        progress: Hears how many completions there are.

    Raises:
        RequestError: A prompt cannot be written, or is too long; the message names it.
        RunError: The engine failed.
    """
    prompts = []
    for where, what in asked:
        try:
            prompts.append(prompter.prompt(what, sampling.max_completion_length))
        except RequestError as error:
            raise RequestError(f"{where}: {error}") from None
    made = served.generate([prompt.ids for prompt in prompts], sampling, progress)
    completions = []
    for index, prompt in enumerate(prompts):
        group = made[index * sampling.n : (index + 1) * sampling.n]
        completions.append(
            [
                Completion(prompt.opening + served.decode(ids), len(ids), not (ids and served.ends(ids[-1])))
                for ids in group
            ]
        )
    return completions
