"""Structure: is the completion code, JSON or text of the form that was asked for?"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal

from rlkit import answers, reward
from rlkit.rewards import compat as peers
from rlkit.rewards.sections import Sections, contents, layout, says_something

LONGEST_JSON = 50_000
"""Characters beyond which JSON is not read: no answer is so long, and checking it would hold up the batch."""
DEEPEST_JSON = 100
"""Levels of nesting beyond which JSON is not read."""


LANGUAGES: list[set[str]] = [
    {"python", "py", "python3"}, {"javascript", "js"}, {"typescript", "ts"}, {"bash", "sh", "shell"}, {"c++", "cpp"},
    {"c#", "csharp", "cs"}, {"go", "golang"}, {"rust", "rs"}, {"ruby", "rb"}, {"kotlin", "kt"}, {"yaml", "yml"},
    {"markdown", "md"},
]  # fmt: skip
"""The names by which a fence knows a language."""
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$", re.MULTILINE)


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a text that are closed: the language, in lower case, and what stands inside."""
    return ((language, text[start:end]) for language, start, end in _spans(text))


def _spans(text: str) -> Iterator[tuple[str, int, int]]:
    """The languages of the closed blocks, and where what stands inside begins and ends."""
    opening: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opening is None:
            opening = fence if "`" not in fence[2] else None
        elif fence[1].startswith(opening[1]) and not fence[2].strip():
            yield " ".join(opening[2].split()[:1]).casefold(), opening.end() + 1, fence.start()
            opening = None


def _answer(completion: str) -> str:
    """What follows the thinking, as it is; of that what stands in the last <answer>, where one is outside a block."""
    text = completion[answers.after_thinking(completion) :]
    begins = [0, *(end for _, _, end in _spans(text))]
    ends = [*(start for _, start, _ in _spans(text)), len(text)]
    if not any("<answer>" in text[begin:end] for begin, end in zip(begins, ends, strict=True)):
        return text
    return text.rpartition("<answer>")[2].partition("</answer>")[0]


@reward(
    "code_format",
    gold=[
        ("```python\nprint(4)\n```", {}, 1.0),
        ("<think>Print it.</think>\nHere:\n```Python\nprint(4)\n```\nDone.", {}, 1.0),
        ("```python\nprint(4)", {}, 0.0),
        ("```python\n\n```", {}, 0.0),
        ("```\nprint(4)\n```", {}, 0.0),
        ("```python\na = 1\n```\n```python\nb = 2\n```", {}, 0.0),
        ("```sql\nselect 4\n```", {"language": "sql"}, 1.0),
        ("<think>a</think><answer>\n```python\nb\n```\n</answer>", {"sections": ["think", "answer"]}, 1.0),
        ("<think>a</think>\n```python\nb\n```", {"sections": ["think", "answer"]}, 0.0),
        ("<think>\na\n</think>\n<answer>\n```python\nb\n```\n</answer>", {"compat": "open-r1"}, 1.0),
    ],
)
class CodeFormat:
    """1.0 where the answer holds exactly one fenced block of the language, closed and not empty.

    What stands around the block, and blocks of other languages, are free; what is written while thinking does not
    count.

    Parameters: `language` is the word after the fence (```python), in any case, or a usual short form of it
    (```py); `sections`, as for `format`: where
    set, the completion is exactly these and the last one holds the block. `compat` is for its own tags.

    Range: 0 or 1. None: never.
    Source: open-r1's code format reward, which wants its think and answer tags around it and takes fences that stand
    inside a line, hold nothing or are closed by another block.
    """

    def __init__(
        self, *, language: str = "python", sections: Sections | None = None, compat: Literal["open-r1"] | None = None
    ):
        if not language or len(language.split()) != 1 or "`" in language:
            raise ValueError(f"language {language!r} is not one word")
        self.language = language
        self.names = next((names for names in LANGUAGES if language.casefold() in names), {language.casefold()})
        self.sections = None if sections is None else layout(sections)
        self.compat = compat

    def __call__(self, completion: str) -> float:
        """Score one completion."""
        if self.compat:
            return peers.open_r1_code_format(completion, self.language)
        parts = [_answer(completion)] if self.sections is None else contents(completion, self.sections)
        answer = parts[-1] if parts else ""
        ours = [code for language, code in blocks(answer) if language in self.names]
        return float(len(ours) == 1 and says_something(ours[0]))


_PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


