"""XML: does the completion carry the tags of the course's format, each once and in order?"""

from rlkit import reward

TAGS = ("<reasoning>", "</reasoning>", "<answer>", "</answer>")


@reward(
    "xmlcount",
    gold=[
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>", {}, 1.0),
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>\n", {}, 1.0),
        ("<reasoning>2+2</reasoning><answer>4</answer> Bye!", {}, 0.996),
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4", {}, 0.75),
        ("<answer>4</answer><reasoning>2+2</reasoning>", {}, 0.474),
        ("4", {}, 0.0),
    ],
)
def xmlcount(completion: str, *, trailing_penalty: float = 0.001) -> float:
    """Share of the four tags <reasoning>, </reasoning>, <answer>, </answer> that stand once and in order.

    Each tag is worth 0.25: a tag that is missing, that stands twice or that comes before an earlier
    one's place earns nothing, so a completion climbs to the format step by step.

    Each character after `</answer>` costs `trailing_penalty`; the surrounding white space is free.

    Range: 0 to 1. None: never.
    Source: Brown's GRPO demonstration and the Hugging Face course give 0.125 a tag and count the whole
    completion as trailing text where the last newline is missing; here only what follows the tag counts.
    """
    score, end = 0.0, 0
    for tag in TAGS:
        if completion.count(tag) == 1 and completion.index(tag) >= end:
            score += 0.25
            end = completion.index(tag) + len(tag)
    _, closing, trailing = completion.rpartition(TAGS[-1])
    penalty = trailing_penalty * len(trailing.strip()) if closing else 0.0
    return max(0.0, score - penalty)
