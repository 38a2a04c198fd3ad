import re
import time

import pytest

from rlkit import plugins
from rlkit.errors import RequestError

GOOD = "<reasoning>\n2+2\nis 4\n</reasoning>\n<answer>\n4\n</answer>"


def score(name, text, **parameters):
    return plugins.find(name)(completion=text, **parameters)


@pytest.mark.parametrize("name", ["soft_format", "strict_format"])
def test_reasoning_of_several_lines_counts_where_the_courses_pattern_does_not(name):
    course = {
        "soft_format": r"<reasoning>.*?</reasoning>\s*<answer>.*?</answer>",
        "strict_format": r"^<reasoning>\n.*?\n</reasoning>\n<answer>\n.*?\n</answer>\n$",
    }
    assert re.match(course[name], GOOD) is None
    assert score(name, GOOD) == 1.0


@pytest.mark.parametrize(
    ("text", "soft", "strict"),
    [
        (GOOD, 1, 1),
        (GOOD + "\n", 1, 1),
        (GOOD + "\n\n", 1, 0),
        (GOOD.replace("\n", ""), 1, 0),
        (GOOD.replace("\n", " "), 1, 0),
        ("Well: " + GOOD, 1, 0),
        (GOOD + " Bye", 1, 0),
        (GOOD + GOOD, 0, 0),
        (GOOD.replace("</answer>", ""), 0, 0),
        (GOOD.replace("\n4\n", ""), 0, 0),
        (GOOD.replace("\n4\n", "\n \n"), 0, 0),
        ("<answer>\n4\n</answer>\n<reasoning>\n2+2\n</reasoning>", 0, 0),
        ("<reasoning>a</reasoning> so <answer>4</answer>", 0, 0),
        ("4", 0, 0),
    ],
)
def test_layouts(text, soft, strict):
    assert (score("soft_format", text), score("strict_format", text)) == (soft, strict)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>a\nb</think><answer>4</answer>", 1),
        ("  <think>a</think>\n\n<answer>4</answer>\n", 1),
        ("<think>a</think><answer>4</answer>.", 0),
        ("<think>a</think><answer> </answer>", 0),
        ("<think>a<answer>4</answer></think>", 0),
        ("<think>a</think>", 0),
        ("a</think><answer>4</answer>", 0),
    ],
)
def test_format_takes_the_sections_alone(text, expected):
    """open-r1's version also takes trailing text and empty sections."""
    assert score("format", text) == expected


def test_sections_are_the_users():
    text = "<plan>a</plan><code>b</code><result>c</result>"
    assert score("format", text, sections=["plan", "code", "result"]) == 1.0
    assert score("format", text, sections=["plan", "result", "code"]) == 0.0


@pytest.mark.parametrize(
    ("name", "hack"),
    [
        ("format", "<think>a<answer>b</think>c</answer>"),
        ("soft_format", "<reasoning>x<answer></reasoning>4</answer>"),
        ("soft_format", "<answer>1</answer><reasoning>a</reasoning><answer>4</answer>"),
        ("soft_format", "</answer><reasoning>a</reasoning><answer>4</answer>"),
        ("strict_format", "<reasoning>\na<answer>\n</reasoning>\n<answer>\n4\n</answer>"),
    ],
)
def test_crossed_and_stray_tags_earn_nothing(name, hack):
    assert score(name, hack) == 0.0


@pytest.mark.parametrize(
    ("text", "sections", "expected"),
    [
        ("<think>a</think>It is 4.", ["think", "*"], 1),
        ("<think>a</think>", ["think", "*"], 0),
        ("<think>a</think> \u200b\n", ["think", "*"], 0),
        ("It is 4.", ["think", "*"], 0),
        ("<think>a</think>It is <think>b</think>", ["think", "*"], 0),
        ("So <think>a</think>It is 4.", ["think", "*"], 0),
        ("So <think>a</think>", ["*", "think"], 1),
        ("<code>b</code>", ["plan?", "code"], 1),
        ("<plan>a</plan><code>b</code>", ["plan?", "code"], 1),
        ("<code>b</code><plan>a</plan>", ["plan?", "code"], 0),
        ("<plan><code>b</code>", ["plan?", "code"], 0),
        ("[[a]] <answer>b</answer>", [["[[", "]]"], "answer"], 1),
        ("]]a[[ <answer>b</answer>", [["[[", "]]"], "answer"], 0),
    ],
)
def test_a_section_may_be_optional_untagged_or_have_marks_of_its_own(text, sections, expected):
    assert score("format", text, sections=sections) == expected


