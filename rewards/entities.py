"""Entities: did the completion find the names in the text, and of what type each is?"""

import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from rlkit import answers, reward
from rlkit.rewards.text import said

Entities = set[tuple[str, str]]
TYPE = ("type", "label", "entity_group")
TEXT = ("text", "entity", "word")
NONE = ("none", "no entities", "n/a", "-", "[]", "{}")
"""How a completion says that there is no entity; that it says nothing is no answer."""
_AROUND = answers.AROUND + "\"'“”‘’.,"


@reward(
    "entity_f1",
    gold=[
        ("LOC: Paris; PER: Ada Lovelace", {"entities": [["LOC", "Paris"], ["PER", "Ada Lovelace"]]}, 1.0),
        ("- **PER**: Ada Lovelace\n- **LOC**: Rome", {"entities": [["LOC", "Paris"], ["PER", "Ada Lovelace"]]}, 0.5),
        ('[{"type": "loc", "text": "Paris"}]', {"entities": [{"type": "LOC", "text": "Paris"}]}, 1.0),
        ('```json\n{"LOC": ["Paris", "Rome"]}\n```', {"entities": [{"type": "LOC", "text": "Paris"}]}, 2 / 3),
        ("PER: Paris; LOC: Paris; ORG: Paris", {"entities": [["LOC", "Paris"]]}, 0.5),
        ("<answer>none</answer>", {"entities": []}, 1.0),
        ("LOC: none", {"entities": [["LOC", "Paris"]]}, 0.0),
        ("", {"entities": []}, 0.0),
        ("I see Paris.", {"entities": [["LOC", "Paris"]]}, 0.0),
        ("LOC: Paris", {"entities": None}, None),
    ],
)
def entity_f1(completion: str, entities: Any, *, whole: bool = False) -> float | None:
    """F1 of the entities that the completion's answer lists, each with its type, against the column `entities`.

    The answer (as for the text metrics) lists them in one of these forms; bullets, bold type, quotes and a code fence
    around are fine:

    - `TYPE: text`, one a line or with semicolons between;
    - JSON: a list of {"type": ..., "text": ...} or of [type, text], or {TYPE: [text, ...]}.

    `none` or an empty JSON list says that there is none. The column holds any of the JSON forms. An entity is right
    where type and text are, but for case, white space and punctuation around it; one that is named twice counts once.
    An answer that cannot be read scores 0. Of more than 20,000 characters, which are over 100 times those of the gold
    entities, no more is read.

    Range: 0 to 1; 1 where both list none. None: the row has no entities to compare with, or they cannot be read.
    Source: the CoNLL-2003 shared task (aclanthology.org/W03-0419), whose F1 is over a corpus and by position; this
    is over one text and by name.
    """
    wanted = _from_text(entities) if isinstance(entities, str) else _from_json(entities)
    if wanted is None:
        return None
    longest = max(20_000, 100 * sum(len(kind) + len(text) for kind, text in wanted))
    given = _from_text(said(completion, whole)[:longest])
    if given is None:
        return 0.0
    return 2 * len(given & wanted) / (len(given) + len(wanted)) if given or wanted else 1.0


def _from_text(text: str) -> Entities | None:
    fenced = re.fullmatch(r"[^`]*```\w*\n([^`]*)```[^`]*", text)
    text = (fenced[1] if fenced else text).strip()
    if text.startswith(("[", "{")):
        try:
            return _from_json(json.loads(text))
        except (ValueError, RecursionError):
            return None
    if text.rstrip(".").casefold() in NONE:
        return set()
    pairs = [item.partition(":")[::2] for item in re.split(r"[;\n]", text)]
    stated = [(kind, name) for kind, name in pairs if name.strip(_AROUND) and _clean(kind)]
    return (
        _named((kind, name) for kind, name in stated if name.strip(_AROUND).casefold() not in NONE) if stated else None
    )


def _from_json(value: Any) -> Entities | None:
    """The entities of a list, or of a mapping from type to texts; None where it is neither."""
    if isinstance(value, dict):
        pairs = _fields(value) or [(kind, text) for kind, texts in value.items() for text in _each(texts)]
    elif isinstance(value, list | tuple):
        pairs = [pair for item in value for pair in (_fields(item) if isinstance(item, dict) else [item]) or [None]]
    else:
        return None
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            return None
    return _named(pairs)


def _fields(item: dict[str, Any]) -> list[Any]:
    """The entity that a mapping with a type and a text is, or the several that it is as a table's columns."""
    kind, text = (next((item[key] for key in keys if key in item), None) for keys in (TYPE, TEXT))
    if kind is None or text is None:
        return []
    return list(zip(kind, text, strict=False)) if isinstance(kind, list) and isinstance(text, list) else [(kind, text)]


def _each(texts: Any) -> list[Any]:
    return texts if isinstance(texts, list) else [texts]


def _named(pairs: Iterable[Any]) -> Entities:
    return {(_clean(kind).replace("-", " "), _clean(text)) for kind, text in pairs if _clean(text)}


def _clean(text: str) -> str:
    text = re.sub(r"^\s*(?:[-*•]|[0-9]+[.)])\s+", "", unicodedata.normalize("NFC", text))
    return " ".join(text.replace("_", " ").split()).strip(_AROUND).casefold()
