r"""What a completion answered, told by one set of rules for rewards and evaluation alike.

Thinking is set aside first: a block between `<think>`, or another mark in `THINKING`, and its end, also where the
opening tag is missing (a chat template wrote it). A block that never ends ran out of tokens, so nothing was answered.
Then the rules are tried in order, and the first that finds anything gives the answer; within a rule the last
occurrence counts.

Each rule reads the text once: a completion of a million characters costs no more than its length.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rlkit import names

THINKING = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<reasoning>": "</reasoning>",
    "<thought>": "</thought>",
    "<scratchpad>": "</scratchpad>",
    "<seed:think>": "</seed:think>",
    "<|channel|>analysis<|message|>": "<|channel|>final<|message|>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
}
SOLUTION = ("<|begin_of_solution|>", "<|end_of_solution|>")
"""What stands around the answer of models that write `<|begin_of_thought|>`."""
NUMBER = r"[-+]?(?:(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)(?:/[0-9]+)?"

AROUND = " \t\r\n*_`"
"""White space and the marks of Markdown's emphasis, which are no part of an answer."""

Span = tuple[int, int]


class Answer(NamedTuple):
    """An answer, the rule that found it, and where in the completion it stands."""

    text: str
    rule: str
    start: int
    end: int


def extract(completion: str, rules: Sequence[str] | None = None) -> Answer | None:
    """The answer that a completion gives, or None.

    Args:
        completion: The text that the policy wrote.
        rules: Names from `RULES`, in the order to try; `DEFAULT` where None.

    Raises:
        ValueError: There is no rule of that name.
    """
    check(rules)
    start = after_thinking(completion)
    stop = start + len(completion[start:].partition(SOLUTION[1])[0])
    for name in DEFAULT if rules is None else rules:
        found = RULES[name](completion, start, stop)
        if found is not None:
            begin, end = found
            begin += len(completion[begin:end]) - len(completion[begin:end].lstrip(AROUND))
            text = completion[begin:end].rstrip(AROUND)
            if text or name == "tag":  # an empty tag is an answer: none
                return Answer(text, name, begin, begin + len(text))
    return None


def check(rules: Sequence[str] | None) -> None:
    """Refuse rules that do not exist.

    Raises:
        ValueError: With the nearest right name.
    """
    for name in rules or ():
        if name not in RULES:
            raise ValueError(names.unknown("rule", name, RULES))
    if rules is not None and not rules:
        raise ValueError(f"rules is empty: no answer would be found; there are: {', '.join(RULES)}")


_OPENING = re.compile("|".join(map(re.escape, THINKING)), re.IGNORECASE)
_CLOSING = re.compile("|".join(map(re.escape, (*THINKING.values(), SOLUTION[0]))), re.IGNORECASE)


def after_thinking(completion: str) -> int:
    """Where the thinking ends: an index into the text, its length where thinking never ends."""
    start = max((mark.end() for mark in _CLOSING.finditer(completion)), default=0)
    opened = _OPENING.search(completion, start)
    if not opened:
        return start
    # Only a block whose end was forgotten, not one that ran out of tokens, closes an answer tag at the very end.
    tag = completion.rfind("<answer>")
    return tag if tag > opened.start() and completion.rstrip().endswith("</answer>") else len(completion)


_SAID = re.compile(r"\s*(?:the )?(?:(?:final|correct) )?answer(?: is\b:?|:)(?=\s*\S)", re.IGNORECASE)


def _tag(text: str, start: int, stop: int) -> Span | None:
    at = text.rfind("<answer>", start, stop)
    if at < 0:
        return None
    at += len("<answer>")
    end = text.find("</answer>", at, stop)
    end = end if end >= 0 else stop
    said = _SAID.match(text, at, end)
    return said.end() if said else at, end


_BOX = r"\\(?:boxed|fbox|framebox)(?![a-zA-Z])\s*"
_BRACE = re.compile(rf"({_BOX})(?:(\{{)|[^\s${{}}\\]+|\\[a-zA-Z]+)?|\\.|[{{}}]", re.DOTALL)
_JOINED = re.compile(
    r"(?:[^.\n]*?(?:[,;&]|\band\b|\bor\b)[^.\n]*|\W*alternatively\W*"
    r"|(?:[\s$,;.&/|]|\\[()\[\],;:! ]|\\q?quad)*)",
    re.IGNORECASE,
)
_NEAR = 60


