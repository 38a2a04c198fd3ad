"""How SQuAD compares an answer with another (arXiv 1606.05250, 1806.03822)."""

import re
import string
from collections import Counter


def words(text: str) -> list[str]:
    """The words that SQuAD compares: in small letters, without ASCII punctuation and articles."""
    bare = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(?:a|an|the)\b", " ", bare).split()


def f1(given: list[str], wanted: list[str], empty: float) -> float:
    """F1 of words, each as often as it stands; `empty` for two texts without words (SQuAD 1.1: 0, SQuAD 2.0: 1)."""
    if not given and not wanted:
        return empty
    shared = (Counter(given) & Counter(wanted)).total()
    return 2 * shared / (len(given) + len(wanted))
