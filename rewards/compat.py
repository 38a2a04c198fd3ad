r"""The numbers that peers' rewards give, bugs included, for runs that have to reproduce theirs.

One function a reward, called by the reward of that family where its `compat` says so. The Hugging Face course's are
those of its GRPO chapters, open-r1's those of its `rewards.py`; TRL's are TRL's own, called. Where a peer's pattern
may look ahead again and again, the same is found here in one pass: a long completion costs no more than its length.
"""

import math
import re
from collections.abc import Sequence
from importlib.util import find_spec

_COURSE_SOFT = re.compile(
    r"<reasoning>(?:(?>.*?</reasoning>\s*<answer>).*?</answer>"  # the first pair of tags on the line decides,
    r"|.*</reasoning>(?>[^\S\n]*\n\s*)<answer>.*?</answer>)"  # or the one that goes over its end
)
_COURSE_STRICT = re.compile(r"<reasoning>\n.*\n</reasoning>\n<answer>\n.*\n</answer>\n\n?")
_LAST_LINE = re.compile(r"\n</answer>$", re.MULTILINE)


def need(package: str) -> None:
    """Refuse a peer's number where the package that it is made with is missing.

    Raises:
        ValueError: With what to install.
    """
    if find_spec(package) is None:
        raise ValueError(f"this compat needs {package}, which is not installed: pip install 'rlkit[rewards]'")


def course_length(text: str, target: int) -> float:
    """0 on target, -1 for each character away from it (the course's text takes them for tokens)."""
    return -float(abs(target - len(text)))


def course_soft_format(text: str) -> float:
    """0.5 where both blocks open the text and hold no newline."""
    return 0.5 if _COURSE_SOFT.match(text) else 0.0


def course_strict_format(text: str) -> float:
    """0.5 where each block is one line between its tags, and a newline ends the text."""
    return 0.5 if _COURSE_STRICT.fullmatch(text) else 0.0


def course_xmlcount(text: str) -> float:
    """0.125 a tag with its newlines, less 0.001 a character after each closing tag, or of all where none is found."""
    score = sum(0.125 for mark in ("<reasoning>\n", "\n</reasoning>\n", "\n<answer>\n") if text.count(mark) == 1)
    if text.count("\n<answer>\n") == 1:
        score -= 0.001 * len(text.split("\n</answer>\n")[-1])
    if text.count("\n</answer>") == 1:
        score += 0.125 - 0.001 * (len(text.split("\n</answer>")[-1]) - 1)
    return score


def trl_format(text: str) -> float:
    """TRL's `think_format_reward`."""
    from trl.rewards import think_format_reward

    return think_format_reward([[{"role": "assistant", "content": text}]])[0]


def trl_cosine_length(
    texts: Sequence[str],
    ids: Sequence[Sequence[int]],
    solutions: Sequence[str],
    max_length: int,
    correct: tuple[float, float],
    wrong: tuple[float, float],
) -> list[float | None]:
    """TRL's `get_cosine_scaled_reward`: in tokens, clamped, judged by its `accuracy_reward`."""
    from trl.rewards import get_cosine_scaled_reward

    scale = get_cosine_scaled_reward(max_length, wrong[0], wrong[1], correct[1], correct[0])
    return scale([[{"role": "assistant", "content": text}] for text in texts], list(solutions), list(ids))


def trl_soft_overlong(ids: Sequence[Sequence[int]], max_length: int, cache: int) -> list[float]:
    """TRL's `get_soft_overlong_punishment`."""
    from trl.rewards import get_soft_overlong_punishment

    return get_soft_overlong_punishment(max_length, cache)(list(ids))


def open_r1_format(text: str) -> float:
    """1.0 where the text begins with both blocks; empty ones pass, and so do lines after them."""
    return float(_open_r1_answer(text) >= 0)


def open_r1_code_format(text: str, language: str) -> float:
    """1.0 where it has open-r1's format and a fence of the language opens and closes inside the answer."""
    at = _open_r1_start(text)
    for mark in (f"```{language}", "```"):
        found = text.find(mark, at) if at >= 0 else -1
        at = found + len(mark) if found >= 0 else -1
    return float(at >= 0 and _LAST_LINE.search(text, at) is not None)


def open_r1_tag_count(text: str) -> float:
    """0.25 for each tag that stands once with its newlines, wherever it stands."""
    marks = ("<think>\n", "\n</think>\n", "\n<answer>\n", "\n</answer>")
    return 0.25 * sum(text.count(mark) == 1 for mark in marks)


def open_r1_reasoning_steps(text: str) -> float:
    """A third for each mark of a step, up to 1.0; the same mark counts as often as it stands."""
    marks = ("\n-", "\n*", "First,", "Second,", "Next,", "Finally,")
    numbered = len(re.findall(r"Step \d+:", text)) + bool(re.match(r"\d+\.", text))
    return min(1.0, (numbered + sum(map(text.count, marks))) / 3)


def open_r1_cosine_length(
    texts: Sequence[str],
    solutions: Sequence[str],
    max_length: int,
    correct: tuple[float, float],
    wrong: tuple[float, float],
) -> list[float]:
    """The cosine over characters, which climbs again beyond `max_length`; 1.0 where the gold cannot be read."""
    values = []
    for text, is_correct in zip(texts, _open_r1_correct(texts, solutions), strict=True):
        start, end = correct if is_correct else wrong
        value = end + (start - end) * 0.5 * (1 + math.cos(math.pi * len(text) / max_length))
        values.append(1.0 if is_correct is None else value)
    return values


def open_r1_brevity(texts: Sequence[str], solutions: Sequence[str]) -> list[float]:
    """`len_reward`: in characters, between the shortest and the longest of the whole batch, not of a prompt's group."""
    lengths = [len(text) for text in texts]
    shortest, longest = min(lengths, default=0), max(lengths, default=0)
    values = []
    for n, is_correct in zip(lengths, _open_r1_correct(texts, solutions), strict=True):
        value = 0.5 - (n - shortest) / (longest - shortest) if longest > shortest else 0.0
        values.append(min(0.0, value) if is_correct is False else value)
    return values


def _open_r1_start(text: str) -> int:
    """Where the answer's content begins, -1 where there is none."""
    opening, middle = "<think>\n", "\n</think>\n<answer>\n"
    at = text.find(middle, len(opening)) if text.startswith(opening) else -1
    return at + len(middle) if at >= 0 else -1


def _open_r1_answer(text: str) -> int:
    """Where the answer's content ends, -1 where it does not."""
    begin = _open_r1_start(text)
    found = _LAST_LINE.search(text, begin) if begin >= 0 else None
    return found.start() if found else -1


def _open_r1_correct(texts: Sequence[str], solutions: Sequence[str]) -> list[bool | None]:
    """What math-verify says, with the answer where the gold belongs; None where the gold cannot be read."""
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse, verify

    normal = NormalizationConfig(nits=False, malformed_operators=False, basic_latex=True, boxed=True, units=True)
    latex = LatexExtractionConfig(normalization_config=normal, boxed_match_priority=0, try_extract_without_anchor=False)
    found: list[bool | None] = []
    for text, solution in zip(texts, solutions, strict=True):
        gold = parse(solution, extraction_mode="first_match", extraction_config=[LatexExtractionConfig()])
        answer = parse(text, extraction_mode="first_match", extraction_config=[latex]) if gold else []
        found.append(bool(verify(answer, gold)) if gold else None)
    return found
