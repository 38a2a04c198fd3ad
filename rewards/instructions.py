"""Instructions: does the completion do what it was told, where a program can see that?"""

from collections.abc import Sequence
from typing import Any, Literal

from rlkit import answers, names, reward
from rlkit.rewards.instruction_checks import CHECKS

_LANTERN = {
    "instruction_id_list": ["keywords:existence", "detectable_format:title", "startend:end_checker"],
    "kwargs": [{"keywords": ["harbour", "lantern"]}, {}, {"end_phrase": "Yours, the keeper."}],
}
_WORDS = {
    "instruction_id_list": ["length_constraints:number_words", "punctuation:no_comma"],
    "kwargs": [{"num_words": 4, "relation": "at least"}, {"num_words": None, "relation": None}],
}
_WRITTEN = "<<Dusk>>\n\nThe Harbour is dark, and the lantern is lit.\n\nYours, the keeper."


@reward(
    "instructions",
    gold=[
        (_WRITTEN, _LANTERN, 1.0),
        (_WRITTEN.replace("<<Dusk>>", "Dusk"), _LANTERN, 2 / 3),
        (_WRITTEN, {**_LANTERN, "mode": "all"}, 1.0),
        (_WRITTEN.replace("lantern", "lamp"), {**_LANTERN, "mode": "all"}, 0.0),
        (f"Here it is:\n{_WRITTEN}\nI hope you like it!", {**_LANTERN, "mode": "all", "loose": True}, 1.0),
        (f"<think>no, no</think>{_WRITTEN}", _LANTERN, 1.0),
        ("Well, four words here.", _WORDS, 0.5),
        ("", _WORDS, 0.0),
        ("<think>one two three four five", _WORDS, 0.0),
        ("Any text.", {"instruction_id_list": [], "kwargs": []}, None),
    ],
)
class Instructions:
    """The share of the row's instructions that the completion follows.

    The columns are those of google/IFEval: `instruction_id_list` names the instructions, and `kwargs` has the arguments
    of each, those that it does not use absent or null. What follows the thinking is looked at; an empty text follows
    nothing. The 25 instructions of IFEval are known, under its names: of keywords, language, length, content, format,
    combination, start and end, case and punctuation.

    Texts are read by rlkit's own rules: words are runs of letters and digits; sentences end in a full stop, a question
    or an exclamation mark that ends no abbreviation; a language is told by its script and, where others share that, by
    its commonest words, so a few words of it, or a language that rlkit has no words of, may not be told.

    Parameters: `mode` "fraction" gives the share, "all" 1 where every instruction is followed and else 0; `loose`
    forgives a first or a last line that does not belong, and asterisks: an instruction is followed where it is so in
    the text without them.

    Range: 0 to 1. None: the row has no instructions, or what is left to tell hangs on a language that cannot be told.
    Source: IFEval (arXiv 2311.07911), whose program finds sentences and languages by NLTK and langdetect, takes a
    language that it cannot tell for the right one, a keyword as a regular expression, and a line of emphasis or a rule
    ("---") for a bullet point.
    """

    def __init__(self, *, mode: Literal["fraction", "all"] = "fraction", loose: bool = False):
        self.all, self.loose = mode == "all", loose

    def __call__(
        self, completion: str, instruction_id_list: list[str] | None, kwargs: list[dict[str, Any]] | None
    ) -> float | None:
        """Score one completion."""
        asked = instruction_id_list or []
        given = kwargs or [{}] * len(asked)
        if len(asked) != len(given):
            raise ValueError(f"{len(asked)} instructions, and kwargs has the arguments of {len(given)}")
        texts = [text for text in _texts(completion, self.loose) if text.strip()]
        found = [_followed(name, arguments or {}, texts) for name, arguments in zip(asked, given, strict=True)]
        told = [each for each in found if each is not None]
        if self.all:
            return 0.0 if False in told else 1.0 if found and len(told) == len(found) else None
        return sum(told) / len(told) if told else None


def _followed(name: str, arguments: dict[str, Any], texts: Sequence[str]) -> bool | None:
    """Whether one of the texts follows an instruction; None where that cannot be told."""
    if name not in CHECKS:
        raise ValueError(names.unknown("instruction", name, CHECKS))
    arguments = {key: value for key, value in arguments.items() if value is not None}
    try:
        found = [CHECKS[name](text, **arguments) for text in texts]
    except TypeError as error:
        raise ValueError(f"the instruction {name} has the arguments {arguments}: {error}") from None
    return True if True in found else None if None in found else False


def _texts(completion: str, loose: bool) -> list[str]:
    """What is looked at: what follows the thinking; `loose`: also without its first or last line, or asterisks."""
    text = completion[answers.after_thinking(completion) :].strip()
    if not loose:
        return [text]
    lines = text.split("\n")
    parts = ["\n".join(part).strip() for part in (lines, lines[1:], lines[:-1], lines[1:-1])]
    return list(dict.fromkeys([*parts, *(part.replace("*", "") for part in parts)]))
