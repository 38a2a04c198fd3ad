"""Templates: a column by its name, or a text with columns in braces."""

import re
import string
from typing import Any

from rlkit.errors import RequestError


def fill(template: str, row: dict[str, Any]) -> str:
    """A column's text, or a template with the columns in it; "" where a value is missing."""
    if template in row:
        value = row[template]
        if isinstance(value, list | dict):
            part = f"{{{template}[{next(iter(value), 'key')}]}}" if isinstance(value, dict) else f"{{{template}[0]}}"
            raise RequestError(f"the column {template!r} holds a {type(value).__name__}; take a part of it: {part!r}")
        return "" if value is None else str(value)
    if any(row.get(column) is None for column in columns_in(template)):
        return ""
    try:
        return template.format_map(row)
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
