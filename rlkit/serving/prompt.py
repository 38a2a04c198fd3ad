"""What a model is asked, written as it was trained to read it."""

from typing import Any, NamedTuple

from rlkit.answers import THINKING
from rlkit.errors import RequestError
from rlkit.prompts import takes_system
from rlkit.serving.served import Messages, Served


class Prompt(NamedTuple):
    """Token ids, ready for the assistant's turn."""

    ids: list[int]
    opening: str = ""
    """What the chat template itself wrote of the answer, as `<think>`: the completion goes on from there."""


class Prompter:
    """Writes prompts for a model: by its chat template, or as plain text where it has none.

    Args:
        served: The model.
        system: The system prompt; conversations that begin with one of their own keep that.
        chat: False: as plain text, although there is a template.
        raw: The text as it is, without template and system prompt.
    """

    def __init__(self, served: Served, system: str | None = None, chat: bool = True, raw: bool = False):
        self.served, self.system, self.raw = served, system, raw
        self.chat = served.has_template and chat and not raw
        self._folds = self.chat and system is not None and not takes_system(served.render)

    def prompt(self, asked: str | Messages, most: int = 1) -> Prompt:
        """The prompt that a text, or a conversation up to the assistant's turn, comes to.

        Args:
            asked: What is asked.
            most: Tokens that its completion may have; they need not all have room.

        Raises:
            RequestError: A conversation that nothing can be written from, an empty prompt, or one that is too long.
        """
        if self.chat:
            messages = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
            text = self.served.render(self._with_system(messages))
            made = Prompt(self.served.tokens(text, rendered=True), _opened(text))
        elif isinstance(asked, str):
            system = None if self.raw else self.system
            text = f"{system}\n\n{asked}" if system else asked
            made = Prompt(self.served.tokens(text, rendered=False))
        else:
            why = "--raw takes no template" if self.raw else "the model has no chat template"
            raise RequestError(f"it is a conversation, and {why}: give the prompt as text")
        context = self.served.context
        if not made.ids:
            raise RequestError("it has no tokens: there is nothing to go on from")
        if context is not None and len(made.ids) >= context:
            raise RequestError(
                f"it has {len(made.ids):,} tokens, and the model sees {context:,}, its completion of up to {most:,} "
                "included: make it shorter"
            )
        return made

    def _with_system(self, messages: Messages) -> Messages:
        if self.system is None or (messages and messages[0].get("role") == "system"):
            return messages
        if self._folds and messages and isinstance(messages[0].get("content"), str):
            first = {**messages[0], "content": f"{self.system}\n\n{messages[0]['content']}"}
            return [first, *messages[1:]]
        return [{"role": "system", "content": self.system}, *messages]


def template_refuses(error: Exception) -> RequestError:
    """What to say where a chat template fails on a conversation."""
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return RequestError(f"the model's chat template refuses the conversation: {said}")


def _opened(text: str) -> str:
    """The tag of thinking that a rendered prompt ends with, and the space behind it."""
    for tag in THINKING:
        at = text.rfind(tag)
        if at >= 0 and not text[at + len(tag) :].strip():
            return text[at:]
    return ""


def is_conversation(value: Any) -> bool:
    """Whether a value is a list of messages, each with its role."""
    return isinstance(value, list) and bool(value) and all(isinstance(m, dict) and "role" in m for m in value)
