import pytest

from rlkit.answers import EXPLICIT, after_thinking, extract, normalise


@pytest.mark.parametrize(
    ("completion", "text", "rule"),
    [
        ("<reasoning>\n3\n</reasoning>\n<answer>\n4\n</answer>", "4", "tag"),
        ("<answer>1</answer> no, <answer>2</answer>", "2", "tag"),
        ("<answer>\n5", "5", "tag"),
        ("<think>it is 3</think>so \\boxed{\\frac{1}{2}} it is", "\\frac{1}{2}", "boxed"),
        ("it is 3</think>The answer is 4.", "4", "phrase"),
        ("<|begin_of_thought|>9<|end_of_thought|>\\boxed{7}", "7", "boxed"),
        ("We get 3.\n#### 1,234", "1,234", "hash"),
        ("Let me see.\nA: 12", "12", "phrase"),
        ("I count 3 and then -4.5 of them", "-4.5", "number"),
        ("<reasoning>never ends <answer>8</answer>", "8", "tag"),
        ("<think>never ends, 3", None, None),
        ("no idea", None, None),
        ("", None, None),
    ],
)
def test_the_answer_is_found_by_the_first_rule_that_applies(completion, text, rule):
    found = extract(completion)
    assert (found.text, found.rule) == (text, rule) if text else found is None
    if found:
        assert completion[found.start : found.end] == found.text


def test_the_order_of_the_rules_is_the_callers():
    assert extract("#### 3 \\boxed{4}", ["hash", "boxed"]).rule == "hash"
    assert extract("there are 4", EXPLICIT) is None


def test_thinking_ends_after_its_last_block():
    text = "<think>a</think>b<think>c</think>d"
    assert text[after_thinking(text) :] == "d"


@pytest.mark.parametrize(
    ("one", "other"),
    [("1,200.50", "$1200.5"), ("+4", "4.0"), ("-0", "0"), (" Paris. ", "paris"), ("007", "7"), ("1  2", "1 2")],
)
def test_equal_answers_have_one_normal_form(one, other):
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(("one", "other"), [("4", "41"), ("-4", "4"), ("1/2", "12"), ("1.5", "15"), ("", "0")])
def test_different_answers_have_different_forms(one, other):
    assert normalise(one) != normalise(other)


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("**Answer:** 42", "42"),
        ("The answer is **42**.", "42"),
        ("The answer is:\n\n42", "42"),
        ("so 10-4", "4"),
        ("from 2020-2021", "2021"),
        ("it is .5", ".5"),
        ("it is -7", "-7"),
    ],
)
def test_marks_around_an_answer_are_no_part_of_it(completion, text):
    assert extract(completion).text == text
