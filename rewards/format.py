"""Format: is the completion laid out as the system prompt asked?"""

import re
from collections.abc import Callable
from itertools import zip_longest
from typing import Literal

from rlkit import reward
from rlkit.rewards import compat as peers
from rlkit.rewards.sections import THINK_ANSWER, Sections, contents, layout, tag_share

_COURSE = layout(["reasoning", "answer"])


@reward(
    "format",
    gold=[
        ("<think>2+2 is 4</think>\n<answer>4</answer>", {}, 1.0),
        ("<think>\n2+2\nis 4\n</think><answer>\n4\n</answer>\n", {}, 1.0),
        ("<think>2+2</think><answer>4</answer> and more", {}, 0.0),
        ("<think></think><answer>4</answer>", {}, 0.0),
        ("<answer>4</answer><think>2+2</think>", {}, 0.0),
        ("<think>a</think><think>b</think><answer>4</answer>", {}, 0.0),
        ("<plan>a</plan><code>b</code>", {"sections": ["plan", "code"]}, 1.0),
        ("<think>2+2</think>It is 4.", {"sections": ["think", "*"]}, 1.0),
        ("<code>b</code>", {"sections": ["plan?", "code"]}, 1.0),
    ],
)
class Format:
    """1.0 where the completion is exactly the sections, in order, each once and not empty, with nothing around them.

    White space between and around sections is free. The layout inside a section is free too.

    Parameters: `sections` lists them. `think` is what stands between <think> and </think>; `plan?` may be missing;
    `*` is text without tags, so `[think, "*"]` is thinking and then an answer as R1 and Qwen3 write them; a pair
    gives other marks: `["<|begin_of_thought|>", "<|end_of_thought|>"]`. `compat` gives a peer's number, for its tags.

    Range: 0 or 1. None: never.
    Source: the format reward of DeepSeek-R1 (arXiv 2501.12948, section 2.2.2). open-r1's version also takes empty
    sections and lines after the last one; TRL's asks for a closed <think> in front, whatever is in it or follows.
    """

    def __init__(self, *, sections: Sections = THINK_ANSWER, compat: Literal["trl", "open-r1"] | None = None):
        self.sections = layout(sections)
        self.compat = compat

    def __call__(self, completion: str) -> float:
        """Score one completion."""
        if self.compat == "trl":
            return peers.trl_format(completion)
        if self.compat == "open-r1":
            return peers.open_r1_format(completion)
        return float(contents(completion, self.sections) is not None)


@reward(
    "soft_format",
    gold=[
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>", {}, 1.0),
        ("<reasoning>2+2</reasoning> <answer>4</answer>", {}, 1.0),
        ("Sure! <reasoning>2+2</reasoning><answer>4</answer> Bye.", {}, 1.0),
        ("<reasoning></reasoning><answer></answer>", {}, 0.0),
        ("<reasoning>2+2</reasoning>", {}, 0.0),
        ("<reasoning>2+2</reasoning> <answer>4</answer>", {"compat": "course"}, 0.5),
    ],
)
def soft_format(completion: str, *, compat: Literal["course"] | None = None) -> float:
    """1.0 where a <reasoning> section and then an <answer> section stand in the completion, each once and not empty.

    Text around the two is allowed, and any layout.

    Range: 0 or 1. None: never.
    Source: the Hugging Face course; its pattern gives 0 to every completion with a newline inside a section. With
    `compat: course` it is that pattern's, and 0.5 at most.
    """
    if compat:
        return peers.course_soft_format(completion)
    start, end = completion.find("<reasoning>"), completion.rfind("</answer>")
    once = all(completion.count(tag) == 1 for section in _COURSE for tag in section.marks)
    return float(once and contents(completion[start : end + len("</answer>")], _COURSE) is not None)


@reward(
    "strict_format",
    gold=[
        ("<reasoning>\n2+2\nis 4\n</reasoning>\n<answer>\n4\n</answer>", {}, 1.0),
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>\n", {}, 1.0),
        ("<reasoning>2+2</reasoning>\n<answer>\n4\n</answer>", {}, 0.0),
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>\nBye", {}, 0.0),
        ("<reasoning>\n\n</reasoning>\n<answer>\n\n</answer>", {}, 0.0),
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>\n", {"compat": "course"}, 0.5),
    ],
)
def strict_format(completion: str, *, compat: Literal["course"] | None = None) -> float:
    """1.0 where the completion is <reasoning> and <answer>, each tag on a line of its own, and nothing else.

    One final newline is free. Sections must not be empty.

    Range: 0 or 1. None: never.
    Source: the Hugging Face course; its pattern gives 0 to reasoning of more than one line. With `compat: course` it
    is that pattern's, and 0.5 at most.
    """
    if compat:
        return peers.course_strict_format(completion)
    text = completion.removesuffix("\n")
    lines = text.startswith("<reasoning>\n") and "\n</reasoning>\n<answer>\n" in text and text.endswith("\n</answer>")
    return float(lines and contents(completion, _COURSE) is not None)


