"""Arithmetic puzzles: does the completion's expression reach the target?"""

import ast
import operator
import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from rlkit import answers, reward

LONGEST = 300
"""Characters of the longest expression that is read: no puzzle needs more, and nothing is nested deeper."""

LINES = 20
"""Lines at the end of a completion in which an expression is looked for, where it names no answer."""


class Solution(NamedTuple):
    """An expression: the numbers that it uses, and its value, None where it has none."""

    used: Counter[Fraction]
    value: Fraction | None


class Puzzle:
    """What the puzzles share: find the expression, evaluate it, hold it against the numbers and the target."""

    def __init__(self, *, rules: list[str] | None = None):
        answers.check(rules)
        self.rules = rules or answers.EXPLICIT

    def solves(self, completion: str, numbers: object, target: object, fits: Callable[..., bool]) -> float | None:
        """1.0 where the longest expression of the answer fits the numbers and reaches the target, as do its rivals."""
        given, goal = _numbers(numbers), _numbers(target)
        if not given or len(goal) != 1:
            return None
        found = [solution for text in self.expressions(completion) if (solution := evaluate(text))]
        most = max((solution.used.total() for solution in found), default=0)
        rivals = [solution for solution in found if solution.used.total() == most]
        reached = bool(rivals) and all(solution.value == goal[0] for solution in rivals)
        return float(reached and all(fits(solution.used, Counter(given)) for solution in rivals))

    def expressions(self, completion: str) -> list[str]:
        """The expressions in the answer, else in the last line that holds any."""
        answer = answers.extract(completion, self.rules)
        if answer:
            return expressions(answer.text)
        lines = completion[answers.after_thinking(completion) :].split("\n")
        lines = [line for line in lines if line.strip()][-LINES:]
        return next((found for line in reversed(lines) if (found := expressions(line))), [])


@reward(
    "game24",
    gold=[
        ("10 - 4 = 6 (left: 5 6 6)\nAnswer: (10 - 4) * 5 - 6 = 24", {"numbers": [4, 5, 6, 10]}, 1.0),
        (r"\boxed{5 \times (10 - 4) - 6}", {"numbers": [4, 5, 6, 10]}, 1.0),
        ("<answer>8 / (3 - 8/3)</answer>", {"numbers": [3, 3, 8, 8]}, 1.0),
        ("Answer: (10 - 6) * (4 + 5) = 24", {"numbers": [4, 5, 6, 10]}, 0.0),
        ("Answer: 6 * 4 = 24", {"numbers": [4, 5, 6, 10]}, 0.0),
        ("Answer: 24", {"numbers": [4, 5, 6, 10]}, 0.0),
        ("Answer: 4 * 5 + 6 - 10 or (10 - 4) * 5 - 6", {"numbers": [4, 5, 6, 10]}, 0.0),
        ("<think>(10 - 4) * 5 - 6 = 24</think>No solution", {"numbers": [4, 5, 6, 10]}, 0.0),
        ("Answer: 4 * 6", {"numbers": None}, None),
    ],
)
class Game24(Puzzle):
    """1.0 where the completion's expression uses each of the column `numbers` exactly once and gives 24.

    A column `target` may ask for another value; `numbers` is a list, or a text with the numbers in it. The expression
    stands where the completion gives its answer (`rules`, as in `rlkit.answers`), else in the last line that holds one.
    `+ - * /` and brackets are read, in LaTeX too, and fractions are exact. What stands around it ("= 24", prose,
    shorter steps) does not count; a second expression of that length must be right too.

    Range: 0 or 1. None: the row has no numbers.
    Source: the Game of 24 in Tree of Thoughts (arXiv 2305.10601), which reads the last line up to its first "=".
    """

    def __call__(self, completion: str, numbers: object, target: object = 24) -> float | None:
        """Score one completion."""
        return self.solves(completion, numbers, 24 if target is None else target, lambda used, given: used == given)


