import pytest

from rlkit import plugins


@pytest.mark.parametrize(
    ("completion", "answer", "expected"),
    [
        ("<answer>\n4\n</answer>", "4", 1),
        ("<answer>4</answer><answer>5</answer>", "4", 0),
        ("The sum is 1,234.", "1234", 1),
        ("<answer>$3.50</answer>", 3.5, 1),
        ("<answer>-3</answer>", "3", 0),
        ("<think>4</think>I do not know", "4", 0),
        ("<answer>Paris</answer>", "paris", 1),
        ("<answer>12</answer>", "1", 0),
        ("<answer>4 apples</answer>", "4", 0),
    ],
)
def test_correctness(completion, answer, expected):
    assert plugins.find("correctness")(completion=completion, answer=answer) == expected


def test_a_row_without_an_answer_is_not_scored():
    assert plugins.find("correctness")(completions=["4", "4"], answer=[None, "4"]) == [None, 1.0]


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("<answer>-5</answer>", 1),
        ("<answer>5.0</answer>", 1),
        ("<answer>5.5</answer>", 0),
        ("<answer>1/2</answer>", 0),
        ("<answer>about 5</answer>", 0),
        ("<answer></answer>", 0),
        ("5 and 6 and 7", 0),
    ],
)
def test_int(completion, expected):
    assert plugins.find("int")(completion=completion) == expected
