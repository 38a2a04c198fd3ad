"""Token F1, the measure of a text against another: the reward `token_f1` for a corpus."""

from collections.abc import Sequence

from rlkit import plugins


def token_f1(given: Sequence[str], wanted: Sequence[str]) -> list[float]:
    """The F1 of the words that each text shares with the one wanted, 0 to 1; of a wanted text without words, 0.

    As the reward has it, so that a task's figure is what its policy is rewarded for.
    """
    reward = plugins.find("token_f1")
    scores = reward.score({"completions": list(given), "answer": list(wanted)}) if given else []
    return [float(score or 0.0) for score in scores]
