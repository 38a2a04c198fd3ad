"""Labels: did the completion choose the right one, or the right ones?"""

from typing import Any

from rlkit import labels as found
from rlkit import reward
from rlkit.reply import said


@reward(
    "label",
    gold=[
        ("card_arrival", {"answer": "card_arrival", "labels": ["card_arrival", "card_linking"]}, 1.0),
        ("<answer>Card arrival.</answer>", {"answer": "card_arrival", "labels": ["card_arrival", "card_linking"]}, 1.0),
        ("card_linking", {"answer": "card_arrival", "labels": ["card_arrival", "card_linking"]}, 0.0),
        ("card_arrival, card_linking", {"answer": "card_arrival", "labels": ["card_arrival", "card_linking"]}, 0.0),
        ("not entailment", {"answer": "entailment", "labels": ["entailment", "not entailment"]}, 0.0),
        ("<think>negative?</think>positive", {"answer": "positive", "labels": ["negative", "positive"]}, 1.0),
        ("sports, politics", {"answer": ["politics", "sports"], "labels": ["art", "politics", "sports"]}, 1.0),
        ("sports", {"answer": ["politics", "sports"], "labels": ["art", "politics", "sports"]}, 0.0),
        ("none", {"answer": [], "labels": ["art", "politics"]}, 1.0),
        ("", {"answer": "positive", "labels": ["negative", "positive"]}, 0.0),
        ("positive", {"answer": None, "labels": ["negative", "positive"]}, None),
    ],
)
def label(completion: str, answer: Any, labels: Any, *, whole: bool = False) -> float | None:
    """1.0 where the completion's answer names the label in the column `answer`, or exactly the labels of its list.

    The column `labels` has all labels that there are. Case, punctuation and underscores do not count; a label that
    is part of a longer one that is named does not count as named ("not entailment" is not "entailment"). An answer that
    names several labels where one is right, none, or anything else beside them scores 0.

    Range: 0 or 1. None: the row has no answer, or no labels.
    Source: the accuracy of GLUE (arXiv 1804.07461), and of several labels that of whole sets, as scikit-learn has it.
    """
    if answer is None or not isinstance(labels, list):
        return None
    text = said(completion, whole)
    if isinstance(answer, list):
        return float(found.named(text, labels) == sorted(answer))
    return float(found.one_of(text, labels) == answer)
