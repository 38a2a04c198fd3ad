"""Correctness: does the completion's answer equal the dataset's?"""

import re

from rlkit import answers, reward


@reward(
    "correctness",
    gold=[
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>", {"answer": "4"}, 1.0),
        ("<answer>1,200.50</answer>", {"answer": "1200.5"}, 1.0),
        ("<answer>-3</answer>", {"answer": -3}, 1.0),
        ("<answer>5</answer>", {"answer": "4"}, 0.0),
        ("<answer>41</answer>", {"answer": "4"}, 0.0),
        ("<reasoning>it is 4", {"answer": "4"}, 0.0),
        ("", {"answer": "4"}, 0.0),
        ("<answer></answer>", {"answer": ""}, 0.0),
        ("<answer>4</answer>", {"answer": None}, None),
    ],
)
def correctness(completion: str, answer: object) -> float | None:
    """1.0 where the completion's answer equals the column `answer`, after both are normalised.

    The answer is what `rlkit.answers` extracts. Case, spaces, dollar signs, thousands separators and a
    final full stop do not count; numbers are compared by value (4 is 4.0).

    Range: 0 or 1. None: the row has no answer.
    Source: the Hugging Face course, which compares the text between its tags letter by letter.
    """
    if answer is None:
        return None
    found = answers.extract(completion)
    given = answers.normalise(found.text) if found else ""
    return float(given != "" and given == answers.normalise(str(answer)))


@reward(
    "int",
    gold=[
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>", {}, 1.0),
        ("<answer>-12</answer>", {}, 1.0),
        ("<answer>1,200</answer>", {}, 1.0),
        ("<answer>12.0</answer>", {}, 1.0),
        ("<answer>12.5</answer>", {}, 0.0),
        ("<answer>twelve</answer>", {}, 0.0),
        ("I have 4 apples", {}, 0.0),
    ],
)
def int_reward(completion: str) -> float:
    """1.0 where the completion gives its answer explicitly and that answer is a whole number.

    Signs, thousands separators and a decimal part of zeros are fine.

    Range: 0 or 1. None: never.
    Source: the Hugging Face course, whose version takes digits alone and so no negative number.
    """
    found = answers.extract(completion, answers.EXPLICIT)
    return float(found is not None and bool(re.fullmatch(r"-?[0-9]+", answers.normalise(found.text))))
