"""What an engine is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from rlkit.errors import RequestError


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; temperature 0 is greedy."""

    max_completion_length: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float | None = None
    repetition_penalty: float = 1.0
    n: int = 1
    """Completions of each prompt."""
    seed: int | None = None
    logprobs: bool = False
    """Also give the log-probabilities of the sampled tokens."""


class Generated(NamedTuple):
    """Completions in the order of the prompts, the n of one prompt together.

    A completion ends with its end token, or is clipped at the maximal length. `logprobs` holds the log-probability
    of each sampled token under the distribution that it was drawn from (float, nats; after temperature, top-k, top-p
    and penalties); empty lists where not asked for.
    """

    completion_ids: list[list[int]]
    logprobs: list[list[float]]


class Engine(Protocol):
    """Generates completions, and takes the policy's new weights. A new engine serves the policy as it is then."""

    exact: bool
    """Whether it samples from the policy's own logits; else training weighs by the log-probabilities that it gives."""

    def generate(
        self, prompt_ids: list[list[int]], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> Generated:
        """Complete each prompt `sampling.n` times; `progress` hears how many completions there are.

        Raises:
            RequestError: A prompt is empty, or leaves no room in the model's context (see `limits`).
            RunError: The engine failed.
        """
        ...

    def sync(self, policy: Any) -> None:
        """Take the policy's weights as they are now.

        Raises:
            RunError: They could not be taken.
        """
        ...

    def close(self) -> None:
        """Free what the engine holds; it may be called twice."""
        ...


def limits(prompt_ids: Sequence[Sequence[int]], sampling: Sampling, context: int | None) -> list[int]:
    """The most tokens that a completion of each prompt may have: as asked, and no more than the context leaves.

    Args:
        prompt_ids: The prompts.
        sampling: Its `max_completion_length` is what was asked.
        context: Tokens that the model can see, prompt and completion together; None: no bound is known.

    Raises:
        RequestError: A prompt is empty, or as long as the context or longer.
    """
    for index, ids in enumerate(prompt_ids):
        if not len(ids):
            raise RequestError(f"prompt {index} (counted from 0) has no tokens: there is nothing to go on from")
        if context is not None and len(ids) >= context:
            raise RequestError(
                f"prompt {index} (counted from 0) has {len(ids)} tokens, and the model sees {context}, its completion "
                f"included: data.max_prompt_length={context - sampling.max_completion_length} leaves such prompts out"
                if context > sampling.max_completion_length
                else f"prompt {index} (counted from 0) has {len(ids)} tokens, and the model sees {context}"
            )
    room = sampling.max_completion_length
    return [room if context is None else min(room, context - len(ids)) for ids in prompt_ids]
