"""What a model that answers is, however it is run."""

from collections.abc import Callable
from typing import Any, Protocol

from rlkit.engines import Sampling

Messages = list[dict[str, Any]]
"""A conversation, as chat templates take it: `role` and `content` of each turn."""


class Served(Protocol):
    """A model with its tokenizer and chat template. Prompts and completions are lists of token ids."""

    name: str
    """What a person called it."""
    notes: list[str]
    """What a person should know about how it was loaded."""

    @property
    def has_template(self) -> bool:
        """Whether it says itself how a conversation is written."""
        ...

    @property
    def context(self) -> int | None:
        """Tokens that it sees, prompt and completion together; None where no bound is known."""
        ...

    def render(self, messages: Messages) -> str:
        """A conversation by its chat template, up to where the assistant's turn begins.

        Raises:
            RequestError: The template refuses it.
        """
        ...

    def tokens(self, text: str, rendered: bool) -> list[int]:
        """The tokens of a text, special ones read as such.

        Args:
            text: Any text.
            rendered: It is what `render` wrote: nothing is put in front, where plain text gets what the tokenizer adds.
        """
        ...

    def decode(self, ids: list[int]) -> str:
        """The text of tokens; special ones are left out."""
        ...

    def ends(self, token: int) -> bool:
        """Whether a token ends a completion."""
        ...

    def generate(
        self, prompts: list[list[int]], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> list[list[int]]:
        """Complete each prompt `sampling.n` times; the completions of a prompt stand together, each with its end token.

        Args:
            prompts: Each leaves room in the context.
            sampling: How tokens are drawn.
            progress: Hears how many completions there are.

        Raises:
            RunError: It failed.
        """
        ...

    def stream(self, prompt: list[int], sampling: Sampling, hear: Callable[[list[int]], None]) -> None:
        """Complete a prompt once; `hear` is told each token as it is made, the end token too."""
        ...

    def close(self) -> None:
        """Free the model; it may be called twice."""
        ...
