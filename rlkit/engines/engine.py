"""What an engine is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


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
    """Also give the log-probabilities; they cost memory (tokens x vocabulary)."""


class Generated(NamedTuple):
    """Completions in the order of the prompts, the n of one prompt together.

    A completion ends with its end token, or is clipped at the maximal length. `logprobs` holds the log-probability
    of each sampled token under the distribution that it was drawn from (float, nats); empty where not asked for.
    """

    completion_ids: list[list[int]]
    logprobs: list[list[float]]


class Engine(Protocol):
    """Generates completions, and takes the policy's new weights."""

    def generate(
        self, prompt_ids: list[list[int]], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> Generated:
        """Complete each prompt `sampling.n` times; `progress` hears how many completions there are."""
        ...

    def sync(self, policy: Any) -> None:
        """Take the policy's weights."""
        ...

    def close(self) -> None:
        """Free what the engine holds."""
        ...
