r"""Mathematics: is the completion's answer equal to the gold answer, whatever form it has?

An answer is taken apart first (lists, tuples and intervals into their entries, `x = 5` into a name and a value), and
entries are compared by the cheapest means that decides: as texts, as exact numbers, by their values at a few points.
Only what is left over (sets, matrices, relations) goes to math-verify.
"""

import cmath
import logging
import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from rlkit import answers, reward

RULES = (*answers.EXPLICIT, "formula", "number")
LONGEST = 2000
"""Characters of the longest answer that is read; what is longer is a text, not an answer."""
HUGE = 5000.0
"""Decimal digits beyond which a number is not written out: no power tower is an answer to anything else."""


@reward(
    "accuracy",
    gold=[
        (r"so \boxed{\frac{1}{2}}", {"answer": "0.5"}, 1.0),
        (r"<think>3 or 4?</think>The answer is $x = 4$.", {"answer": "4"}, 1.0),
        (r"\boxed{(x+1)^2}", {"answer": "x^2 + 2x + 1"}, 1.0),
        (r"\boxed{\left[1, \infty\right)}", {"answer": r"the solution is $\boxed{[1,\infty)}$"}, 1.0),
        (r"\boxed{2, 1}", {"answer": r"\{1, 2\}"}, 1.0),
        (r"\boxed{(2, 1)}", {"answer": "(1, 2)"}, 0.0),
        (r"\boxed{3, 4}", {"answer": "4"}, 0.0),
        (r"\boxed{3} or \boxed{4}", {"answer": "4"}, 0.0),
        (r"\boxed{9^{9^{9^{9}}}+1}", {"answer": "12"}, 0.0),
        (r"\boxed{}", {"answer": "12"}, 0.0),
        (r"\boxed{12}", {"answer": None}, None),
    ],
    timeout=5.0,
    requires=("math_verify", "rlkit[rewards]"),
)
class Accuracy:
    r"""1.0 where the completion's answer is mathematically equal to the column `answer`.

    The gold answer may be a number, plain text, LaTeX, or a whole solution that ends in `\boxed{}`, `####` or "A:".
    The completion's is what `rlkit.answers` extracts. Order counts in tuples, not in lists and sets; a unit, a degree
    or a percent sign may be left out; several answers are never equal to one.

    Parameters: `rules`, the names of the extraction rules in the order to try; `precision`, the decimal places to
    which decimals are compared (0.333333 is 1/3); `relations`, whether an inequality may answer an interval.

    Range: 0 or 1. None: the row has no answer.
    Source: math-verify (github.com/huggingface/Math-Verify), to which the hard cases go. TRL's accuracy_reward leaves
    everything to it, takes no answer outside LaTeX, and waits where it hangs; `compat="trl"` calls that one.
    """

    def __init__(
        self,
        *,
        rules: list[str] | None = None,
        precision: int = 6,
        relations: bool = False,
        compat: Literal["trl"] | None = None,
    ):
        answers.check(rules)
        if precision < 1:
            raise ValueError(f"precision is a number of decimal places, at least 1, not {precision}")
        self.rules, self.compat = rules, compat
        self.equality = Equality(precision, relations)

    def __call__(self, completion: str, answer: object) -> float | None:
        """Score one completion."""
        if answer is None or not str(answer).strip():
            return None
        if self.compat:
            from trl.rewards import accuracy_reward

            return accuracy_reward([[{"content": completion}]], [str(answer)])[0]
        found = answers.extract(completion, self.rules or RULES)
        gold = answers.extract(str(answer), answers.EXPLICIT)
        return float(found is not None and self.equality(gold.text if gold else str(answer), found.text))


class Entries(NamedTuple):
    """What an answer lists, and between which brackets."""

    brackets: str
    items: list[str]


