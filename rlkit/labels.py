"""Labels as a text names them."""

import re
import unicodedata
from collections.abc import Sequence

AROUND = frozenset(("the", "a", "label", "labels", "answer", "category", "class", "text", "is", "are", "it", "and"))
"""Words that may stand around labels: what says anything else beside them hedges, and is no answer."""
NONE = ("none", "no label", "n/a", "[]", "-")
"""How a text says that it has no label."""


def one_of(text: str, labels: Sequence[str]) -> str | None:
    """The one label that a text names, in whatever case; None where it names none or several, or says more than that.

    A label that stands inside a longer one that is named too does not count: "not entailment" is not "entailment".
    """
    found = _found(text, labels)
    return found[0] if len(found) == 1 else None


def named(text: str, labels: Sequence[str]) -> list[str] | None:
    """Every label that a text lists, sorted; [] where it says that there is none, None where it says anything else."""
    found = _found(text, labels)
    if found:
        return sorted(found)
    return [] if _plain(text) in {_plain(word) for word in NONE} else None


def _found(text: str, labels: Sequence[str]) -> list[str]:
    plain, found = f" {_plain(text[:20_000])} ", []
    for label in sorted(labels, key=lambda each: -len(_plain(each))):
        wanted = f" {_plain(label)} "
        if wanted.strip() and wanted in plain:
            found.append(label)
            plain = plain.replace(wanted, "  ")
    return found if {*plain.split()} <= AROUND else []


def _plain(text: str) -> str:
    """Words with single spaces between: case, punctuation, underscores and accents' forms do not count."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"[^\W_]+", text)) or text.strip()
