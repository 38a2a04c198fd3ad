"""A conversation with a model, turn by turn."""

from collections.abc import Callable
from dataclasses import replace

from rlkit.engines import Sampling
from rlkit.serving.pieces import Pieces
from rlkit.serving.prompt import Prompter
from rlkit.serving.served import Messages, Served


class Conversation:
    """Keeps what was said, and has the model answer it.

    A model without a chat template does not know turns: it goes on from each text by itself.

    Args:
        served: The model.
        prompter: Writes its prompts.
        sampling: How tokens are drawn.
    """

    def __init__(self, served: Served, prompter: Prompter, sampling: Sampling):
        self.served, self.prompter, self.sampling = served, prompter, sampling
        self.messages: Messages = []

    def ask(self, text: str, say: Callable[[str], None]) -> bool:
        """Say something, and hear the answer piece by piece; where it is broken off, what was heard is kept.

        Args:
            text: The user's turn.
            say: Hears the pieces.

        Returns:
            Whether the answer came to its end; False: it was cut off at the most tokens that it may have.

        Raises:
            RequestError: The conversation is too long for the model, or its template refuses it; nothing was kept.
        """
        asked: Messages = [*self.messages, {"role": "user", "content": text}]
        most = self.sampling.max_completion_length
        prompt = self.prompter.prompt(asked if self.prompter.chat else text, most)
        heard: list[str] = []

        def hear(piece: str) -> None:
            heard.append(piece)
            say(piece)

        if prompt.opening:
            hear(prompt.opening)
        pieces = Pieces(self.served.decode, hear)
        try:
            self.served.stream(prompt.ids, replace(self.sampling, n=1), pieces.hear)
            pieces.finish()
        finally:
            self.messages = [*asked, {"role": "assistant", "content": "".join(heard)}]
        return bool(pieces.ids) and self.served.ends(pieces.ids[-1])

    def reset(self) -> None:
        """Forget what was said."""
        self.messages = []
