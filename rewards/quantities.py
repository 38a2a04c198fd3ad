"""Numbers as answers write them: what `numeric` and `accuracy` read."""

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple

from rlkit import answers

_GROUPED = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?: [0-9]{3})+|[0-9]+)"
_DECIMAL = rf"(?:{_GROUPED}(?:\.[0-9]*)?|\.[0-9]+)"
_VALUE = re.compile(
    rf"([-+]?) ?(?:({_DECIMAL})(?: ?(?:e|\* ?10 ?\^) ?\{{?([-+]?[0-9]{{1,3}})\}}?)?"
    rf"|(?:({_GROUPED}) )?([-+]?{_DECIMAL}) ?/ ?({_DECIMAL}))",
    re.IGNORECASE,
)
_FRACTION = re.compile(
    r"\\[dtc]?frac\s*(?:\{\s*([-+]?[0-9.,]+)\s*\}|([0-9]))\s*(?:\{\s*([0-9.,]+)\s*\}|([0-9]))",
)
_RECURRING = re.compile(r"(-?)([0-9]*)\.([0-9]*)\\overline\s*\{?([0-9]+)\}?")
_LONGEST = 500


_BELOW = re.compile(r"(\\[dtc]?frac\s*\{[^{}]*\}\s*\{)\s*-")
"""The sign in a denominator, which goes before the fraction."""
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")


def lowered(text: str) -> str:
    """Raised digits as powers: m² is m^2, 10⁻³ is 10^{-3}."""
    return re.sub("[⁰¹²³⁴-⁹⁻]+", lambda m: f"^{m[0]}" if len(m[0]) == 1 else f"^{{{m[0]}}}", text).translate(_RAISED)


_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_SCALE = re.compile(rf"({'|'.join(_SCALES)}|dozen)s?\b|([kKM])(?![A-Za-z0-9])")


def scale(text: str) -> tuple[int, str]:
    """By how much the word after a number multiplies it (5 million, $3k), and what follows that word."""
    found = _SCALE.match(text)
    if not found:
        return 1, text
    word = found[1] or {"M": "million"}.get(found[2], "thousand")
    return 12 if word == "dozen" else 10 ** _SCALES[word], text[found.end() :].strip()


def number(text: str) -> Fraction | None:
    r"""The exact value of an answer that is one plain number, else None.

    Signs, decimals, thousands separators (a comma, a space or LaTeX's), fractions (`3/4`, `\frac{3}{4}`), mixed numbers
    (`1 1/2`) and powers of ten (`1.5e-3`, `1.5 \times 10^{-3}`) are read.
    """
    text = answers.bare(text)
    if len(text) > _LONGEST:
        return None
    if recurring := _RECURRING.fullmatch(text):
        sign, whole, fixed, period = recurring.groups()
        digits = int(whole + fixed + period) - int(whole + fixed or 0)
        return Fraction(digits if not sign else -digits, (10 ** len(period) - 1) * 10 ** len(fixed))
    text = _BELOW.sub(r"-\1", text)
    text = _FRACTION.sub(lambda m: f" {m[1] or m[2]}/{m[3] or m[4]}", text).replace("\u2212", "-")
    text = re.sub(
        r"\s*(?:\\times|\\cdot|×|·|\*)\s*", "*", re.sub(r"\\!|\{,\}\s*|,\\!\s*", lambda m: "," * ("," in m[0]), text)
    )
    match = _VALUE.fullmatch(" ".join(re.sub(r"\\[,;: ]|~", " ", text).split()))
    if not match:
        return None
    sign, decimal, power, whole, above, below = (re.sub("[ ,]", "", part or "") for part in match.groups())
    if decimal:
        value = Fraction(decimal.rstrip(".") or "0") * Fraction(10) ** int(power or 0)
    elif not Fraction(below) or (whole and above[0] in "-+"):
        return None
    else:
        value = Fraction(whole or 0) + Fraction(above) / Fraction(below)
    return -value if sign == "-" else value


class Quantity(NamedTuple):
    """A number, its unit (in small letters, "" for none) and whether it is a percentage."""

    value: Fraction
    unit: str
    percent: bool


def _units() -> dict[str, tuple[str, Fraction]]:
    table = {
        "length": "mm:1/1000 millimeter:1/1000 millimetre:1/1000 cm:1/100 centimeter:1/100 centimetre:1/100 "
        "m:1 meter:1 metre:1 km:1000 kilometer:1000 kilometre:1000 "
        "in:0.0254 inch:0.0254 ft:0.3048 foot:0.3048 feet:0.3048 yd:0.9144 yard:0.9144 mi:1609.344 mile:1609.344",
        "mass": "mg:1/1000 milligram:1/1000 g:1 gram:1 kg:1000 kilogram:1000 lb:453.59237 pound:453.59237 "
        "oz:28.349523125",
        "time": "ms:1/1000 s:1 sec:1 second:1 min:60 minute:60 h:3600 hr:3600 hour:3600 day:86400 week:604800",
        "volume": "ml:1/1000 milliliter:1/1000 l:1 liter:1 litre:1",
        "dollars": "$:1 dollar:1 usd:1 cent:1/100 ¢:1/100",
        "euros": "€:1 euro:1 eur:1",
        "pounds": "£:1 gbp:1",
    }
    sizes = {
        u: (kind, Fraction(s)) for kind, row in table.items() for u, s in (pair.split(":") for pair in row.split())
    }
    plural = {f"{u}es" if u == "inch" else f"{u}s": size for u, size in sizes.items() if len(u) > 1}
    return plural | sizes


