r"""Mathematics: is the completion's answer equal to the gold answer, whatever form it has?

An answer is taken apart first (lists, tuples and intervals into their entries, `x = 5` into a name and a value), and
entries are compared by the cheapest means that decides: as texts, as exact numbers, by their values at a few points.
Only what is left over (sets, matrices, relations) goes to math-verify.
"""

import logging
import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

from rlkit import answers, reward
from rlkit.rewards.latex import (
    NAME,
    Entries,
    cased,
    compared_as_text,
    doubtful,
    entries,
    key,
    named,
    number,
    parse,
    plain,
    sides,
    unit_free,
    written_out,
)

RULES = (*answers.EXPLICIT, "formula", "number")
LONGEST = 2000
"""Characters of the longest answer that is read; what is longer is a text, not an answer."""
SIDE = 200
"""Characters of the longest side of an equation that is worked out."""


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
    which decimals are compared (0.333333 is 1/3); `relations`, whether an inequality may answer an interval;
    `unfinished`, whether arithmetic that is still to be done (17 * 23 for 391) counts, which lets a policy repeat the
    question.

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
        unfinished: bool = False,
        compat: Literal["trl"] | None = None,
    ):
        answers.check(rules)
        if precision < 1:
            raise ValueError(f"precision is a number of decimal places, at least 1, not {precision}")
        self.rules, self.compat = rules, compat
        self.equality = Equality(precision, relations, unfinished)

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


@dataclass(frozen=True)
class Equality:
    """Whether two answers are equal, of which the first is the gold one."""

    precision: int = 6
    relations: bool = False
    unfinished: bool = False

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
        if doubtful(gold) or doubtful(given):
            return False
        one, other = entries(gold), entries(given)
        if len(one.items) > 1 and len(other.items) > 1:
            return self.listed(one, other)
        if len(one.items) == len(other.items) and (one.items[0], other.items[0]) != (gold, given):
            return self.same(one.items[0], other.items[0])
        if not any(len(sides(side)) > 1 for side in (gold, given)) and any(
            e.loose and len(e.items) > 1 for e in (one, other)
        ):
            return False  # several answers, where one is asked for, or the other way round
        return self.assigned(gold, given)

    def listed(self, gold: Entries, given: Entries) -> bool:
        """Lists and sets in any order; tuples, intervals and named values in theirs."""
        if len(gold.items) != len(given.items):
            return False
        ordered = [side.brackets for side in (gold, given) if not side.loose]
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
            return self.led(givens) and self.same(golds[-1], givens[-1])
        if golds and not givens:
            return bool(NAME.fullmatch(left)) and self.same(golds[-1], given)
        if givens and not golds:
            return self.led([right, *givens]) and self.same(gold, givens[-1])
        return self.symbolic(gold, given)

    def led(self, sides: list[str]) -> bool:
        """Whether all sides of an equation are names of the last, or equal to it: x^2 = 4 does not say that x is 4."""
        *others, value = sides
        return all(NAME.fullmatch(side) or self.worth(value, side) for side in others)

    def worth(self, value: str, side: str) -> bool:
        """Whether a side of an equation has a value, carried out or not."""
        equal = self.numbers(value, side)
        if equal is None:
            return len(side) <= SIDE and replace(self, unfinished=True).symbolic(value, side)
        return equal

    def numbers(self, gold: str, given: str) -> bool | None:
        """Whether two numbers are equal; None where one is no plain number."""
        one, other = number(gold), number(given, "." in gold)
        if one is None or other is None:
            return None
        if one.base and other.base and one.base != other.base:
            return False
        share = Fraction(1, 100) if one.percent else Fraction(100)
        values = [one.value] if one.percent == other.percent else [one.value, one.value * share]
        rounded = "." in gold + given
        return any(v == other.value or (rounded and self.near(v, other.value)) for v in values)

    def near(self, a: Any, b: Any) -> bool:
        """Whether two values, of which one was rounded, agree to the decimal places that count."""
        return abs(a - b) <= 1.0001 * 10**-self.precision * min(1.0, max(abs(a), abs(b)))

    def symbolic(self, gold: str, given: str) -> bool:
        """Whether two expressions are equal: by their values where these decide, else as math-verify says."""
        if compared_as_text(gold) or compared_as_text(given) or SPACED.search(gold) or SPACED.search(given):
            return False
        if not self.unfinished and number(gold) and ("." not in gold or not IRRATIONAL.search(given)):
            return False
        real = not IMAGINARY.search(gold + " " + given)
        one, other = (parse(side, real) for side in cased(gold, given))
        if one is None or other is None or not (written_out(one) and written_out(other)):
            return False
        decided = self.valued(one, other)
        if decided is not None:
            return decided
        from math_verify import verify

        logging.getLogger("math_verify.grader").setLevel(logging.ERROR)  # it warns that the time limit is ours
        places, relations = self.precision, self.relations
        return verify(one, other, float_rounding=places, allow_set_relation_comp=relations, timeout_seconds=None)

    def valued(self, one: Any, other: Any) -> bool | None:
        """Equality by the values at fixed points; None where there are none."""
        from sympy import Expr, Float, Integral, Product, Rational, Sum

        if not all(isinstance(e, Expr) and not e.is_Matrix and not e.has(Sum, Product, Integral) for e in (one, other)):
            return None
        names = sorted(one.free_symbols | other.free_symbols, key=str)
        rounded = one.has(Float) or other.has(Float)
        for point in POINTS if names else POINTS[:1]:
            at = {name: Rational(point + i * 377, 1000) for i, name in enumerate(names)}
            try:
                if not self.agree(one, other, at, rounded, point > 0):
                    return False
            except (TypeError, ValueError, ArithmeticError, AttributeError):
                return None
        return True

    def agree(self, one: Any, other: Any, at: dict[Any, Any], rounded: bool, positive: bool) -> bool:
        """Whether two expressions agree at a point: roughly first, then to many more digits than a value has.

        At a negative point only real values count: roots and logarithms part from their other forms there.
        """
        a, b = (complex(side.evalf(20, subs=at)) for side in (one, other))
        size = max(abs(a), abs(b))
        if not math.isfinite(size):
            raise OverflowError
        if not positive and abs(a.imag) + abs(b.imag) > 1e-9 * size:
            return True
        if rounded:
            return self.near(a, b)
        if abs(a - b) > 1e-9 * size:
            return False
        from sympy import Rational

        digits = 60 if at else 1000
        c, d = (side.evalf(digits + int(math.log10(size + 1)), subs=at) for side in (one, other))
        return bool(abs(c - d) <= min(1.0, size) * Rational(1, 10 ** (digits // 2)))


POINTS = (732, 1913, -618)
"""Thousandths at which expressions are held against each other; no formula is made for them."""
SPACED = re.compile(r"(?<![\^0-9.])[0-9.]+\s+[0-9]")
"""Two numbers side by side, which the parser would take for one."""
IRRATIONAL = re.compile(r"\\(?:sqrt|pi|ln|log|sin|cos|tan|exp)|e(?![a-z])")
IMAGINARY = re.compile(r"(?<![a-zA-Z\\])i(?![a-zA-Z])|\\(?:imath|begin|det|arg|Re|Im)(?![a-zA-Z])")
