"""What a completion says to its reader, its thinking left out."""

from rlkit.answers import SOLUTION, after_thinking, extract


def said(completion: str, whole: bool = False) -> str:
    """The last `<answer>`, else all text after the thinking.

    Args:
        completion: The text that the policy wrote.
        whole: Take it as it is.
    """
    if whole:
        return completion.strip()
    found = extract(completion, ("tag",))
    return found.text if found else completion[after_thinking(completion) :].partition(SOLUTION[1])[0].strip()
