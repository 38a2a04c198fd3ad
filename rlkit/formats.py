"""Files that datasets has no loader for: CoNLL's columns of tokens and tags, and SQuAD's nested JSON."""

import bz2
import gzip
import io
import json
import lzma
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rlkit.errors import RequestError

COMPRESSED: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_TAG = re.compile(r"O|[BIESLUM]-.+")
_PEEK = 1 << 16
"""Characters at a file's beginning that tell what it holds: SQuAD opens its first `paragraphs` there."""


def conll(path: Path) -> list[dict[str, list[str]]]:
    """Sentences of a CoNLL file (CoNLL-2003, IOB2): `tokens` from its first column and `tags` from its last.

    A line is a token, its columns apart by tabs, or by spaces where the first such line has no tab. Blank lines end
    sentences. `-DOCSTART-` lines are left out, and so are lines like `# id 7` without a tag; `#` with a tag is a token.

    Raises:
        RequestError: A line has no tag, or not as many columns as the first; with its number.
    """
    with opened(path) as file:
        lines = [(number, line.rstrip("\r\n")) for number, line in enumerate(file, start=1)]
    meant = [line for _, line in lines if line.strip() and not line.startswith(("# ", "-DOCSTART-"))]
    tabs = bool(meant) and "\t" in meant[0]

    def split(line: str) -> list[str]:
        return [column.strip(" ") for column in line.split("\t")] if tabs else re.findall(r"[^ \t]+", line)

    width = len(split(meant[0])) if meant else 0
    tags = {split(line)[-1] for line in meant}
    rows: list[dict[str, list[str]]] = []
    ended = True
    for number, line in lines:
        if not line.strip() or line.startswith("-DOCSTART-"):
            ended = True
            continue
        columns = split(line)
        fits = len(columns) == width and width > 1
        if line.startswith("# ") and not (fits and (columns[-1] in tags or _TAG.fullmatch(columns[-1]))):
            continue
        if not fits or not columns[0] or not columns[-1]:
            raise RequestError(f"line {number}: {_wrong(columns, width, tabs)}: {line[:60]!r}")
        if ended:
            rows.append({"tokens": [], "tags": []})
            ended = False
        rows[-1]["tokens"].append(columns[0])
        rows[-1]["tags"].append(columns[-1])
    return rows


def squad(path: Path) -> list[dict[str, Any]] | None:
    """Questions of a SQuAD file (v1.1 or v2.0), as the hub's `squad` has them; None where it is another JSON.

    Rows have `id`, `title`, `context`, `question` and `answers`: {text: [...], answer_start: [...]}, both empty where
    the text has no answer.

    Raises:
        RequestError: A part that each question needs is missing; with where.
    """
    with opened(path) as file:
        start = file.read(_PEEK)
        if not start.lstrip().startswith("{") or '"paragraphs"' not in start:
            return None
        try:
            read = json.loads(start + file.read())
        except ValueError:  # rows one a line, or broken: for the JSON loader to tell
            return None
    articles = read.get("data")
    if not isinstance(articles, list) or not any(isinstance(each, dict) and "paragraphs" in each for each in articles):
        return None
    rows = []
    for at, article in enumerate(articles):
        for number, paragraph in enumerate(_part(article, "paragraphs", f"data[{at}]")):
            where = f"data[{at}].paragraphs[{number}]"
            context = _part(paragraph, "context", where)
            for index, asked in enumerate(_part(paragraph, "qas", where)):
                here = f"{where}.qas[{index}]"
                answers = asked.get("answers") or []
                rows.append(
                    {
                        "id": str(_part(asked, "id", here)),
                        "title": article.get("title") or "",
                        "context": context,
                        "question": _part(asked, "question", here),
                        "answers": {
                            key: [_part(answer, key, f"{here}.answers") for answer in answers]
                            for key in ("text", "answer_start")
                        },
                    }
                )
    return rows


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """A text file, packed or not, in UTF-8."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as packed, packed.open(packed.namelist()[0]) as inner:
            yield io.TextIOWrapper(inner, encoding="utf-8-sig")
        return
    with COMPRESSED.get(path.suffix.lower(), open)(path, "rt", encoding="utf-8-sig") as file:
        yield file


def _part(value: Any, key: str, where: str) -> Any:
    if not isinstance(value, dict) or key not in value:
        raise RequestError(f"{where} has no {key!r}, which SQuAD's format has there")
    return value[key]


def _wrong(columns: list[str], width: int, tabs: bool) -> str:
    if len(columns) < 2:
        return f"no tag after the token, a {'tab' if tabs else 'space'} between them"
    if len(columns) != width:
        return f"{len(columns)} columns, and the first line has {width}"
    return "the token is empty" if not columns[0] else "the tag is empty"