UNITS = _units()
"""Units by name: the kind of quantity, and the size in its base unit."""
_OPEN = re.compile(
    r"\b(?:or|and|not|nor|never|to|than|between|either|neither|least|most|more|less|fewer|over|under|but|except|half|third"
    r"|quarter|twice|double|triple|wrong|incorrect|false|maybe|perhaps)\b|n['’]t\b|[<>≤≥≠±?]",
    re.IGNORECASE,
)
_BEFORE = re.compile(r"(?:[^\\|^√∛∜+*/(\[{]|\\approx)*(?:(?<![A-Za-z0-9])[(\[{])?")
"""What may stand before a number: no function, root, bar or operator, all of which change it."""
_OPERAND = re.compile(r"(?:\b[^\W\d_]|[0-9)\]}])\s*$")
_TOUCHING = re.compile(r"[-+*/^!(=|²³√]|\\|(?:squared|cubed|factorial)\b|[^\W\d_](?![\w.,;:)'’])")
"""What may not stand after it: arithmetic that goes on, one letter that is no unit (5x)."""
_NUMERAL = re.compile(
    r"(?<![A-Za-z0-9^.,])[-+]? ?(?:[$€£] ?)?[-+]?"
    r"(?:[0-9]{1,3}(?:[ '’][0-9]{3})+(?:[.,][0-9]+)?|[0-9]+(?:[.,][0-9]+)*|[.,][0-9]+)"
    r"(?:(?: [0-9]+)? ?/ ?[0-9]+(?:[.,][0-9]+)*| ?(?:e|[x*] ?10 ?\^) ?[({]?[-+]?[0-9]{1,3}[)}]?)?",
    re.IGNORECASE,
)
_LATEX = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"\\[dtc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}|\\[dtc]?frac\s*([0-9])\s*([0-9])", r" \1\3/\2\4"),
        (r"\\(?:times|cdot)(?![a-z])|[×·]", "*"),
        (r"(?<=[0-9])(?:\{,\}|,?\\!),?(?=[0-9]{3})", ","),
        (r"\\text\s*\{([^{}]*)\}|\\[,;: ]|~|[\u00a0\u2009\u202f]|\\\(|\\\)", r" \1"),
        (r"\\(?=[%$])", ""),
        (r"[\u2212\u2013]", "-"),
    ]
]


def quantity(text: str, decimal: str = "auto") -> Quantity | None:
    """The one number that an answer holds, with its unit; None where there is none, several, or none is meant."""
    if len(text) > 200:
        return None
    dollars = bool(re.fullmatch(r"-?\\?\$ ?[0-9][^$]*", text.strip()))  # else they enclose a formula
    text = re.sub(
        "[¼-¾⅐-⅞]", lambda m: " " + unicodedata.normalize("NFKC", m[0]).replace("\u2044", "/"), answers.bare(text)
    )
    text = re.sub(r"\b(?:negative|minus) (?=[$€£]?[0-9.])", "-", lowered(text), flags=re.IGNORECASE)
    text = _BELOW.sub(r"-\1", text)
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    text = " ".join(text.split())
    found = list(_NUMERAL.finditer(text))
    if len(found) != 1 or _OPEN.search(text):
        return None
    numeral = re.sub(r"[$€£'’]", "", found[0][0])
    value = number(re.sub(r"[0-9.,]*[.,][0-9.,]*", lambda m: _point(m[0], decimal), numeral).replace("x", "*"))
    after = text[found[0].end() :].strip()
    before = text[: found[0].start()]
    if value is None or not _BEFORE.fullmatch(before) or (numeral[0] in "+-" and _OPERAND.search(before)):
        return None
    by, after = scale(after)
    word = after.split(" ")[0].rstrip(".,;")
    if _TOUCHING.match(after) and re.split(r"[/^]", word)[0].casefold() not in UNITS:
        return None
    sign = re.search(r"[$€£]", found[0][0])
    unit = sign[0] if sign else "$" if dollars else word.casefold()
    percent = bool(re.match(r"%|percent|pct", unit))
    return Quantity(value * by, "" if percent else unit, percent)


def _point(digits: str, decimal: str) -> str:
    """A run of digits, points and commas with the decimal mark as a point and no other mark."""
    mark = decimal
    if mark == "auto":
        last = max(digits, key=lambda c: digits.rfind(c) if c in ".," else -1)
        both = "." in digits and "," in digits
        grouped = digits.count(last) > 1 or bool(re.fullmatch(r"[1-9][0-9]{0,2},[0-9]{3}", digits))
        mark = last if both or not grouped else "." if last == "," else ","
    other = "," if mark == "." else "."
    whole = digits.partition(mark)[0]
    if other in whole and not re.fullmatch(rf"[0-9]{{1,3}}(?:[{other}][0-9]{{2,3}})*[{other}][0-9]{{3}}", whole):
        return "?"  # 3.4.5 is no number
    return digits.replace(other, "").replace(mark, ".")
