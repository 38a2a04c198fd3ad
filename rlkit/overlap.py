"""How much of one text stands in another: by its words, in pieces of eight."""

import re
import sys
import unicodedata
from collections import Counter

GRAM = 8
"""Words that make a piece; a shorter text is one piece."""
SHORT = 5
"""A text with fewer words that have letters, as "2 + 3", is short."""
COMMON = 50
"""A piece of more texts than these, or of more than half of them, does not count: it is a template's, and says nothing
of any one of them. Below ten texts, a piece of more than five."""

_BY_CHARACTER = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # scripts that put no space between words
_WORDS = re.compile(
    r"\d+(?:[.,]\d+)+"  # 3.5 is not 3 and 5
    rf"|[{_BY_CHARACTER}]|[^\W{_BY_CHARACTER}]+"
    r"|(?<![^\W\d])-|-(?![^\W\d])"  # a minus is a word, a hyphen is not
    r"""|[^\w\s\-.,;:!?…'"`´‘’“”„«»‐‑–—¿¡、。，；：？！「」]"""  # + * / = ( tell one sum from another
)


def words(text: str) -> list[str]:
    """The words, numbers and symbols of a text, without case and the punctuation of sentences."""
    found = _WORDS.findall(unicodedata.normalize("NFC", text).casefold())
    return list(map(sys.intern, found))  # a word is held once, however often it stands there


def short(text: list[str]) -> bool:
    """Whether a text has so few words that a part of another is no copy of it."""
    return sum(any(map(str.isalpha, word)) for word in text) < SHORT


def near(asked: list[list[str]], training: list[list[str]], threshold: float) -> dict[int, tuple[int, float]]:
    """Texts of which most stands in one other text, `short` ones as any other.

    The pieces of the texts asked for are held in an index by their hashes, and the others go by it one after the other:
    time grows with the words of both, where a word costs up to `COMMON` look-ups more if so many texts have its piece;
    the index's memory grows with the words of the texts asked for alone.

    Args:
        asked: Texts as words, each once.
        training: Texts that may hold them.
        threshold: Share of a text's pieces that is enough, in 0..1.

    Returns:
        By place in `asked`: the first of the texts that hold the most of it, and the share.
    """
    index: dict[int, tuple[int, ...]] = {}
    lengths = {min(GRAM, len(text)) for text in asked}
    limit = max(5, min(COMMON, len(asked) // 2))
    for at, text in enumerate(asked):
        own = (at,)  # one object for all pieces that no other text has, and those are most
        for piece in _pieces(text, min(GRAM, len(text))):
            before = index.get(piece, ())
            if len(before) <= limit:
                index[piece] = before + own if before else own
    index = {piece: places for piece, places in index.items() if len(places) <= limit}
    sizes = Counter(at for places in index.values() for at in places)
    best: dict[int, tuple[int, float]] = {}
    for other, text in enumerate(training):
        hits: Counter[int] = Counter()
        for length in lengths:
            for piece in _pieces(text, length) & index.keys():
                hits.update(index[piece])
        for at, count in hits.items():
            share = count / sizes[at]
            if share >= threshold - 1e-9 and share > best.get(at, (0, 0.0))[1]:
                best[at] = (other, share)
    return best


def _pieces(text: list[str], length: int) -> set[int]:
    """Hashes of the word n-grams of a text."""
    return {hash(piece) for piece in zip(*(text[start:] for start in range(length)), strict=False)}
