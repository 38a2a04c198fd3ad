r"""LaTeX as answers write it: one spelling, taken apart, parsed."""

import math
import re
import unicodedata
from fractions import Fraction
from typing import Any, NamedTuple

from rlkit import answers
from rlkit.rewards import quantities

WORD = re.compile(r"[A-Za-z][A-Za-z' -]{2,}")
"""An answer in words; to LaTeX it would be a product of letters."""
HUGE = 5000.0
"""Decimal digits beyond which a number is not written out."""


class Entries(NamedTuple):
    """What an answer lists, and between which brackets."""

    brackets: str
    items: list[str]

    @property
    def loose(self) -> bool:
        """Whether the order does not count: a list or a set."""
        return self.brackets in ("", "{}")


_SIGNS = {"−": "-", "–": "-", "÷": "/", "$": "", "€": "", "£": "", "’": "'", "\u00a0": " ", "°": r"^\circ "}
_NAMED = {"×": "times", "·": "cdot", "⋅": "cdot", "π": "pi", "θ": "theta", "∞": "infty", "√": "sqrt", "±": "pm"}
_RELATIONS = {"≤": "leq", "≥": "geq", "≠": "neq", "≈": "approx", "∈": "in", "∪": "cup", "∩": "cap"}
_COMMON = str.maketrans(_SIGNS | {sign: f"\\{name} " for sign, name in (_NAMED | _RELATIONS).items()})
_REWRITES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (
            r"\\boxed(?![a-zA-Z])|\\fbox(?![a-zA-Z])|\\displaystyle|\\limits|\\left\b\.?|\\right\b\.?|\\[bB]igg?[lr]?\b|\\\$",
            "",
        ),
        (r"\\textcolor\s*\{[^{}]*\}|\\color\s*\{[^{}]*\}", ""),
        (r"\\(?:boldsymbol|bm|underline)\s*\{((?:[^{}]|\{[^{}]*\})*)\}", r"\1"),
        (r"\^\s*\{?\s*\\prime\s*\}?", "'"),
        (r"^(?:negative|minus)\s+(?=[0-9.\\])", "-"),
        (r"(?<=[0-9])'(?=[0-9]{3}(?![0-9]))", ","),
        (r"(?<=[0-9])\s*(?:\{,\}|,?\s*\\!|,\s*\\!)\s*(?=[0-9]{3})", ","),  # thousands, as LaTeX spaces them
        (r"\\(?:mbox|textbf|textit|textrm|mathrm|mathbf|mathit|operatorname)(?![a-zA-Z])\*?", r"\\text"),
        (r"\\text\s*\{(?:[^{}]*\s)?(?:and|or)\s*\}|(?<![a-zA-Z\\])(?:,\s*)?(?:and|or)(?![a-z])", " , "),
        (r"\\q?quad|(?<!\\)\\[,;:!> ]|~", " "),
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"\\frac\s*([0-9])\s*([0-9])", r"\\frac{\1}{\2}"),
        (r"\\text\s*\{\s*(\([A-Za-z]\))\s*\}", r"\1"),
        (r"(?<![a-zA-Z\\])sqrt\s*\(([^()]*)\)|\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1\2}"),
        (r"\\sqrt\s*([0-9]+|[a-zA-Z])", r"\\sqrt{\1}"),
        (r"(?<![a-zA-Z\\])[Ii]nfinity(?![a-zA-Z])", r"\\infty"),
        (r"\\varnothing|\\\{\s*\\\}", r"\\emptyset"),
        (r"\\lt(?![a-zA-Z])", "<"),
        (r"\\gt(?![a-zA-Z])", ">"),
        (r"\\leqslant(?![a-zA-Z])|\\le(?![a-zA-Z])|<=", r"\\leq "),
        (r"\\geqslant(?![a-zA-Z])|\\ge(?![a-zA-Z])|>=", r"\\geq "),
        (r"(?<![0-9a-zA-Z.])([0-9]+(?:\.[0-9]+)?)[eE]([-+]?[0-9]{1,3})(?![0-9a-zA-Z.])", r"\1\\times 10^{\2}"),
        (r"^([A-Za-z](?:_\{?\w\}?)?)\s*\\approx", r"\1="),
        (r"^(?:\\approx|=)\s*", ""),
        (r"\\approx.*", ""),  # what is about equal follows what is
        (r"(?<!\\)\\[()\[\]]", ""),
    ]
]


def _fraction(sign: re.Match[str]) -> str:
    above, _, below = unicodedata.normalize("NFKC", sign[0]).partition("\u2044")
    return rf"\frac{{{above}}}{{{below}}}"


