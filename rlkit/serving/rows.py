"""Rows with prompts, one JSON object a line; and where completions go."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from rlkit.errors import RequestError
from rlkit.serving.prompt import is_conversation
from rlkit.serving.served import Messages


class Row(NamedTuple):
    """A line of a file, and what it asks."""

    where: str
    """File and line, for messages."""
    data: dict[str, Any]
    """The object as it stands there."""
    asked: str | Messages
    """Its `prompt`, else its `messages`."""


def read(file: Path) -> list[Row]:
    """The rows of a jsonl file; empty lines are skipped.

    Raises:
        RequestError: It is missing or empty, or a line is no object with a prompt; with the line's number.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise RequestError(f"--data {file}: there is no such file (from {Path.cwd()})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"--data {file}: cannot be read: {error}") from None
    rows = [_row(f"{file}, line {number}", line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not rows:
        raise RequestError(f"--data {file} has no rows")
    return rows


@contextmanager
def written(file: Path) -> Iterator[TextIO]:
    """A new file that stands there only when it is whole."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as opened:
            yield opened
        partial.rename(file)
    finally:
        partial.unlink(missing_ok=True)


def _row(where: str, line: str) -> Row:
    try:
        data = json.loads(line)
    except ValueError as error:
        raise RequestError(f"{where}: not JSON ({error})") from None
    if not isinstance(data, dict):
        raise RequestError(f"{where}: a {type(data).__name__}, not an object with a prompt")
    if "completion" in data:
        raise RequestError(f"{where}: it has a completion already, which would be lost: rename that column")
    column = next((name for name in ("prompt", "messages") if name in data), None)
    if column is None:
        has = ", ".join(data) or "nothing"
        raise RequestError(
            f"{where}: no prompt; a row has `prompt` (a text, or messages) or `messages`, and this {has}"
        )
    asked = data[column]
    if not (isinstance(asked, str) and column == "prompt") and not is_conversation(asked):
        kinds = "a text or a list of messages" if column == "prompt" else "a list of messages"
        raise RequestError(f"{where}: {column} is {asked!r:.80}, and should be {kinds} ({{role, content}})")
    if not isinstance(asked, str) and asked[-1]["role"] == "assistant":
        raise RequestError(f"{where}: {column} end with the assistant's turn: there is nothing to answer")
    return Row(where, data, asked)
