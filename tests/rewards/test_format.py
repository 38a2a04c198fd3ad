import re

import pytest

from rlkit import plugins

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


def test_a_huge_completion_takes_no_time():
    import time

    start = time.perf_counter()
    score("strict_format", "<reasoning>\n" + "\n</reasoning>\n" * 20_000 + "\n</answer>")
    assert time.perf_counter() - start < 1.0