def _boxed(text: str, start: int, stop: int) -> Span | None:
    r"""The last box; boxes that one sentence joins (`\boxed{3} or \boxed{4}`) are one answer, commands and all."""
    first = re.search(_BOX, text[start:stop])
    if not first:
        return None
    boxes: list[tuple[int, int, int, int]] = []  # of command, content, content's end, end
    open_braces: list[tuple[int, int] | None] = []
    for token in _BRACE.finditer(text, start + first.start(), stop):
        mark = token[0]
        if token[2]:
            open_braces.append((token.start(), token.end()))
        elif token[1]:  # \boxed 5
            begin = token.end(1)
            boxes.append((token.start(), begin, begin + len(text[begin : token.end()].rstrip(".,")), token.end()))
        elif mark == "{":
            open_braces.append(None)
        elif mark == "}" and open_braces and (box := open_braces.pop()):
            inside = [
                b for b in boxes[-1:] if not text[box[1] : b[0]].strip() and not text[b[3] : token.start()].strip()
            ]
            while boxes and boxes[-1][0] > box[0]:
                boxes.pop()
            boxes.append(inside[0] if inside else (*box, token.start(), token.end()))
    if not boxes:
        return None
    n = len(boxes) - 1
    while n and boxes[n][0] - boxes[n - 1][3] <= _NEAR and _JOINED.fullmatch(text, boxes[n - 1][3], boxes[n][0]):
        n -= 1
    alike = len({text[box[1] : box[2]].strip() for box in boxes[n:]}) == 1
    return boxes[-1][1:3] if alike else (boxes[n][0], boxes[-1][3])


def _hash(text: str, start: int, stop: int) -> Span | None:
    """What follows `####` on the last line, or on an earlier one where it is no heading of Markdown's fourth level."""
    end = stop
    while (at := text.rfind("####", start, end)) >= 0:
        line = text.find("\n", at, end)
        line = end if line < 0 else line
        last = end == stop and not text[line:stop].strip()
        answer = text[at + 4 : line].strip()
        if answer and (last or re.match(r"(?![0-9]+[.):]\s)[-+−$€£\\({]*[0-9]", answer)):
            return at + 4, line
        end = at
    return None


_PHRASE = re.compile(
    r"^a:|\bans:|\bответ:|答案(?:是|为|[:：])|\banswers?\b[*_`]*(?: (?:to|for|of) [^.:\n]{1,40}?)?\s*"
    r"(?:\b(?:is|are|equals)\b[*_`]*\s*:?|:|=)(?!\s*(?:indeed\s+)?(?:in)?(?:correct|right|wrong|valid|consistent)\b)",
    re.IGNORECASE | re.MULTILINE,
)
# A sentence ends here, unless the dot follows an initial or a title (St. Louis), or the answer goes on (4. Or 5.).
_SENTENCE = re.compile(r"(?<![A-Z])(?<![A-Z][a-z])\.[*_`]*\s+(?!or\b|Or\b)(?=[A-Z])|<\|")


_CLAUSE = re.compile(r"(?:the|it|this|that|there|so|thus|therefore)\b", re.IGNORECASE)  # Final Answer: The sum is 34.
_VERB = re.compile(r"(?<=\s)(?:is|are)[ \t]+(?=\S)")


