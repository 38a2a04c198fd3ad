r"""What a completion answered, told by one set of rules for rewards and evaluation alike.

Thinking is set aside first: a block between `<think>`, `<reasoning>`, `<thinking>` or
`<|begin_of_thought|>` and its end, also where the opening tag is missing (a chat template wrote it) or
the block never ends. Then the rules are tried in order, and the first that finds anything gives the
answer; within a rule the last occurrence counts.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

THINKING = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<reasoning>": "</reasoning>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
}
NUMBER = r"[-+]?(?:(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)(?:/[0-9]+)?"


AROUND = " \t\r\n*_`"
"""White space and the marks of Markdown's emphasis, which are no part of an answer."""


class Answer(NamedTuple):
    """An answer, the rule that found it, and where in the completion it stands."""

    text: str
    rule: str
    start: int
    end: int


def extract(completion: str, rules: Sequence[str] | None = None) -> Answer | None:
    """The answer that a completion gives, or None.

    Args:
        completion: The text that the policy wrote.
        rules: Names from `RULES`, in the order to try; all of them where None.
    """
    start = after_thinking(completion)
    for name in RULES if rules is None else rules:
        found = RULES[name](completion, start)
        if found is not None:
            begin, end = found
            begin += len(completion[begin:end]) - len(completion[begin:end].lstrip(AROUND))
            text = completion[begin:end].rstrip(AROUND)
            if text or name == "tag":  # an empty tag is an answer: none
                return Answer(text, name, begin, begin + len(text))
    return None


def after_thinking(completion: str) -> int:
    """Where the thinking ends: an index into the text, its length where thinking never ends."""
    ends = [completion.rfind(close) + len(close) for close in THINKING.values() if close in completion]
    start = max(ends, default=0)
    unclosed = [completion.find(opening, start) for opening in THINKING]
    opened = [at for at in unclosed if at >= 0]
    if not opened:
        return start
    # A block that never ends is all thinking, unless an answer tag stands in it.
    tag = completion.rfind("<answer>")
    return tag if tag > min(opened) else len(completion)


def _tag(text: str, start: int) -> tuple[int, int] | None:
    at = text.rfind("<answer>", start)
    if at < 0:
        return None
    at += len("<answer>")
    end = text.find("</answer>", at)
    return at, end if end >= 0 else len(text)


def _boxed(text: str, start: int) -> tuple[int, int] | None:
    at = max(text.rfind(r"\boxed{", start), text.rfind(r"\fbox{", start))
    if at < 0:
        return None
    begin = text.index("{", at) + 1
    depth = 1
    for index in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return begin, index
    return None


def _pattern(pattern: str) -> Callable[[str, int], tuple[int, int] | None]:
    compiled = re.compile(pattern, re.IGNORECASE | re.MULTILINE)

    def rule(text: str, start: int) -> tuple[int, int] | None:
        last = None
        for last in compiled.finditer(text, start):  # noqa: B007
            pass
        return last.span(last.lastindex or 0) if last else None

    return rule


RULES: dict[str, Callable[[str, int], tuple[int, int] | None]] = {
    "tag": _tag,
    "boxed": _boxed,
    "hash": _pattern(r"####[ \t]*([^\n]+)"),
    "phrase": _pattern(r"(?:^a:|\banswer(?: is)?:|\banswer is\b(?!:))[\s*_]*([^\n]*?\w[^\n]*?)\.?[ \t]*$"),
    "number": _pattern(rf"(?<![0-9.])({NUMBER})|(?<=[0-9]-)({NUMBER})"),
}
"""The rules by name, in their default order."""

EXPLICIT = ("tag", "boxed", "hash", "phrase")
"""The rules by which a completion says that this is its answer; `number` only guesses."""


def normalise(text: str) -> str:
    """A form in which equal answers are equal texts.

    White space around it and how much of it stands between words, case, a final full stop, dollar signs and
    thousands separators do not count, and a number is written in its shortest way: "1,200.50", "$1200.5" and
    "1200.5" are one answer.
    """
    text = " ".join(text.split()).rstrip(".").replace("\\$", "$").replace("\u2212", "-").strip("$ ").casefold()
    number = text.replace("$", "")
    if re.fullmatch(NUMBER, number) and "/" not in number:
        whole, _, decimals = number.replace(",", "").lstrip("+").partition(".")
        sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
        digits, decimals = digits.lstrip("0") or "0", decimals.rstrip("0")
        text = f"{digits}.{decimals}" if decimals else digits
        return text if text == "0" else sign + text
    return text