@reward(
    "countdown",
    gold=[
        ("<answer>(25 - 5) * 4</answer>", {"numbers": [25, 5, 4, 7], "target": 80}, 1.0),
        ("25 - 5 = 20\n20 * 4 = 80\nAnswer: (25 - 5) × 4 = 80", {"numbers": "25 5 4 7", "target": "80"}, 1.0),
        ("<answer>4 * 4 * 5</answer>", {"numbers": [25, 5, 4, 7], "target": 80}, 0.0),
        ("<answer>80</answer>", {"numbers": [25, 5, 4, 7], "target": 80}, 0.0),
        ("<answer>25 * 4 - 5 or (25 - 5) * 4</answer>", {"numbers": [25, 5, 4, 7], "target": 80}, 0.0),
        ("<answer>(25 - 5) / (4 - 4)</answer>", {"numbers": [25, 5, 4, 4], "target": 80}, 0.0),
        ("<answer>(25 - 5) * 4</answer>", {"numbers": [25, 5, 4, 7], "target": None}, None),
    ],
)
class Countdown(Puzzle):
    """1.0 where the completion's expression uses each of the column `numbers` at most once and gives `target`.

    The expression is found and read as `game24` does it.

    Range: 0 or 1. None: the row has no numbers or no target.
    Source: the Countdown task of Stream of Search (arXiv 2404.03683) and TinyZero, whose reward wants every number used
    and gives 0.1 for the format alone.
    """

    def __call__(self, completion: str, numbers: object, target: object) -> float | None:
        """Score one completion."""
        return self.solves(completion, numbers, target, lambda used, given: used <= given)


_SPELLED = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"(?m)^\s*[0-9]+[.)]\s", " "),  # the number of an item
        (r"\\(?:times|cdot|ast)(?![a-zA-Z])|[×·∗]", "*"),
        (r"\\div(?![a-zA-Z])|[÷∕]", "/"),
        (r"[−–]", "-"),
        (r"\\[dtc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"((\1)/(\2))"),
        (r"\\left|\\right|\\[,;! ()\[\]]|[$`]", " "),
        (r"(?m)(^|:)\s*\*\*|\*\*\s*(?=[=.,;:]|$)", " "),  # bold type
        (r"[\[{]", "("),
        (r"[\]}]", ")"),
    ]
]
_EXPRESSION = re.compile(r"[-+*/()0-9][-+*/()0-9. \t]*")


def expressions(text: str) -> list[str]:
    """Every piece of a text that calculates with at least two numbers."""
    for pattern, replacement in _SPELLED:
        text = pattern.sub(replacement, text)
    return [
        run[0].strip(" .\t") for run in _EXPRESSION.finditer(text) if re.search(r"[0-9)]\s*[-+*/(]+\s*[0-9(]", run[0])
    ]


_OPERATORS: dict[type[ast.AST], Callable[..., Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


def evaluate(text: str) -> Solution | None:
    """The numbers and the value of an expression of `+ - * /` and brackets; None where it is none."""
    if len(text) > LONGEST:
        return None
    used: Counter[Fraction] = Counter()

    def value(node: ast.AST) -> Fraction:
        match node:
            case ast.Constant(value=int() | float() as number):
                used[Fraction(str(number))] += 1
                return Fraction(str(number))
            case ast.BinOp(left, operation, right) if type(operation) in _OPERATORS:
                return _OPERATORS[type(operation)](value(left), value(right))
            case ast.UnaryOp(operation, operand) if type(operation) in _OPERATORS:
                return _OPERATORS[type(operation)](value(operand))
        raise SyntaxError

    text = re.sub(r"(?<=[0-9)])\s*(?=\()|(?<=\))\s*(?=[0-9])", "*", text)
    try:
        return Solution(used, value(ast.parse(text, mode="eval").body))
    except ZeroDivisionError:
        return Solution(used, None)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _numbers(column: object) -> list[Fraction]:
    """The numbers of a column: one, a list of them, or a text that holds them."""
    texts = column if isinstance(column, list | tuple) else [] if column is None else [column]
    return [Fraction(found) for text in texts for found in re.findall(r"-?[0-9]+(?:\.[0-9]+)?", str(text)[:LONGEST])]