def plain(text: str) -> str:
    """An answer in one spelling: LaTeX without layout, signs outside ASCII as commands."""
    text = re.sub("[¼-¾⅐-⅞]", _fraction, quantities.lowered(answers.bare(text))).translate(_COMMON)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return answers.bare(text)


_UNIT = re.compile(
    r"(?<=[0-9})a-z])(?:\s*\\text\s*\{[^{}]*\}"
    r"|\s+(?!sin|cos|tan|log|mod|over|choose|to\b)[A-Za-z][a-z]+(?:[ -][a-z]+)*\.?"
    r"|\s*\^\s*\{?\s*\\circ\s*\}?(?:\s*(?:[CF]|\\text\s*\{\s*[CF]\s*\}))?)(?:\s*\^\s*\{?[23]\}?)?\s*$"
)


_NO_UNIT = re.compile(
    r"(?<![\^{])[0-9]|[(,?!]|\b(?:or|and|not?|nor|never|is|are|was|wrong|incorrect|maybe|perhaps|sure|but|except|if|with|to"
    r"|times|half|hundred|thousand|[mb]illion|trillion|dozen)\b|n't|^(?:\\text|\W)*(?:squared|cubed|factorial)\b",
    re.IGNORECASE,
)
"""What makes words behind an answer more than a unit: a number, a conjunction, a negation, a word that multiplies."""
_MEASURE = r"(?:\s*(?:[kcm]m|[km]?g|m[lL]|[kM]?Hz|k[NJWV]|k?Pa|mph)|\s+(?:[msghLNJWVAKCF]|\\Omega|USD|EUR|GBP))"
_MEASURED = re.compile(rf"(.*[0-9}}]){_MEASURE}(?:/[a-zA-Z]{{1,4}})?(?:\s*\^\s*\{{?-?[0-9]\}}?)?")


def unit_free(text: str) -> str:
    r"""An answer without the unit behind it: `\text{ cm}^2`, a word after a space, a degree sign, m after a number."""
    measured = _MEASURED.fullmatch(text)
    if measured and number(measured[1]):
        return measured[1]
    found = _UNIT.search(text)
    return text[: found.start()].strip() if found and not _NO_UNIT.search(found[0]) else text


def doubtful(text: str) -> bool:
    """Whether words follow an answer that are no unit: "12 or thirteen", "12 is wrong"."""
    found = _UNIT.search(text)
    return found is not None and bool(_NO_UNIT.search(found[0]))


def key(text: str) -> str:
    """A text in which what LaTeX does not show does not count; words in small letters."""
    text = re.sub(
        r"(?<![0-9]) | (?![0-9])",
        "",
        " ".join(re.sub(r"(?<=[_^])\{(\w)\}", r"\1", re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text)).split()),
    )
    return text.casefold() if WORD.fullmatch(text) else text


class Number(NamedTuple):
    """A plain number: its value, the base that it names, whether it is a percentage."""

    value: Fraction
    base: str
    percent: bool


def number(text: str, comma: bool = False) -> Number | None:
    """Read a plain number; with a base, its digits are compared as they stand.

    A decimal comma is read as one where the gold number has a decimal point (`comma`); else it may stand in a list.
    """
    text, percents = re.subn(r"\s*(?:\\?%|(?:\\text\{)?\b(?:percent(?:age)?|pct)\b\}?)\s*$", "", text)
    based = re.fullmatch(r"([0-9][0-9A-F]{0,99})_\{?([0-9]+)\}?", text.replace(" ", ""))
    if based:
        return Number(Fraction(int(based[1], 10 if based[1].isdecimal() else 16)), based[2], bool(percents))
    if comma and re.fullmatch(r"-?[0-9]+,[0-9]+", text) and not re.fullmatch(r"-?[1-9][0-9]{0,2},[0-9]{3}", text):
        text = text.replace(",", ".")
    scaled = re.fullmatch(r"(.*[0-9}])\s*(?:\\text\s*\{\s*)?([a-z]{2}[a-z ]*)\}?", text, re.DOTALL)
    by = quantities.scale(scaled[2])[0] if scaled else 1
    value = quantities.number(scaled[1] if scaled and by > 1 else text)
    return None if value is None else Number(value * by, "", bool(percents))


