import json
import time

import pytest

from rlkit import plugins
from rlkit.errors import RequestError

FOUR = [4, 5, 6, 10]


def game24(text, numbers=FOUR, **rest):
    return plugins.find("game24")(completion=text, numbers=numbers, **rest)


def countdown(text, numbers=(25, 5, 4, 7), target=80):
    return plugins.find("countdown")(completion=text, numbers=list(numbers), target=target)


@pytest.mark.parametrize(
    "text",
    [
        "Answer: (10 - 4) * 5 - 6 = 24",
        "24 = (10 - 4) * 5 - 6",
        "We find (10 − 4) × 5 − 6, which is 24.",
        r"$$\boxed{(10-4) \times 5 - 6 = 24}$$",
        r"\boxed{\left(10 - 4\right) \cdot 5 - 6}",
        "<answer>5(10 - 4) - 6</answer>",
        "1. 10 - 4 = 6\n2. 6 * 5 = 30\nAnswer: **(10 - 4) * 5 - 6**",
        "First 10 - 4 = 6. The answer is (10 - 4) * 5 - 6 = 6 * 5 - 6 = 24.",
        "(10 - 4) * 5 - 6 = 24\n\nThat uses each number once.",
    ],
)
def test_the_expression_is_found_in_what_stands_around_it(text):
    assert game24(text) == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "Answer: 24",
        "Answer: 4 * 6 = 24",
        "Answer: (10 - 4) * 5 - 6 + 0 = 24",
        "Answer: 4 * 6 * (10 - 5 - 4) = 24",
        "Answer: (10 - 4) * 5 - 6 = 24 or (10 - 6) * 5 - 4 = 24",
        "Answer: (10 - 4) ** 5 - 6",
        "Answer: __import__('os') - 4 * 5 - 6 - 10",
        "Answer: 456 - 10 * 43.2",
        "Answer: 10 / (4 - 4) * 5 - 6",
        "(10 - 4) * 5 - 6\nAnswer: none",
        "Answer: ٤ * 6 + 5 - 10",
    ],
)
def test_what_is_no_solution_earns_nothing(text):
    assert game24(text) == 0.0


def test_fractions_are_exact():
    """In floating point 8 / (3 - 8 / 3) is 23.999999999999993."""
    assert game24("<answer>8 / (3 - 8 / 3)</answer>", [3, 3, 8, 8]) == 1.0


def test_each_number_once_and_at_most_once():
    part = "<answer>(25 - 5) * 4</answer>"
    assert countdown(part) == 1.0
    assert game24(part, [25, 5, 4, 7], target=80) == 0.0
    assert game24(part, [25, 5, 4], target=80) == 1.0
    assert countdown("<answer>25 - 5 + 5 * 4 * 3</answer>") == 0.0
    assert countdown("<answer>4 * 5 * 4</answer>") == 0.0
    assert countdown("<answer>5 * 4 * 4</answer>", (5, 4, 4)) == 1.0


def test_rows_without_numbers_or_target_are_not_scored():
    assert game24("Answer: 4 * 6", None) is None
    assert game24("Answer: (10 - 4) * 5 - 6", "4 5 6 10", target=None) == 1.0
    assert countdown("Answer: 4 * 6", (4, 6), None) is None


def test_an_unknown_rule_is_named_before_anything_is_scored():
    with pytest.raises(RequestError, match="did you mean 'boxed'"):
        plugins.find("countdown").configure(rules=["boxes"])


@pytest.mark.parametrize(
    "text", ["(" * 10_000, "(1+" * 300_000, "<answer>" + "9*" * 400_000, "1+\n" * 300_000, r"\frac{1}" * 99_999]
)
def test_huge_texts_cost_no_time(text):
    start = time.process_time()
    assert game24(text) == 0.0
    assert time.process_time() - start < 5.0


def test_it_agrees_with_the_labels_of_real_answers(shared_data):
    rows = [json.loads(line) for line in (shared_data / "completions/game24_gpt4_cot.jsonl").open()]
    values = plugins.find("game24")(
        completions=[row["completion"] for row in rows], numbers=[row["numbers"] for row in rows]
    )
    assert values == [float(row["is_correct"]) for row in rows]
