import time

import pytest

from rlkit.answers import EXPLICIT, RULES, after_thinking, extract, normalise


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
        ("<reasoning>never ends <answer>8</answer> and more", None, None),
        ("<|begin_of_thought|>\\boxed{7}", None, None),
        ("<thought>the answer is 7", None, None),
        ("<THINK>the answer is 7", None, None),
        ("<scratchpad>6</scratchpad>the answer is 7", "7", "phrase"),
        ("<|channel|>analysis<|message|>\\boxed{7}", None, None),
        ("<|channel|>analysis<|message|>6<|channel|>final<|message|>\\boxed{7}", "7", "boxed"),
        ("<answer>The answer is 7</answer>", "7", "tag"),
        ("Ans: 7", "7", "phrase"),
        ("答案是7。", "7", "phrase"),
        ("\\boxed{3}. Alternatively: \\boxed{4}", "\\boxed{3}. Alternatively: \\boxed{4}", "boxed"),
        ("\\boxed{3}/\\boxed{4}", "\\boxed{3}/\\boxed{4}", "boxed"),
        ("The answer isn't 7.", "isn't 7", "number"),
        ("<|begin_of_thought|>1<|begin_of_solution|>\\boxed{7}<|end_of_solution|> 8", "7", "boxed"),
        ("<thinking>1</thinking>2", "2", "number"),
        ("so \\boxed 5", "5", "boxed"),
        ("so \\fbox{\\{1, 2\\}}", "\\{1, 2\\}", "boxed"),
        ("\\boxed{3} or \\boxed{4}", "\\boxed{3} or \\boxed{4}", "boxed"),
        ("\\boxed{3}, I say: \\boxed{3}", "3", "boxed"),
        ("first \\boxed{3}. No, it is \\boxed{4}", "4", "boxed"),
        ("\\boxed{3 or \\boxed{4}}", "3 or \\boxed{4}", "boxed"),
        ("\\boxed{4", "\\boxed{4", "number"),  # the rest of it was cut off
        ("#### Step 2: add\nso it is 7", "7", "number"),
        ("The answer is 4. I hope it is correct.", "4", "phrase"),
        ("The answer is 4. Or 5.", "4. Or 5", "phrase"),
        ("The answer is St. Louis.", "St. Louis", "phrase"),
        ("Final Answer: The largest $n$ is 34.", "34", "phrase"),
        ("It is 18. So our answer is correct.", "18", "number"),
        ("3 or 4", "3 or 4", "number"),
        ("1, 2, 3", "1, 2, 3", "number"),
        ("AZYUK2A", None, None),
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


def test_a_rule_that_does_not_exist_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="unknown rule 'boxd'; did you mean 'boxed'"):
        extract("4", ["boxd"])
    with pytest.raises(ValueError, match="rules is empty"):
        extract("4", [])


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("we get $x < 3$.", "$x < 3$"),
        ("$21$ or $11$", "$21$ or $11$"),
        (r"so \[ (7, 6) \]", r"\[ (7, 6) \]"),
        (r"-\frac{10}{9}", r"-\frac{10}{9}"),
        ("it costs $5 and $10", None),
        ("with $x = 3$ we get 5", None),
        ("What is $6 + 6$? " + "I do not know. " * 50, None),
    ],
)
def test_formula_is_what_the_completion_ends_with(completion, text):
    found = extract(completion, ["formula"])
    assert (found and found.text) == text


BRACES = ["{", "}", "\\", "\\(", "\\boxed{", "\\boxed{4} or ", "\\boxed ", "$", "$x$", "$1", "<answer>", "<think>"]
WORDS = ["answer: ", "the answer is ", "answer for ", "####", "#### x\n", "1,", "1 ", "-", "9", "\n", " ", "*", "A. "]


@pytest.mark.parametrize("unit", BRACES + WORDS)
def test_a_million_characters_cost_no_more_than_their_length(unit):
    text = "answer" + unit * (500_000 // len(unit))
    start = time.process_time()
    found = extract(text, tuple(RULES))
    normalise(found.text if found else text)
    assert time.process_time() - start < 5.0


def test_thinking_ends_after_its_last_block():
    text = "<think>a</think>b<think>c</think>d"
    assert text[after_thinking(text) :] == "d"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,200.50", "$1200.5"),
        ("+4", "4.0"),
        ("-0", "0"),
        (" Paris. ", "paris"),
        ("007", "7"),
        ("1  2", "1 2"),
        (r"\boxed{\text{Paris}}", "$paris$"),
        (r"\(4\)", "4.0"),
    ],
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
        ("that makes (18).", "18"),
        ("there are 18!", "18"),
        ("in all <b>18</b>", "18"),
        ("所以是18个", "18"),
        ("9 * 2 = <<9*2=18>>18 every day", "18"),
        ("it is .5", ".5"),
        ("it is -7", "-7"),
    ],
)
def test_marks_around_an_answer_are_no_part_of_it(completion, text):
    assert extract(completion).text == text