def entries(text: str) -> Entries:
    r"""Take a list, set, tuple or interval apart at the commas (or semicolons) that stand in no bracket."""
    text = text.replace(r"\{", "{").replace(r"\}", "}")
    enclosed = text[0] in "([{" and split(text[1:], ")]}")[1:] == [""]
    inside = text[1:-1].strip() if enclosed else text
    items = split(inside, ";")
    items = items if len(items) > 1 else split(inside, ",")
    if enclosed and len(items) == 1 and "[" in text[0] + text[-1]:
        return Entries("", [text])
    if enclosed and len(items) == 1 and inside:
        return entries(inside)
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
    r"\\(?:sum|int|prod|lim|max|min|binom|det|gcd|lcm)(?![a-z]).*|\\frac\{d[a-zA-Z]?\}\{d[a-z]\}"
    r"|\\(?:sin|cos|tan|cot|sec|csc)\s*(?:\\angle\s*)?[A-Z]+|\|[A-Z]{2}\||(?![a-z]\s*[a-z]$)"
    r"(?:\\(?!frac|sqrt|begin|cdot|times|pm|not|ne|Rightarrow|Left|implies|iff|to|lor|vee|sin|cos|tan|log|ln|exp)"
    r"[a-zA-Z]+(?![a-zA-Z])|[A-Za-z]|"
    r"_(?:\{[^{}]{0,20}\}|\w)|\{[A-Za-z ]*\}|(?<=[fghuvFGHPSTVW'}])\([^()]{0,30}\)|\([A-Za-z0-9, ]*\)|[':, ])+",
    re.DOTALL,
)
"""What an answer may call its value: x, f(x), S_{ABC}, (p,q), a ratio AB:CD, a sum."""
_TEXT = re.compile(r"(?:\\[a-zA-Z]+\s*\{?\s*)?[A-Z]{2,}\}?|(?!pi)(?:[a-z]*[eiou][a-z]+|[a-z]+[eiou])")


def compared_as_text(text: str) -> bool:
    """Whether an answer is no formula: a word, the name of points (AC, no product of A and C), or with primes."""
    return bool(WORD.fullmatch(text) or _TEXT.fullmatch(text) or "'" in text)


def sides(text: str) -> list[str]:
    r"""The sides of an equation, or of `x \in S`; the text alone where it is none."""
    if r"\begin" in text:
        return [text]
    parts = [side.strip() for side in split(re.sub(r"\\in(?![a-zA-Z])", "=", text), "=")]
    return [text] if any(part[-1:] in "<>!" for part in parts) else parts


def named(listed: Entries) -> bool:
    """Whether the entries are values of different names: x = 1, y = 2."""
    return len({key(sides(item)[0]) for item in listed.items if "=" in item}) > 1


def cased(gold: str, given: str) -> list[str]:
    """Both texts with other letters for capitals that also stand there as small ones: the parser takes them for one."""
    letters = {letter for letter in re.findall(r"\\[a-zA-Z]+|[A-Za-z]", gold + " " + given) if len(letter) == 1}
    free = iter(sorted(set("qwzvukjhgpmnrsty") - {letter.lower() for letter in letters}))
    other = {letter: next(free, letter) for letter in sorted(letters) if letter.isupper() and letter.lower() in letters}
    return [re.sub(r"\\[a-zA-Z]+|[A-Z]", lambda m: other.get(m[0], m[0]), side) for side in (gold, given)]


def parse(text: str, real: bool) -> Any:
    """The expression that LaTeX stands for, or None."""
    from latex2sympy2_extended import NormalizationConfig, latex2sympy

    if r"\begin" not in text and "," not in text:  # a bracket that holds one expression
        text = re.sub(r"(?<!\\sqrt)\[([^\[\]]*)\]", r"(\1)", text)
    text = re.sub(r"_\{\\([a-zA-Z]+)\}", r"_{\1}", text)
    text = re.sub(r"([0-9.]+)\s*\^\s*\{?\s*\\circ\s*\}?", r"(\1\\cdot\\frac{\\pi}{180})", text)
    rules = NormalizationConfig(basic_latex=True, malformed_operators=True, nits=True, boxed="none")
    try:
        return latex2sympy(text, is_real=real, convert_degrees=False, normalization_config=rules)
    except Exception:  # the parser has no error class of its own
        return None


def written_out(expression: Any) -> bool:
    """Whether every number in the expression can be written out: a tower of powers is no answer to anything else."""
    from sympy import Basic, Pow, factorial, postorder_traversal

    for node in postorder_traversal(expression) if isinstance(expression, Basic) else ():
        if isinstance(node, Pow | factorial) and not node.free_symbols:  # what stands in it has been looked at
            try:
                first, last = (abs(complex(part.evalf(5))) for part in (node.args[0], node.args[-1]))
                if last * abs(math.log10(first or 1.0)) > HUGE:
                    return False
            except (TypeError, ValueError, AttributeError):
                continue
            except OverflowError:
                return False
    return True
