"""Correctness: does the completion's answer equal the dataset's?"""

import re
import string
from fractions import Fraction
from typing import Any, Literal

from rlkit import answers, reward
from rlkit.rewards.quantities import UNITS, Quantity, quantity


def _course(completion: str) -> str:
    """The answer as the Hugging Face course takes it."""
    return completion.split("<answer>")[-1].split("</answer>")[0].strip()


@reward(
    "correctness",
    gold=[
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>", {"answer": "4"}, 1.0),
        ("<answer>1,200.50</answer>", {"answer": "1200.5"}, 1.0),
        ("<answer>-3</answer>", {"answer": -3}, 1.0),
        (r"so it is \boxed{4}", {"answer": "4"}, 1.0),
        (r"so it is \boxed{4}", {"answer": "4", "rules": ["tag"]}, 0.0),
        ("<answer>5</answer>", {"answer": "4"}, 0.0),
        ("3 or 4", {"answer": "4"}, 0.0),
        ("<reasoning>it is 4", {"answer": "4"}, 0.0),
        ("", {"answer": "4"}, 0.0),
        ("<answer></answer>", {"answer": ""}, 0.0),
        ("<answer>4</answer>", {"answer": None}, None),
        ("<answer>4</answer>", {"answer": "4", "compat": "course"}, 2.0),
        ("<answer>4.0</answer>", {"answer": "4", "compat": "course"}, 0.0),
    ],
)
class Correctness:
    """1.0 where the completion's answer equals the column `answer`, after both are normalised.

    The answer is what `rlkit.answers` extracts, by `rules` in their order. Case, spaces, dollar signs, thousands
    separators and a final full stop do not count; numbers are compared by value (4 is 4.0).

    Range: 0 or 1. None: the row has no answer.
    Source: the Hugging Face course, which gives 2.0 where the text between its tags is the answer letter by letter
    (`compat="course"`: 0 or 2).
    """

    def __init__(self, *, rules: list[str] | None = None, compat: Literal["course"] | None = None):
        answers.check(rules)
        self.rules, self.compat = rules, compat

    def __call__(self, completion: str, answer: object) -> float | None:
        """Score one completion."""
        if answer is None:
            return None
        if self.compat:
            return 2.0 if _course(completion) == str(answer) else 0.0
        found = answers.extract(completion, self.rules)
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
        ("<answer>12</answer>", {"compat": "course"}, 0.5),
        ("<answer>-12</answer>", {"compat": "course"}, 0.0),
    ],
)
class Int:
    """1.0 where the completion gives its answer explicitly and that answer is a whole number.

    Signs, thousands separators and a decimal part of zeros are fine. `rules` says how an answer may be given.

    Range: 0 or 1. None: never.
    Source: the Hugging Face course, which gives 0.5, and that to digits alone, so to no negative number
    (`compat="course"`: 0 or 0.5).
    """

    def __init__(self, *, rules: list[str] | None = None, compat: Literal["course"] | None = None):
        answers.check(rules)
        self.rules, self.compat = rules or answers.EXPLICIT, compat

    def __call__(self, completion: str) -> float:
        """Score one completion."""
        if self.compat:
            return 0.5 if _course(completion).isdigit() else 0.0
        found = answers.extract(completion, self.rules)
        return float(found is not None and bool(re.fullmatch(r"-?[0-9]+", answers.normalise(found.text))))


@reward(
    "exact_match",
    gold=[
        ("Paris", {"answer": "Paris"}, 1.0),
        ("<think>Lyon? No.</think>\nParis\n", {"answer": ["Paris", "Paris, France"]}, 1.0),
        ("paris", {"answer": "Paris"}, 0.0),
        ("paris!", {"answer": "Paris", "ignore_case": True, "ignore_punctuation": True}, 1.0),
        ("The answer is Paris", {"answer": "Paris", "rules": ["phrase"]}, 1.0),
        ("", {"answer": "Paris"}, 0.0),
        ("Paris", {"answer": None}, None),
    ],
)
class ExactMatch:
    """1.0 where the completion is exactly the column `answer`, or one of them where it is a list.

    White space around both does not count, nor does what the parameters say: `ignore_case`, `ignore_punctuation`,
    `ignore_space` (how much of it stands between words). With `rules` only what they extract is compared, else all
    that follows the thinking.

    Range: 0 or 1. None: the row has no answer.
    Source: exact_match of EleutherAI's lm-evaluation-harness.
    """

    def __init__(
        self,
        *,
        rules: list[str] | None = None,
        ignore_case: bool = False,
        ignore_punctuation: bool = False,
        ignore_space: bool = False,
    ):
        answers.check(rules)
        self.rules = rules
        self.ignore_case, self.ignore_punctuation, self.ignore_space = ignore_case, ignore_punctuation, ignore_space

    def __call__(self, completion: str, answer: object) -> float | None:
        """Score one completion."""
        accepted = [
            str(text) for text in (answer if isinstance(answer, list | tuple) else [answer]) if text is not None
        ]
        if not any(text.strip() for text in accepted):
            return None
        found = answers.extract(completion, self.rules) if self.rules else None
        given = found.text if found else "" if self.rules else completion[answers.after_thinking(completion) :]
        return float(bool(given.strip()) and self._form(given) in map(self._form, accepted))

    def _form(self, text: str) -> str:
        if self.ignore_case:
            text = text.casefold()
        if self.ignore_punctuation:
            text = text.translate(str.maketrans("", "", string.punctuation))
        return " ".join(text.split()) if self.ignore_space else text.strip()


