"""The text of tokens, as they come."""

from collections.abc import Callable

HALF = "\N{REPLACEMENT CHARACTER}"
"""What a decoder writes for bytes that are no whole character yet."""


class Pieces:
    """Turns tokens into text piece by piece: the pieces of a completion make the text of the whole.

    A character can take several tokens, and some decoders drop the space that a text begins with: so a piece is what
    the tokens since the last piece add to the text of those before.

    Args:
        decode: The text of token ids.
        say: Hears each piece.
    """

    def __init__(self, decode: Callable[[list[int]], str], say: Callable[[str], None]):
        self.decode, self.say = decode, say
        self.ids: list[int] = []
        self._start = self._said = 0

    def hear(self, ids: list[int]) -> None:
        """Take the next tokens."""
        self.ids += ids
        text, added = self._added()
        if added and not text.endswith(HALF):
            self._give(added)

    def finish(self) -> None:
        """Say what was held back: a character that was never completed."""
        if added := self._added()[1]:
            self._give(added)

    def _added(self) -> tuple[str, str]:
        text = self.decode(self.ids[self._start :])
        return text, text[len(self.decode(self.ids[self._start : self._said])) :]

    def _give(self, piece: str) -> None:
        self._start, self._said = self._said, len(self.ids)
        self.say(piece)