@reward(
    "json_schema",
    gold=[
        ('{"age": 4}', {"schema": _PERSON}, 1.0),
        ('<think>Four.</think>Here it is:\n```json\n{"age": 4}\n```', {"schema": _PERSON}, 1.0),
        ('<answer>\n```json\n{"age": 4}\n```\n</answer>', {"schema": _PERSON}, 1.0),
        ('{"age": "four"}', {"schema": _PERSON}, 0.0),
        ('{"age": 4} or {"age": 5}', {"schema": _PERSON}, 0.0),
        ('{"age": 3, "age": 4}', {"schema": _PERSON}, 0.0),
        ('{"age": 4, "height": NaN}', {"schema": _PERSON}, 0.0),
        ("", {"schema": _PERSON}, 0.0),
    ],
    timeout=5.0,
    requires=("jsonschema", "rlkit[rewards]"),
)
class JsonSchema:
    """1.0 where the answer is JSON that fits a schema.

    The answer is what follows the thinking: what stands in <answer> where there is one, of that the fenced block
    where there is one, else all of it. Two blocks are no answer. JSON is read as its standard has it: no NaN or
    Infinity, no key twice; nor is any read that is deeper than 100 levels or longer than 50,000 characters.

    Parameters: `schema` is a JSON Schema, of the draft that its `$schema` names (else the newest). References lead
    nowhere outside it.

    Range: 0 or 1. None: never, but for the time limit: a schema's own patterns can hang.
    Source: JSON Schema (json-schema.org), by the package jsonschema.
    """

    def __init__(self, *, schema: dict[str, Any]):
        import jsonschema
        from jsonschema_specifications import REGISTRY

        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        try:
            kind.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise ValueError(f"schema is no JSON Schema: {error.json_path}: {error.message}") from None
        self.validator = kind(schema, registry=REGISTRY)

    def __call__(self, completion: str) -> float:
        """Score one completion."""
        with suppress(ValueError, RecursionError, OverflowError):  # JSON alone, which may speak of tags
            return float(self.validator.is_valid(_read(completion[answers.after_thinking(completion) :])))
        text = _answer(completion)
        fenced = [inside for language, inside in blocks(text) if language in ("", "json")]
        if len(fenced) > 1:
            return 0.0
        try:
            return float(self.validator.is_valid(_read(fenced[0] if fenced else text)))
        except (ValueError, RecursionError, OverflowError):  # OverflowError: a number too large for the schema's sums
            return 0.0


def _read(text: str) -> Any:
    """Parse JSON strictly.

    Raises:
        ValueError: It is none, or too long or too deep to be read.
    """
    if len(text) > LONGEST_JSON:
        raise ValueError("too long")
    depth = deepest = 0
    for mark in re.finditer(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', text, re.DOTALL):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark[0], 0)
        deepest = max(deepest, depth)
    if deepest > DEEPEST_JSON:
        raise ValueError("too deep")
    return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite)


def _once(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key twice")
    return made


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"


@reward(
    "regex",
    gold=[
        ("<think>Year first.</think><answer>2024-02-29</answer>", {"pattern": _DATE}, 1.0),
        ("<answer>on 2024-02-29</answer>", {"pattern": _DATE}, 0.0),
        ("2024-02-29", {"pattern": _DATE}, 0.0),
        ("", {"pattern": _DATE}, 0.0),
        ("<answer>on 2024-02-29</answer>", {"pattern": _DATE, "full": False}, 1.0),
        ("2024-02-29\n", {"pattern": _DATE, "where": "text"}, 1.0),
    ],
    timeout=2.0,
)
class Regex:
    r"""1.0 where the answer matches a regular expression.

    Parameters: `pattern`, in Python's syntax; `where` is the answer, which the completion has to give explicitly
    (<answer>, \boxed{}, ####, "the answer is"), or the whole text; `full`: all of it has to match, white space at its
    ends aside; else the pattern may be found anywhere in it, and a completion that lists everything will match.

    Range: 0 or 1. None: never, but for the time limit: a pattern can hang.
    Source: Python's re; flags go into the pattern, as in `(?i)yes|no`.
    """

    def __init__(self, *, pattern: str, where: Literal["text", "answer"] = "answer", full: bool = True):
        try:
            compiled = re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"pattern {pattern!r} is no regular expression: {error}") from None
        self.match = compiled.fullmatch if full else compiled.search
        self.where = where

    def __call__(self, completion: str) -> float:
        """Score one completion."""
        if self.where == "text":
            return float(self.match(completion.strip()) is not None)
        found = answers.extract(completion, answers.EXPLICIT)
        return float(found is not None and self.match(found.text) is not None)
