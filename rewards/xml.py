"""XML: does the completion carry its tags, is it well-formed, does it fill its fields?"""

import re
from collections import Counter
from typing import Literal
from xml.parsers import expat

from rlkit import reward
from rlkit.rewards import compat as peers
from rlkit.rewards.sections import layout, says_something, tag_share

_COURSE = layout(["reasoning", "answer"])


@reward(
    "xmlcount",
    gold=[
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>", {}, 1.0),
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>\n", {}, 1.0),
        ("<reasoning>2+2</reasoning><answer>4</answer> Bye!", {}, 0.996),
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4", {}, 0.75),
        ("<answer>4</answer><reasoning>2+2</reasoning>", {}, 0.474),
        ("<reasoning></reasoning><answer></answer>", {}, 0.5),
        ("4", {}, 0.0),
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>\n", {"compat": "course"}, 0.5),
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>", {"compat": "course"}, 0.452),
    ],
)
def xmlcount(completion: str, *, trailing_penalty: float = 0.001, compat: Literal["course"] | None = None) -> float:
    """Share of the four tags <reasoning>, </reasoning>, <answer>, </answer> that stand once and in order.

    Each tag is worth 0.25: a tag that is missing, that stands twice or that comes before an earlier
    one's place earns nothing, and nor does a closing tag with nothing in front of it; so a completion climbs
    to the format step by step.

    Each character after `</answer>` costs `trailing_penalty`; the surrounding white space is free.

    Range: 0 to 1. None: never.
    Source: Brown's GRPO demonstration and the Hugging Face course give 0.125 a tag and count the whole
    completion as trailing text where the last newline is missing; here only what follows the tag counts.
    `compat: course` gives theirs, which has no lower bound.
    """
    if compat:
        return peers.course_xmlcount(completion)
    _, closing, trailing = completion.rpartition("</answer>")
    penalty = trailing_penalty * len(trailing.strip()) if closing else 0.0
    return max(0.0, tag_share(completion, _COURSE) - penalty)


@reward(
    "xml_valid",
    gold=[
        ("<answer>4</answer>", {}, 1.0),
        ("Here: <a x='1'/> and <b>4 &lt; 5</b>", {}, 1.0),
        ('<?xml version="1.0"?>\n<a>4</a>', {}, 1.0),
        ("<answer>4 < 5</answer>", {}, 0.0),
        ("<a><b>4</a></b>", {}, 0.0),
        ("</completion><completion>", {}, 0.0),
        ("<a></a>", {}, 0.0),
        ("4", {}, 0.0),
        ("", {}, 0.0),
    ],
)
def xml_valid(completion: str) -> float:
    """1.0 where the completion is well-formed XML: a document, or elements and text in a row.

    At least one element holds text or has an attribute: plain text is no XML, and tags alone say nothing. A document
    type and entities of its own are refused; `<` and `&` in text have to be written as XML wants them.

    Range: 0 or 1. None: never.
    Source: XML 1.0 (w3.org/TR/xml), by Python's expat.
    """
    return float(_is_well_formed(completion) or _is_well_formed(f"<completion>{completion}</completion>", around=1))


def _is_well_formed(text: str, around: int = 0) -> bool:
    """Whether a text is one XML element that says something, deeper than `around` levels."""
    parser = expat.ParserCreate()
    depth, says = 0, False

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, says
        depth += 1
        says = says or bool(attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    def data(content: str) -> None:
        nonlocal says
        says = says or (depth > around and says_something(content))

    def refuse(*_: object) -> None:
        raise ValueError("a document type")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, ValueError):  # ValueError: half a surrogate pair, too
        return False
    return says


_NAME = r"[^\W\d][\w.-]*"
_TAG = re.compile(rf"<(/?)({_NAME})(?:\s[^<>]*|/)?>")
_Tag = re.Match[str]


@reward(
    "xml_fields",
    gold=[
        ("<name>Bo</name><age>4</age>", {"fields": ["name", "age"]}, 1.0),
        ("So: <age>4</age>\n<name>Bo</name>.", {"fields": ["name", "age"]}, 1.0),
        ("<name>Bo</name><age></age>", {"fields": ["name", "age"]}, 0.5),
        ("<name>Bo</name><age>4", {"fields": ["name", "age"]}, 0.5),
        ("<name>Bo</name><age>4</age><age>5</age>", {"fields": ["name", "age"]}, 0.5),
        ("<name><age>4</age></name>", {"fields": ["name", "age"]}, 0.0),
        ("<all><name>Bo</name><age>4</age></all>", {"fields": ["name", "age"]}, 0.0),
        ("name: Bo", {"fields": ["name", "age"]}, 0.0),
    ],
)
class XmlFields:
    """Share of the fields that the completion fills: each an element that stands once, at the top level, with text.

    Their order and what stands between them are free, and so are elements inside a field; only no field holds
    another. The text need not be well-formed: a tag that is not closed costs its own field, and `<` is free.

    Parameters: `fields`, the names of the elements.

    Range: 0 to 1. None: never.
    Source: the format reward of verifiers' XMLParser, which also counts fields that stand inside each other, are
    empty or are never closed.
    """

    def __init__(self, *, fields: list[str]):
        wrong = [name for name in fields if not re.fullmatch(_NAME, name)]
        if wrong:
            raise ValueError(f"field {wrong[0]!r} is no name of an element")
        if not fields or len(set(fields)) < len(fields):
            raise ValueError("fields are one or more names, each once")
        self.fields = frozenset(fields)

    def __call__(self, completion: str) -> float:
        """Score one completion."""
        tags = list(_TAG.finditer(completion))
        ours = [tag for tag in tags if tag[2] in self.fields]
        times = Counter((tag[2], tag[1]) for tag in ours)
        filled = 0
        for opening, closing in _top_level(tags, self.fields):
            once = times[opening[2], ""] == times[opening[2], "/"] == 1
            alone = once and not any(opening.end() <= tag.start() < closing.start() for tag in ours)
            filled += alone and says_something(_TAG.sub("", completion[opening.end() : closing.start()]))
        return filled / len(self.fields)


def _top_level(tags: list[_Tag], names: frozenset[str]) -> list[tuple[_Tag, _Tag]]:
    """The tags of the elements of these names that stand in no element; a tag without a partner is passed over."""
    found: list[tuple[_Tag, _Tag]] = []
    opened: list[_Tag] = []
    waiting: Counter[str] = Counter()
    for tag in tags:
        name = tag[2]
        if not tag[1]:
            if not tag[0].endswith("/>"):
                opened.append(tag)
                waiting[name] += 1
        elif waiting[name]:
            partner = opened.pop()
            while partner[2] != name:
                waiting[partner[2]] -= 1
                partner = opened.pop()
            waiting[name] -= 1
            while found and found[-1][0].start() > partner.start():
                found.pop()
            if name in names:
                found.append((partner, tag))
    return found
