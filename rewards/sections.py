"""The sections of a completion: how a recipe writes them, and what stands in them."""

import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

Sections = list[str | tuple[str, str]]
"""A section's tag (`think`, or `plan?` where it may be missing), its two marks, or `*`: text without tags."""
THINK_ANSWER: Sections = ["think", "answer"]
BLANK = "\u115f\u1160\u2800\u3164\uffa0\U0001d159"
"""Letters and symbols without ink: Hangul's fillers, the empty Braille cell, the note without a head."""


class Section(NamedTuple):
    """What opens and closes a section; text without tags has no marks."""

    opening: str
    closing: str
    optional: bool = False

    @property
    def marks(self) -> list[str]:
        """Both, or none."""
        return [self.opening, self.closing] if self.opening else []


def layout(sections: Sections) -> list[Section]:
    """The sections as a recipe writes them.

    Raises:
        ValueError: There are none, or ones that no reader could tell apart.
    """
    made = [_section(section) for section in sections]
    marks = [mark for section in made for mark in section.marks]
    if not marks or len(set(marks)) < len(marks):
        raise ValueError("sections need marks of their own, each once, such as [think, answer]")
    if any(not before.marks and not after.marks for before, after in pairwise(made)):
        raise ValueError("two sections without tags stand side by side")
    return made


def _section(section: str | tuple[str, str]) -> Section:
    if section == "*":
        return Section("", "")
    if isinstance(section, str):
        name = section.removesuffix("?")
        if not name or any(sign in "<>/" or sign.isspace() for sign in name):
            raise ValueError(f"section {section!r} is no tag's name; other marks are given as [opening, closing]")
        return Section(f"<{name}>", f"</{name}>", section.endswith("?"))
    if not all(mark.strip() for mark in section):
        raise ValueError(f"the marks {list(section)} are not both there")
    return Section(*section)


def contents(text: str, sections: Sequence[Section]) -> list[str] | None:
    """What stands in the sections that are there; None where the text is anything but them, each once and in order."""
    there = [s for s in sections if not s.optional or any(mark in text for mark in s.marks)]
    if any(text.count(mark) != 1 for section in there for mark in section.marks):
        return None
    found, rest, untagged = [], text, False
    for section in there:
        if not section.marks:
            untagged = True
            continue
        before, opening, rest = rest.partition(section.opening)
        content, closing, rest = rest.partition(section.closing)
        if not (opening and closing and _fits(before, untagged) and says_something(content)):
            return None
        found += [before, content] if untagged else [content]
        untagged = False
    if not _fits(rest, untagged):
        return None
    return [*found, rest] if untagged else found


def _fits(between: str, untagged: bool) -> bool:
    return says_something(between) if untagged else not between.strip()


def says_something(text: str) -> bool:
    """Whether a reader sees anything: spaces, control characters and ones without width or ink are nothing."""
    return any(map(_shows, text))


def _shows(sign: str) -> bool:
    seen = sign.isprintable() and not sign.isspace() and sign not in BLANK
    return seen and not unicodedata.category(sign).startswith("M")


def tag_share(text: str, sections: Sequence[Section]) -> float:
    """Share of the tags that stand once and in order; a closing one needs something in front of it.

    Sections that may be missing and text without tags have none to count.
    """
    marks = [mark for section in sections if not section.optional for mark in section.marks]
    found, at = 0, 0
    for i, mark in enumerate(marks):
        begin = text.index(mark) if text.count(mark) == 1 else -1
        if begin >= at and (i % 2 == 0 or says_something(_without(marks, text[at:begin]))):
            found += 1
            at = begin + len(mark)
    return found / len(marks)


def _without(marks: Sequence[str], text: str) -> str:
    for mark in marks:
        text = text.replace(mark, "")
    return text
