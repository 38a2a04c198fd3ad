"""Names that were mistyped, and the ones that were meant."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name most like `word`, or None where none is near."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def unknown(kind: str, word: str, known: Iterable[str], hint: str = "") -> str:
    """One sentence for an unknown name: the nearest right one, else all that there are."""
    known = sorted(known)
    close = nearest(word, known)
    if close:
        return f"unknown {kind} {word!r}; did you mean {close!r}?"
    if len(known) > 12:
        return f"unknown {kind} {word!r}" + (f"; {hint}" if hint else "")
    return f"unknown {kind} {word!r}; " + (f"there are: {', '.join(known)}" if known else "there are none")