@dataclass(frozen=True)
class Equality:
    """Whether two answers are equal, of which the first is the gold one."""

    precision: int = 6
    relations: bool = False

    def __call__(self, gold: str, given: str) -> bool:
        """Compare two answers as they were written."""
        return len(given) <= LONGEST and self.same(plain(gold), plain(given))

    def same(self, gold: str, given: str) -> bool:
        """Compare two answers in the form that `plain` gives."""
        gold, given = unit_free(gold), unit_free(given)
        if not gold or not given:
            return False
        if key(gold) == key(given):
            return True
        numbers = self.numbers(gold, given)
        if numbers is not None:
            return numbers
        one, other = entries(gold), entries(given)
        if len(one.items) > 1 or len(other.items) > 1:
            return self.listed(one, other) or (one.brackets != other.brackets and self.symbolic(gold, given))
        if (one.items[0], other.items[0]) != (gold, given):
            return self.same(one.items[0], other.items[0])
        return self.assigned(gold, given)

    def listed(self, gold: Entries, given: Entries) -> bool:
        """Lists and sets in any order; tuples, intervals and named values in theirs."""
        if len(gold.items) != len(given.items):
            return False
        ordered = [side.brackets for side in (gold, given) if side.brackets not in ("", "{}")]
        if ordered:
            same = ordered == ["()"] or (len(ordered) == 2 and ordered[0] == ordered[1])
            return same and gold.brackets != "{}" and all(map(self.same, gold.items, given.items))
        if named(gold) != named(given):
            return all(map(self.same, gold.items, given.items))
        left = list(given.items)
        for item in gold.items:
            match = next((i for i, candidate in enumerate(left) if self.same(item, candidate)), None)
            if match is None:
                return False
            del left[match]
        return True

    def assigned(self, gold: str, given: str) -> bool:
        """`x = 5` is 5, and of `x = 2 + 3 = 5` the last side counts, unless the sides contradict each other."""
        (left, *golds), (right, *givens) = sides(gold), sides(given)
        if golds and givens and key(left) == key(right):
            return self.same(golds[-1], givens[-1])
        if golds and not givens:
            return bool(NAME.fullmatch(left)) and self.same(golds[-1], given)
        if givens and not golds:
            named = bool(NAME.fullmatch(right))
            if any(self.numbers(givens[-1], side) is False for side in (right, *givens[:-1])):
                return False
            return (named or givens[-1] != "0") and self.same(gold, givens[-1])
        return self.symbolic(gold, given)

    def numbers(self, gold: str, given: str) -> bool | None:
        """Whether two numbers are equal; None where one is no plain number."""
        one, other = number(gold), number(given)
        if one is None or other is None:
            return None
        if one.base and other.base and one.base != other.base:
            return False
        share = Fraction(1, 100) if one.percent else Fraction(100)
        values = [one.value] if one.percent == other.percent else [one.value, one.value * share]
        rounded = "." in gold + given
        return any(v == other.value or (rounded and self.near(float(v), float(other.value))) for v in values)

    def near(self, a: complex, b: complex) -> bool:
        """Whether two values, of which one was rounded, agree to the decimal places that count."""
        return abs(a - b) <= 1.0001 * 10**-self.precision * min(1.0, max(abs(a), abs(b)))

    def symbolic(self, gold: str, given: str) -> bool:
        """Whether two expressions are equal: by their values where these decide, else as math-verify says."""
        if WORD.fullmatch(gold) or WORD.fullmatch(given):
            return False
        real = not IMAGINARY.search(gold + " " + given)
        one, other = parse(gold, real), parse(given, real)
        if one is None or other is None or huge(one) or huge(other):
            return False
        decided = self.valued(one, other)
        if decided is not None:
            return decided
        from math_verify import verify

        logging.getLogger("math_verify.grader").setLevel(logging.ERROR)  # it warns that the time limit is ours
        places, relations = self.precision, self.relations
        return verify(one, other, float_rounding=places, allow_set_relation_comp=relations, timeout_seconds=None)

    def valued(self, one: Any, other: Any) -> bool | None:
        """Equality by the values at fixed points; None where they do not decide."""
        from sympy import Expr, Float

        if not (isinstance(one, Expr) and isinstance(other, Expr)):
            return None
        names = sorted(one.free_symbols | other.free_symbols, key=str)
        near = self.near if one.has(Float) or other.has(Float) else lambda a, b: cmath.isclose(a, b, rel_tol=1e-9)
        for point in POINTS:
            at = {name: point + i * 0.377 for i, name in enumerate(names)}
            try:
                a, b = (complex(side.evalf(20, subs=at)) for side in (one, other))
            except (TypeError, ValueError, ArithmeticError, AttributeError):
                return None
            if not (cmath.isfinite(a) and cmath.isfinite(b)):
                return None
            if not near(a, b):  # a root or a logarithm may part from its other forms where it is not real
                return None if names and point < 0 else False
            if not names:
                break
        return True