def _phrase(text: str, start: int, stop: int) -> Span | None:
    """What follows "the answer is", "Answer:" or "A:": the rest of the sentence, or of the next line that has any."""
    stop = start + len(text[start:stop].rstrip(AROUND + ":"))
    last = None
    for last in _PHRASE.finditer(text, start, stop):  # noqa: B007
        pass
    if last is None:
        return None
    begin = last.end() + len(text[last.end() : stop]) - len(text[last.end() : stop].lstrip(AROUND + ":"))
    line = text.find("\n", begin, stop)
    end = stop if line < 0 else line
    if text.startswith((r"\[", "$$"), begin):  # displayed: it ends with its environment
        closing = text.find(r"\]" if text[begin] == "\\" else "$$", begin + 2, stop)
        end = closing + 2 if closing >= 0 else end
    sentence = _SENTENCE.search(text, begin, end)
    end = sentence.start() if sentence else end
    if _CLAUSE.match(text, begin, end):
        for verb in _VERB.finditer(text, begin, end):
            begin = verb.end()
    while text[begin:end].rstrip(AROUND).endswith((".", "。")):
        end = begin + len(text[begin:end].rstrip(AROUND)) - 1
    return begin, end


_DELIMITER = re.compile(r"\$\$?|\\[()\[\]]")
_OPENS = {"$": "$", "$$": "$$", r"\)": r"\(", r"\]": r"\["}
_SEPARATED = re.compile(r"[ \t]*+(?:[.,;]?[ \t]*+(?:\\text\{ ?)?(?:and|or)\b ?\}?|[,;])?[ \t]*+")
_PROSE = re.compile(
    r"\\text[a-z]*\s*\{[^{}]*\}|\\(?:begin|end)\{[a-z]*\}|\\[a-zA-Z]+|(?:sin|cos|tan|sqrt|pi|or|and|mod|exp)(?![a-z])"
    r"|(?=[a-zA-Z]{2})([a-zA-Z]?[a-z]*[aeiouy][a-z]*)"
)
_SHORT = 300
"""Characters of the longest text that is nothing but a formula, and of the longest that may follow the last one."""


def _formula(text: str, start: int, stop: int) -> Span | None:
    """The text where it is nothing but a formula, else the last one, with those that a comma or "or" joins to it."""
    marks = list(_DELIMITER.finditer(text, start, stop))
    if not marks and stop - start <= _SHORT and not any(word[1] for word in _PROSE.finditer(text, start, stop)):
        return start, stop
    span: Span | None = None
    while len(marks) > 1:
        closing, opening = marks.pop(), marks.pop()
        if opening[0] != _OPENS.get(closing[0]) or text[closing.end() : closing.end() + 1].isdigit():
            break  # $5 and $10 are sums of money
        if span and not _SEPARATED.fullmatch(text, closing.end(), span[0]):
            break
        span = (opening.start(), span[1] if span else closing.end())
    if span and (stop - span[1] > _SHORT or re.search(r"[0-9]", text[span[1] : stop])):
        return None  # the text goes on: it did not end with this
    return span


_EDGE = r"\s=—\u3000-\u30ff\u3400-\u9fff\uff00-\uffef"  # what ends a term: space, "=", a dash, a script without spaces
_TERM = (
    rf"(?<![^{_EDGE}>])(?!(?<=>)>)(?=[^{_EDGE}]*[0-9])"
    rf"(?:(?!<<|>>|</?[a-zA-Z|][^<>\s]{{0,30}}>)(?:[<>!:]=|[^{_EDGE}{{}}]|\{{[^{{}}\n]{{0,99}}\}}|[{{}}]))++"
)
_OPERATOR = r"(?:[-+*/^:|×·÷−–<>≤≥≠±]|[<>!]=)"
_BEFORE = (
    r"(?:\b(?:negative|minus|not|never|twice|double|triple|than|least|most|[a-z]{1,6}n['’]t|(?:half|third|root) of)"
    rf"|(?<![^{_EDGE}])(?:[a-z]|[^{_EDGE}]{{0,12}}[)\]}}])[ \t]+{_OPERATOR}|(?<==)[ \t]*[-−–])[ \t]+"
)
_BETWEEN = (
    rf"(?<![.!?:])[ \t]++(?:(?:{_OPERATOR}|"
    r"\(?(?:or|and|to|vs\.?|versus|(?:out )?of|plus|minus|times|(?:divided )?by)\b)[ \t]++)?"
    rf"(?:[a-z$\\(][^{_EDGE}0-9]{{0,11}}[ \t]*=[ \t]*)?"
)
_AFTER = (
    rf"[ \t]+(?:(?:thousand|[mb]illion|trillion|hundred|dozen|squared|cubed)\b|{_OPERATOR}[ \t]+(?:[a-z]\b|\\[a-z]+)"
    r"|\\[a-z]+(?:\{[^{}\n]{0,30}\})*)"
)
_PIECE = re.compile(rf"(?:{_BEFORE})?{_TERM}(?:{_BETWEEN}{_TERM})*(?:{_AFTER})?", re.IGNORECASE)
_ALONE = re.compile(rf"(?<![0-9.A-Za-z_]){NUMBER}")