@reward(
    "tag_count",
    gold=[
        ("<think>2+2</think><answer>4</answer>", {}, 1.0),
        ("<think>2+2</think><answer>4", {}, 0.75),
        ("<answer>4</answer><think>2+2</think>", {}, 0.5),
        ("<think></think><answer></answer>", {}, 0.5),
        ("<plan>a</plan>", {"sections": ["plan"]}, 1.0),
        ("4", {}, 0.0),
        ("<think>\n2+2\n</think>\n<answer>\n4\n</answer>", {"compat": "open-r1"}, 1.0),
    ],
)
class TagCount:
    """Share of the sections' tags that stand once and in order, so that a completion climbs to the format tag by tag.

    A closing tag counts where something stands between it and the tag before: tags alone are no format.

    Parameters: `sections`, as for `format`; those that may be missing do not count. `compat` is for its own tags.

    Range: 0 to 1. None: never.
    Source: open-r1's tag count, which takes the tags in any order, of empty sections too, and only with the newlines
    of its own layout around them.
    """

    def __init__(self, *, sections: Sections = THINK_ANSWER, compat: Literal["open-r1"] | None = None):
        self.sections = layout(sections)
        self.compat = compat
        if all(section.optional or not section.marks for section in self.sections):
            raise ValueError("tag_count needs a section that may not be missing")

    def __call__(self, completion: str) -> float:
        """Score one completion."""
        return peers.open_r1_tag_count(completion) if self.compat else tag_share(completion, self.sections)


_WORDS = ("first", "second", "third", "fourth", "fifth", "next", "then", "finally")
_WORD = re.compile(rf"\b({'|'.join(_WORDS)})(?:ly)?\b", re.IGNORECASE)
_SENTENCE = re.compile(rf"(?:^|[.!?:;])[ \t]{{0,8}}[*_#>]{{0,2}}{_WORD.pattern}", re.IGNORECASE | re.MULTILINE)
_NUMBER = re.compile(
    r"(?:^[ \t>*_#]{0,8}|\bstep[ \t]{1,3})([0-9]{1,3})[*_]{0,2}[:.)](?![0-9])", re.IGNORECASE | re.MULTILINE
)
_BULLET = re.compile(r"^[ \t]{0,8}([-*•+])[ \t]", re.MULTILINE)


@reward(
    "reasoning_steps",
    gold=[
        ("Step 1: add 2 and 2.\nStep 2: that is 4.\nStep 3: check 4 - 2 = 2.", {}, 1.0),
        ("First, add 2 and 2. Then double it. Finally, check the sum.", {}, 1.0),
        ("- add 2 and 2\n- that is 4", {}, 2 / 3),
        ("1. add 2 and 2\n2. that is 4", {"steps": 2}, 1.0),
        ("First, First, First, First, First,", {}, 0.0),
        ("Step 1: add.\nStep 1: add.\nStep 1: add.", {}, 1 / 3),
        ("The answer is 4.", {}, 0.0),
        ("First, First, First,", {"compat": "open-r1"}, 1.0),
    ],
)
class ReasoningSteps:
    """How many explicit steps the reasoning takes, as a share of `steps`.

    Steps are numbered ones (`Step 1:`, `1.`, `1)`), which have to count up from 1; lines of a list; or sentences that
    begin with First, Second, Next, Then, Finally, each of these words once and in that order. The kind with the most
    steps counts. A step says something that no other step says: a mark alone is none.

    Parameters: `steps`, how many are enough. `compat` is for 3.

    Range: 0 to 1. None: never.
    Source: open-r1's reasoning steps, which counts the marks alone: "First," three times is full marks there.
    """

    def __init__(self, *, steps: int = 3, compat: Literal["open-r1"] | None = None):
        if steps < 1:
            raise ValueError(f"steps is {steps}, not 1 or more")
        self.steps = steps
        self.compat = compat

    def __call__(self, completion: str) -> float:
        """Score one completion."""
        if self.compat:
            return peers.open_r1_reasoning_steps(completion)
        numbered = _count(completion, _NUMBER, lambda label, last: int(label) == int(last or 0) + 1)
        listed = _count(completion, _BULLET, lambda label, last: True)
        worded = _count(completion, _SENTENCE, lambda label, last: not last or _WORDS.index(label) > _WORDS.index(last))
        return min(1.0, max(numbered, listed, worded) / self.steps)


def _count(text: str, mark: re.Pattern[str], follows: Callable[[str, str], bool]) -> int:
    """Steps of one kind: what stands between its marks, where it says something new and its label follows the last."""
    said: set[str] = set()
    last = ""
    marks = list(mark.finditer(text))
    for found, after in zip_longest(marks, marks[1:]):
        between = _WORD.sub("", text[found.end() : after.start() if after else len(text)])
        label, step = found[1].casefold(), "".join(between.casefold().split()).strip(",.;:!?")
        if len(step) >= 3 and any(map(str.isalnum, step)) and step not in said and follows(label, last):
            said.add(step)
            last = label
    return len(said)