POINTS = (0.732, 1.913, -0.618)
WORD = re.compile(r"[A-Za-z][A-Za-z' -]{2,}")
"""An answer in words; to LaTeX it would be a product of letters."""
IMAGINARY = re.compile(r"(?<![a-zA-Z\\])i(?![a-zA-Z])|\\(?:imath|begin|det|arg|Re|Im)(?![a-zA-Z])")

_COMMON = str.maketrans(
    {
        "\u2212": "-", "\u2013": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/", "π": r"\pi ", "∞": r"\infty ",
        "≤": r"\leq ", "≥": r"\geq ", "≠": r"\neq ", "°": r"^\circ ", "²": "^2", "³": "^3", "∪": r"\cup ", "∩": r"\cap ",
        "±": r"\pm ", "∈": r"\in ", "≈": r"\approx ", "θ": r"\theta ", "√": r"\sqrt ", "$": "", "\u00a0": " ",
    }
)  # fmt: skip
_REWRITES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (
            r"\\boxed(?![a-zA-Z])|\\fbox(?![a-zA-Z])|\\displaystyle|\\limits|\\left\b\.?|\\right\b\.?|\\[bB]igg?[lr]?\b|\\\$",
            "",
        ),
        (r"(?<=[0-9])\s*(?:\{,\}|,?\s*\\!|,\s*\\!)\s*(?=[0-9]{3})", ","),  # thousands, as LaTeX spaces them
        (r"\\(?:mbox|textbf|textit|textrm|mathrm|mathbf|mathit|operatorname)(?![a-zA-Z])\*?", r"\\text"),
        (r"\\text\s*\{\s*(?:and|or|AND|OR)\s*\}|(?<![a-zA-Z\\])(?:,\s*)?(?:and|or)(?![a-zA-Z])", " , "),
        (r"\\q?quad(?![a-zA-Z])|\\[,;:!> ]|~", " "),
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"\\text\s*\{\s*(?=\()|(?<=\))\s*\}(?=$)", ""),
        (r"(?<![a-zA-Z\\])sqrt\s*\(([^()]*)\)|\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1\2}"),
        (r"\\sqrt\s*([0-9]+|[a-zA-Z])", r"\\sqrt{\1}"),
        (r"\\lt(?![a-zA-Z])", "<"),
        (r"\\gt(?![a-zA-Z])", ">"),
        (r"\\leqslant(?![a-zA-Z])|\\le(?![a-zA-Z])|<=", r"\\leq "),
        (r"\\geqslant(?![a-zA-Z])|\\ge(?![a-zA-Z])|>=", r"\\geq "),
        (r"(?<![0-9a-zA-Z.])([0-9]+(?:\.[0-9]+)?)[eE]([-+]?[0-9]{1,3})(?![0-9a-zA-Z.])", r"\1\\times 10^{\2}"),
        (r"\\approx.*", ""),  # what is about equal follows what is
    ]
]


def plain(text: str) -> str:
    """An answer in one spelling: LaTeX without layout, signs outside ASCII as commands."""
    text = answers.bare(text).translate(_COMMON)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return answers.bare(text)


_UNIT = re.compile(
    r"(?<=[0-9})a-z])(?:\s*\\text\s*\{[^{}]*\}|\s+(?!sin|cos|tan|log|mod|over|choose|to\b)[A-Za-z][a-z]+(?:[ -][a-z]+)*\.?"
    r"|\s*\^\s*\{?\s*\\circ\s*\}?(?:\s*[CF])?)(?:\s*\^\s*\{?[23]\}?)?\s*$"
)


def unit_free(text: str) -> str:
    r"""An answer without the unit behind it: `\text{ cm}^2`, a word after a space, a degree sign."""
    return _UNIT.sub("", text).strip()


def key(text: str) -> str:
    """A text in which what LaTeX does not show does not count; words in small letters."""
    text = re.sub(r"\s+", "", re.sub(r"(?<=[_^])\{(\w)\}", r"\1", re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text)))
    return text.casefold() if WORD.fullmatch(text) else text


