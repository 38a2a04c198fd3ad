"""Entities as a text lists them: names, each with its type."""

import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from rlkit import answers

Entities = set[tuple[str, str]]
TYPE = ("type", "label", "entity_group")
TEXT = ("text", "entity", "word")
NONE = ("none", "no entities", "n/a", "-", "[]", "{}")
"""How a completion says that there is no entity; that it says nothing is no answer."""
_AROUND = answers.AROUND + "\"'“”‘’.,"


def from_text(text: str) -> Entities | None:
    """The entities of a list in one of the forms of the reward `entity_f1`; None where the text is none of them."""
    fenced = re.fullmatch(r"[^`]*```\w*\n([^`]*)```[^`]*", text)
    text = (fenced[1] if fenced else text).strip()
    if text.startswith(("[", "{")):
        try:
            return from_json(json.loads(text))
        except (ValueError, RecursionError):
            return None
    if text.rstrip(".").casefold() in NONE:
        return set()
    pairs = [item.partition(":")[::2] for item in re.split(r"[;\n]", text)]
    stated = [(kind, name) for kind, name in pairs if name.strip(_AROUND) and plain(kind)]
    return (
        _named((kind, name) for kind, name in stated if name.strip(_AROUND).casefold() not in NONE) if stated else None
    )


def from_json(value: Any) -> Entities | None:
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
    return {(plain_type(kind), plain(text)) for kind, text in pairs if plain(text)}


def plain_type(kind: str) -> str:
    """A type in the form in which equal ones are equal."""
    return plain(kind).replace("-", " ")


def plain(text: str) -> str:
    """A name in the form in which equal ones are equal: no bullets, no punctuation around it, one case."""
    text = re.sub(r"^\s*(?:[-*•]|[0-9]+[.)])\s+", "", unicodedata.normalize("NFC", text))
    return " ".join(text.replace("_", " ").split()).strip(_AROUND).casefold()