@reward(
    "numeric",
    gold=[
        ("The answer is $1,234.50.", {"answer": "1234.5"}, 1.0),
        ("<answer>3/4</answer>", {"answer": 0.75}, 1.0),
        (r"\boxed{1\frac{1}{2}}", {"answer": "1.5"}, 1.0),
        ("<answer>1.234,5</answer>", {"answer": "1234.5"}, 1.0),
        ("<answer>5 km</answer>", {"answer": "5000 m"}, 1.0),
        ("<answer>5 km</answer>", {"answer": "5 kg"}, 0.0),
        ("<answer>25%</answer>", {"answer": "0.25"}, 1.0),
        ("<answer>1.5 x 10^3</answer>", {"answer": "1500"}, 1.0),
        ("<answer>3.14</answer>", {"answer": "3.14159", "relative": 0.001}, 1.0),
        ("<answer>-4</answer>", {"answer": "4"}, 0.0),
        ("<answer>3 or 4</answer>", {"answer": "4"}, 0.0),
        ("<answer>4</answer>", {"answer": "four"}, None),
    ],
)
class Numeric:
    """1.0 where the completion's answer is one number and its value is that of the column `answer`.

    Signs, thousands separators (comma, space, apostrophe, or points before a decimal comma), fractions, mixed numbers,
    powers of ten and currency signs are read. A percent sign may be left out or worked out. Units of length, mass,
    time, volume and money are converted; any other word beside the number is passed over. Several numbers, or words
    that leave it open ("3 or 4", "at least 4"), are no answer.

    Parameters: `rules`, as in `rlkit.answers`; `relative` and `absolute`, how far the value may lie from the gold one,
    as a share of it or in its unit; `decimal`, the decimal mark where "1,234" could be either (auto: a thousand).

    Range: 0 or 1. None: the row has no number.
    Source: rlkit; the exact arithmetic is Python's fractions.
    """

    def __init__(
        self,
        *,
        rules: list[str] | None = None,
        relative: float = 0.0,
        absolute: float = 0.0,
        decimal: Literal["auto", ".", ","] = "auto",
    ):
        answers.check(rules)
        if not (0 <= relative < 1 and 0 <= absolute < float("inf")):
            raise ValueError(f"relative lies in 0..1 and absolute is at least 0, not {relative} and {absolute}")
        self.rules, self.decimal = rules, decimal
        self.relative, self.absolute = Fraction(relative), Fraction(absolute)

    def __call__(self, completion: str, answer: object) -> float | None:
        """Score one completion."""
        stated = answers.extract(str(answer), answers.EXPLICIT)
        mark = self.decimal if isinstance(answer, str) else "."
        gold = None if answer is None else quantity(stated.text if stated else str(answer), mark)
        if gold is None:
            return None
        found = answers.extract(completion, self.rules)
        given = quantity(found.text, self.decimal) if found else None
        return float(given is not None and self._equal(gold, given))

    def _equal(self, gold: Quantity, given: Quantity) -> bool:
        value = given.value
        if gold.unit in UNITS and given.unit in UNITS:
            (kind, size), (given_kind, given_size) = UNITS[gold.unit], UNITS[given.unit]
            if kind != given_kind:
                return False
            value = value * given_size / size
        elif gold.unit and given.unit and gold.unit != given.unit and re.search(r"[0-9/^]", gold.unit + given.unit):
            return False  # m^2 and m, km/h and km
        share = 1 if gold.percent == given.percent else Fraction(1, 100) if given.percent else 100
        allowed = max(self.absolute, self.relative * abs(gold.value))
        return any(abs(candidate - gold.value) <= allowed for candidate in (value, value * share))