def _number(text: str, start: int, stop: int) -> Span | None:
    """The last number, with all that changes its value or rivals it: no part of -$3, x^2 or "3 or 4" is an answer."""
    last = None
    for piece in _PIECE.finditer(text, start, stop):
        last = piece.span() if _ALONE.search(text, *piece.span()) else last
    if last is None or last[1] - last[0] > _SHORT:
        return last
    begin, end = last
    while begin < end:
        inside, first, final = text[begin:end], text[begin], text[end - 1]
        excess = sum(map(inside.count, "([{")) - sum(map(inside.count, ")]}"))
        if final in ".,;:!\"'”’*_`~\\" or (
            final in ")]}" and (excess < 0 or (first in "([{" and inside[1:-1].isdigit()))
        ):
            end -= 1
        elif first in "\"'“‘*_`~,;:" or (first in "([{" and excess > 0):
            begin += 1
        else:
            break
    return begin, end


RULES: dict[str, Callable[[str, int, int], Span | None]] = {
    "tag": _tag,
    "boxed": _boxed,
    "hash": _hash,
    "phrase": _phrase,
    "formula": _formula,
    "number": _number,
}
"""The rules by name."""

EXPLICIT = ("tag", "boxed", "hash", "phrase")
"""The rules by which a completion says that this is its answer; the others guess."""
DEFAULT = (*EXPLICIT, "number")
"""What is tried where nothing else is set."""

_WRAPPED = re.compile(
    rf"\$+(.*?)\$*|(.+?)\$|\\\((.*)\\\)|\\\[(.*)\\\]|{_BOX}\{{(.*)\}}|\\(?:text|textbf|textit|mathrm|mathbf)\s*\{{([^{{}}]*)\}}",
    re.DOTALL,
)


def bare(text: str) -> str:
    r"""An answer without what is written around it: dollar signs, `\( \)`, `\boxed{}`, `\text{}`, a final full stop."""
    for _ in range(8):
        text = text.strip().rstrip(".").strip(AROUND)
        wrapped = _WRAPPED.fullmatch(text.replace("\\$", "$"))
        inner = next((part for part in wrapped.groups() if part is not None), None) if wrapped else None
        if inner is None or not _balanced(inner) or "$" in inner:
            break
        text = inner
    return text


def _balanced(text: str) -> bool:
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]|\\[()\[\]]", text):
        depth += 1 if brace in ("{", r"\(", r"\[") else -1
        if depth < 0:
            return False
    return depth == 0


_MINUS = str.maketrans("−–", "--")


def normalise(text: str) -> str:
    """A form in which equal answers are equal texts.

    What `bare` takes off, case and how much white space stands between words do not count, nor do thousands
    separators, and a number is written in its shortest way: "1,200.50", "$1200.5" and "1200.5" are one answer.
    """
    text = text.strip()
    if text.isascii() and text.isdigit() and text[0] != "0":  # what most answers are
        return text
    text = " ".join(bare(text).split()).replace("\\$", "$").translate(_MINUS).strip("$ ").casefold()
    number = text.replace("$", "")
    if re.fullmatch(r"[-+]?[0-9]{1,3}(?: [0-9]{3})+(?:\.[0-9]+)?", number):
        number = number.replace(" ", "")
    if re.fullmatch(NUMBER, number) and "/" not in number:
        whole, _, decimals = number.replace(",", "").lstrip("+").partition(".")
        sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
        digits, decimals = digits.lstrip("0") or "0", decimals.rstrip("0")
        text = f"{digits}.{decimals}" if decimals else digits
        return text if text == "0" else sign + text
    return text
