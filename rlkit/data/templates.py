"""Templates: a column by its name, or a text with columns in braces."""

import re
import string
from collections.abc import Callable
from typing import Any

from rlkit.errors import RequestError

LETTERS = string.ascii_uppercase


def fill(template: str, row: dict[str, Any]) -> str:
    """A column's text, or a template with the columns in it; "" where a value is missing.

    Besides Python's format specs a column may be written by one of `FORMS`: "{choices:lettered}".

    Raises:
        RequestError: The value is of another shape than the template asks for.
    """
    if template in row:
        value = row[template]
        if isinstance(value, list | dict):
            part = f"{{{template}[{next(iter(value), 'key')}]}}" if isinstance(value, dict) else f"{{{template}[0]}}"
            raise RequestError(f"the column {template!r} holds a {type(value).__name__}; take a part of it: {part!r}")
        return "" if value is None else str(value)
    if any(row.get(column) is None for column in columns_in(template)):
        return ""
    try:
        return _FORMATTER.vformat(template, (), row)
    except (ValueError, AttributeError, KeyError, IndexError, TypeError) as error:
        raise RequestError(f"template {template!r}: {type(error).__name__}: {error}") from None


def columns_in(template: str) -> list[str]:
    """The columns that a template names; a text without braces is a column itself."""
    if "{" not in template:
        return [template]
    try:
        found = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise RequestError(f"template {template!r}: {error}; a brace that is meant is doubled: {{{{") from None
    return [re.split(r"[.\[]", name)[0] for name in found]


def _lettered(value: Any) -> str:
    """The entries of a list as lines "A. ...", "B. ..."."""
    entries = _entries(value, "lettered")
    if len(entries) > len(LETTERS):
        raise ValueError(f"lettered: {len(entries)} entries, and there are {len(LETTERS)} letters")
    return "\n".join(f"{letter}. {entry}" for letter, entry in zip(LETTERS, entries, strict=False))


def _lines(value: Any) -> str:
    """The entries of a list, each on a line of its own."""
    return "\n".join(map(str, _entries(value, "lines")))


def _letter(value: Any) -> str:
    """The letter of an entry that is counted from 0: 0 is A."""
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,2}", str(value)) or int(value) >= len(LETTERS):
        raise ValueError(f"letter: it is {value!r}, not a number from 0 to {len(LETTERS) - 1}")
    return LETTERS[int(value)]


def _entries(value: Any, form: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{form} writes a list, and the value is a {type(value).__name__}: {value!r:.60}")
    return list(value)


FORMS: dict[str, Callable[[Any], str]] = {"lettered": _lettered, "letter": _letter, "lines": _lines}
"""Ways to write a column in a template, `{column:form}`, that Python's format specs do not have."""


class _Formatter(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> Any:
        return FORMS[format_spec](value) if format_spec in FORMS else super().format_field(value, format_spec)


_FORMATTER = _Formatter()