@reward(
    "multiple_choice",
    gold=[
        ("The answer is (B).", {"answer": "B"}, 1.0),
        (r"\boxed{\text{B}}", {"answer": "B"}, 1.0),
        ("<answer>B. Lyon</answer>", {"answer": 1, "choices": ["Paris", "Lyon"]}, 1.0),
        ("<answer>Lyon</answer>", {"answer": "B", "choices": ["Paris", "Lyon"]}, 1.0),
        ("<answer>B</answer>", {"answer": "Lyon", "choices": ["Paris", "Lyon"]}, 1.0),
        ("<answer>B</answer>", {"answer": 1, "first": 1}, 0.0),
        ("The answer is A or B.", {"answer": "B"}, 0.0),
        ("A B C D E", {"answer": "B"}, 0.0),
        ("", {"answer": "B"}, 0.0),
        ("B", {"answer": None}, None),
    ],
)
class MultipleChoice:
    """1.0 where the completion chooses the option that the column `answer` names.

    The gold answer is a letter, a number (`first` is the number of the first option, 0 or 1) or an option's text; a
    column `choices` with the options' texts (a list, or a mapping with `text`) is used where there is one. The
    completion may write the letter in any usual way ("(B)", "B.", "option B", in a box) or the option's text. More
    than one letter is no choice. Without an answer by `rules`, the last line has to name one letter.

    Range: 0 or 1. None: the row has no answer, or one that is no option.
    Source: rlkit; the layouts are those of MMLU, ARC and AQuA.
    """

    def __init__(self, *, rules: list[str] | None = None, first: Literal[0, 1] = 0):
        answers.check(rules)
        self.rules, self.first = rules or answers.EXPLICIT, first

    def __call__(self, completion: str, answer: object, choices: Any = None) -> float | None:
        """Score one completion."""
        texts = choices.get("text") if isinstance(choices, dict) else choices
        options = [answers.normalise(str(text)) for text in texts] if texts is not None else []
        letters = LETTERS[: len(options) or 10]
        gold = self._gold(answer, options, letters)
        if gold is None:
            return None
        found = answers.extract(completion, self.rules)
        if found:
            return float(_letter(found.text, options, letters) == gold)
        lines = completion[answers.after_thinking(completion) :].strip().split("\n")
        chosen = [line[found.end() :] for line in lines for found in _CHOSEN.finditer(line)]
        last = _letter(chosen[-1] if chosen else lines[-1], options, letters)
        if last is None and re.fullmatch(r"\W*[A-Z]\W*", lines[0]) and not _DENIED.search(lines[-1]):
            last = _letter(lines[0], options, letters)  # the letter, then why
        return float(last == gold)

    def _gold(self, answer: object, options: list[str], letters: str) -> str | None:
        if answer is None or isinstance(answer, bool):
            return None
        text = answers.normalise(str(answer))
        if isinstance(answer, str) and text in options:
            return letters[options.index(text)]
        if re.fullmatch(r"[0-9]{1,2}", text):
            at = int(text) - self.first
            return letters[at] if 0 <= at < len(letters) else None
        return _letter(str(answer), options, letters)


LETTERS = string.ascii_uppercase
_REASON = re.compile(r"\b(?:because|since|as (?:it|the|this|that))\b", re.IGNORECASE)
_DISMISSED = re.compile(
    r",? (?:and |but )?not (?:option )?\(?[A-Z]\)?(?![A-Za-z])|\(?\b[A-Z]\)? is (?:wrong|incorrect|false)\b"
)
"""Another option that the completion sets aside: "B, not A", "B. (A) is wrong"."""
_DENIED = re.compile(
    r"\b(?:not|never|neither|nor|cannot|except|but|besides|wrong|incorrect|false|doubt|rule[sd]? out|as well as)\b"
    r"|n['’]t\b",
    re.IGNORECASE,
)
_CHOSEN = re.compile(r"\b(?:correct|right|best) (?:option|choice) is\b:?", re.IGNORECASE)


def _letter(text: str, options: list[str], letters: str) -> str | None:
    """The one letter that a text names, by itself or by the option's text."""
    text = answers.bare(text[:1000])
    if answers.normalise(text) in options:
        return letters[options.index(answers.normalise(text))]
    text = re.sub(r"\\[a-z]+|[{}*_$]", " ", _REASON.split(text)[0]).strip(" \t\n'\"‘’“”")
    if single := re.fullmatch(rf"\(?([{letters.lower()}])[.):]*", text):
        return single[1].upper()
    leading = re.match(rf"(?:option |choice )?(?:\(?([{letters}])\)|([{letters}])[.:])\s*(.+)", text, re.DOTALL)
    if leading and answers.normalise(leading[3]) in options:  # B. Lyon, where Lyon is B
        named = leading[1] or leading[2]
        return named if options[letters.index(named)] == answers.normalise(leading[3]) else None
    text = _DISMISSED.sub(" ", " " + text)
    if _DENIED.search(text):
        return None
    # "A" and "I" are words too, where nothing marks them as letters.
    alone = r"(?<![A-Za-z'])"
    marked = rf"\(([{letters}])\)|{alone}([{letters}])(?=[.):,/]|\s*$|\s+(?:or|and)\b)|{alone}([B-HJ-Z])(?![A-Za-z'])"
    named = {letter for groups in re.findall(marked, text) for letter in groups if letter and letter in letters}
    return named.pop() if len(named) == 1 else None