@pytest.mark.parametrize(
    "blank", ["", "\n \t", "\u200b", "\u200f\u202e", "\x00", "\ufeff\u2060", "\u2800", "\u3164", "\u0301\ufe0f"]
)
@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("format", "<think>a</think><answer>{}</answer>"),
        ("format", "<think>{}</think><answer>4</answer>"),
        ("soft_format", "<reasoning>a</reasoning><answer>{}</answer>"),
        ("strict_format", "<reasoning>\na\n</reasoning>\n<answer>\n{}\n</answer>"),
    ],
)
def test_a_section_that_shows_nothing_is_empty(name, layout, blank):
    assert score(name, layout.format("4" if "4" not in layout else "a")) == 1.0
    assert score(name, layout.format(blank)) == 0.0


@pytest.mark.parametrize("name", ["format", "tag_count"])
@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ([], "marks of their own"),
        (["think", "think"], "marks of their own"),
        (["*"], "marks of their own"),
        (["<think>"], "no tag's name"),
        ([""], "no tag's name"),
        ([["###", "###"]], "marks of their own"),
        ([["<a>", " "]], "not both there"),
        (["*", "*", "think"], "side by side"),
        ("think", "list"),
    ],
)
def test_sections_that_no_reader_could_tell_apart_are_refused(name, sections, said):
    with pytest.raises(RequestError, match=said):
        plugins.find(name).configure(sections=sections)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("<think>", 1),
        ("<think>a</think>", 2),
        ("<think>a</think><answer>4", 3),
        ("<think>a</think><answer>4</answer> and more", 4),
        ("<think></think><answer></answer>", 2),
        ("</think></answer>", 0),
        ("<answer>4</answer><think>a</think>", 2),
        ("<think>a</think><think>a</think><answer>4</answer>", 2),
        ("<think>" * 500, 0),
    ],
)
def test_a_completion_climbs_to_the_format_tag_by_tag(text, expected):
    assert score("tag_count", text) == expected / 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("### Step 1: Add\n**Step 2:** Subtract\n**Step 3**: Divide", 3),
        ("Step 1: 2+2=4. Step 2: 4*3=12. Step 3: 12-1=11.", 3),
        ("1) add\n2) subtract\n3) divide", 3),
        ("Plan:\n* add\n* subtract\n* divide", 3),
        ("First we add. Second, we halve. Finally we check.", 3),
        ("first, add.\nnext, halve.\nthen check.", 3),
        ("1. add\n   - twice\n2. halve", 2),
        ("1. add\n1. halve\n1. check", 1),
        ("Step 3: add\nStep 2: halve\nStep 1: check", 1),
        ("Finally, add. Second, halve. First, check.", 1),
        ("3.14 is pi\n2.71 is e", 0),
        ("12:30 is noon", 0),
        ("It comes first, then second, then third.", 0),
        ("First, Second, Next, Then, Finally,", 0),
        ("First,\nSecond,\nNext,\nFinally,", 0),
        ("Step 1: Step 2: Step 3:", 0),
        ("1.\n2.\n3.", 0),
        ("- - -\n* * *\n- \n- -", 0),
        ("First, add it. Second, add it. Finally, add it.", 1),
        ("- add\n- add\n- Add", 1),
        ("Step １: add\nStep ２: halve", 0),
    ],
)
def test_a_step_counts_in_its_place_and_says_something_new(text, expected):
    assert score("reasoning_steps", text) == pytest.approx(expected / 3)


def test_enough_steps_are_the_users_to_set():
    text = "\n".join(f"{i}. step number {'x' * i}" for i in range(1, 9))
    assert score("reasoning_steps", text, steps=16) == 0.5
    with pytest.raises(RequestError, match="1 or more"):
        plugins.find("reasoning_steps").configure(steps=0)


HUGE = {
    "strict": "<reasoning>\n" + "\n</reasoning>\n" * 70_000 + "\n</answer>",
    "tags": "<think>" * 140_000,
    "blank": "<think>" + "\u200b" * 1_000_000 + "</think><answer>4</answer>",
    "words": "First, " * 140_000,
    "lines": "\n" * 1_000_000,
    "numbers": "1. x\n" * 200_000,
    "bullets": "- x\n" * 250_000,
    "stars": "*" * 1_000_000,
    "digits": "1" * 1_000_000,
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
@pytest.mark.parametrize("name", ["format", "soft_format", "strict_format", "tag_count", "reasoning_steps"])
def test_a_huge_completion_takes_no_time(name, text):
    start = time.process_time()
    score(name, text)
    assert time.process_time() - start < 5.0