class Number(NamedTuple):
    """A plain number: its value, the base that it names, whether it is a percentage."""

    value: Fraction
    base: str
    percent: bool


def number(text: str) -> Number | None:
    """Read a plain number; with a base, its digits are compared as they stand."""
    text, percents = re.subn(r"\s*(?:\\?%|(?:\\text\{)?\b(?:percent(?:age)?|pct)\b\}?)\s*$", "", text)
    based = re.fullmatch(r"([0-9][0-9A-F]{0,99})_\{?([0-9]+)\}?", text.replace(" ", ""))
    if based:
        return Number(Fraction(int(based[1], 10 if based[1].isdecimal() else 16)), based[2], bool(percents))
    value = answers.number(text)
    return None if value is None else Number(value, "", bool(percents))


def entries(text: str) -> Entries:
    r"""Take a list, set, tuple or interval apart at the commas (or semicolons) that stand in no bracket."""
    text = text.replace(r"\{", "{").replace(r"\}", "}")
    enclosed = text[0] in "([{" and len(split(text[1:], ")]}")) == 2 and text[-1] in ")]}"
    inside = text[1:-1] if enclosed else text
    items = split(inside, ";")
    items = items if len(items) > 1 else split(inside, ",")
    if enclosed and len(items) == 1 and "[" in text[0] + text[-1]:
        return Entries("", [text])
    brackets = text[0] + text[-1] if enclosed and len(items) > 1 else ""
    if brackets in ("", "{}"):
        items = [item.replace(r"\pm", sign, 1) for item in items for sign in ("+-" if r"\pm" in item else "+")]
    return Entries(brackets, [item.strip() for item in items if item.strip()] or [""])


def split(text: str, separators: str) -> list[str]:
    """Split at separators that stand in no bracket."""
    parts, depth, begin = [], 0, 0
    for at, character in enumerate(text):
        if depth == 0 and character in separators:
            parts.append(text[begin:at])
            begin = at + 1
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
    return [*parts, text[begin:]]


NAME = re.compile(
    r"(?:\\(?!frac|sqrt|begin|cdot|times|pm)[a-zA-Z]+|[A-Za-z]|_\{?[A-Za-z0-9, ]+\}?|\{[A-Za-z ]*\}|\([A-Za-z0-9, ]*\)|[':, |])+"
)
"""What an answer may call its value: x, f(x), S_{ABC}, (p,q), a ratio AB:CD."""


def sides(text: str) -> list[str]:
    r"""The sides of an equation, or of `x \in S`; the text alone where it is none."""
    if r"\begin" in text:
        return [text]
    text = re.sub(r"\\in(?![a-zA-Z])", "=", text)
    return [side.strip() for side in re.split(r"(?<![<>!:=])=(?!=)", text)]


def named(listed: Entries) -> bool:
    """Whether the entries are values of different names: x = 1, y = 2."""
    return len({key(sides(item)[0]) for item in listed.items if "=" in item}) > 1


def parse(text: str, real: bool) -> Any:
    """The expression that LaTeX stands for, or None."""
    from latex2sympy2_extended import NormalizationConfig, latex2sympy

    text = re.sub(r"([0-9.]+)\s*\^\s*\{?\s*\\circ\s*\}?", r"(\1\\cdot\\frac{\\pi}{180})", text)
    rules = NormalizationConfig(basic_latex=True, malformed_operators=True, nits=True, boxed="none")
    try:
        return latex2sympy(text, is_real=real, convert_degrees=False, normalization_config=rules)
    except Exception:  # the parser has no error class of its own
        return None


def huge(expression: Any) -> bool:
    """Whether writing out a number in the expression would take more digits than there is time for."""
    from sympy import Pow, factorial

    def digits(node: Any) -> float:
        below = [digits(argument) for argument in getattr(node, "args", ())]
        if node.is_Number if hasattr(node, "is_Number") else False:
            return math.log10(abs(float(node)) + 1) if abs(node) < 10**300 else len(str(node))
        if isinstance(node, Pow | factorial) and below:
            by = 10.0 ** min(below[-1], 300.0)
            size = by * max(below[0], 0.3)
            if size > HUGE and not node.free_symbols:
                raise OverflowError
            return size
        return math.fsum(below)

    try:
        digits(expression)
    except OverflowError:
        return True
    return False
