"""The instructions that a program can check, by their names in IFEval (arXiv 2311.07911), each a function of a text."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from rlkit.rewards.spoken import is_in

Check = Callable[..., bool | None]
"""(text, **arguments of the instruction) -> whether the text follows it; None: that cannot be told."""

CHECKS: dict[str, Check] = {}
"""The checks by name."""

_WORD = re.compile(r"\w+")
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|jr|sr|vs|e\.g|i\.e|fig|inc|ltd|co|approx|dept|est)|(?<![^\W\d_])[^\W\d_]"
    r"|(?:\b[^\W\d_]\.)+[^\W\d_])\.$",
    re.IGNORECASE,
)
_END = re.compile(r"""[.!?…]+["'”’)\]*_]*(?=\s|$)|[。！？]+""")


def _check(name: str) -> Callable[[Check], Check]:
    def add(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return add


def _holds(count: int, relation: str, number: float) -> bool:
    """Whether a count is as a relation says: "at least", or "less than"."""
    if relation not in ("at least", "less than"):
        raise ValueError(f"the relation is {relation!r}, neither 'at least' nor 'less than'")
    return count >= number if relation == "at least" else count < number


@_check("keywords:existence")
def _existence(text: str, keywords: Sequence[str]) -> bool:
    return all(word.casefold() in text.casefold() for word in keywords)


@_check("keywords:frequency")
def _frequency(text: str, keyword: str, frequency: float, relation: str) -> bool:
    return _holds(text.casefold().count(keyword.strip().casefold()), relation, frequency)


@_check("keywords:forbidden_words")
def _forbidden(text: str, forbidden_words: Sequence[str]) -> bool:
    return not any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in forbidden_words)


@_check("keywords:letter_frequency")
def _letters(text: str, letter: str, let_frequency: float, let_relation: str) -> bool:
    return _holds(text.lower().count(letter.lower()), let_relation, let_frequency)


@_check("language:response_language")
def _language(text: str, language: str) -> bool | None:
    return is_in(text, language)


@_check("length_constraints:number_paragraphs")
def _paragraphs(text: str, num_paragraphs: float) -> bool:
    """Paragraphs are parted by three asterisks, which may stand before the first and after the last as well."""
    parts = [part.strip() for part in text.split("***")]
    parts = parts[not parts[0] : len(parts) - (len(parts) > 1 and not parts[-1])]
    return all(parts) and len(parts) == num_paragraphs


@_check("length_constraints:number_words")
def _words(text: str, num_words: float, relation: str) -> bool:
    return _holds(len(_WORD.findall(text)), relation, num_words)


@_check("length_constraints:number_sentences")
def _sentences(text: str, num_sentences: float, relation: str) -> bool:
    return _holds(sentences(text), relation, num_sentences)


def sentences(text: str) -> int:
    """How many sentences a text has: one at least, where it has any word."""
    count, begin = 0, 0
    for mark in _END.finditer(text):
        final = text[begin : mark.end()].rstrip("\"'”’)]*_")
        if _ABBREVIATION.search(final[-40:]) and text[mark.end() :].strip():
            continue
        if text[mark.end() :].lstrip()[:1].islower() or not _WORD.search(text, begin, mark.end()):
            continue  # it goes on; "1." and the like are counted with what they number
        if re.fullmatch(r"\W*\d{1,3}[.)]", text[begin : mark.end()]):
            continue
        count, begin = count + 1, mark.end()
    return count + bool(_WORD.search(text, begin))


@_check("length_constraints:nth_paragraph_first_word")
def _nth_paragraph(text: str, num_paragraphs: float, nth_paragraph: float, first_word: str) -> bool:
    """Paragraphs are parted by blank lines."""
    parts = [part for part in re.split(r"\n[ \t]*\n", text) if part.strip()]
    if len(parts) != num_paragraphs or nth_paragraph > len(parts):
        return False
    first = re.search(r"\w[\w'’-]*", parts[int(nth_paragraph) - 1])
    return first is not None and first[0].casefold() == first_word.strip().casefold()


@_check("detectable_content:number_placeholders")
def _placeholders(text: str, num_placeholders: float) -> bool:
    return len(re.findall(r"\[[^\[\]\n]+\]", text)) >= num_placeholders


@_check("detectable_content:postscript")
def _postscript(text: str, postscript_marker: str) -> bool:
    """The mark begins a line or a sentence, and something follows it; "P. S." is "P.S."."""
    signs = [re.escape(sign) for sign in postscript_marker.strip() if not sign.isspace()]
    return re.search(r"(?:^|\s)" + r"[ ]?".join(signs) + r"\.?[:\s]*\S", text, re.IGNORECASE | re.MULTILINE) is not None


@_check("detectable_format:number_bullet_lists")
def _bullets(text: str, num_bullets: float) -> bool:
    return len(re.findall(r"^[ \t]*[*-][ \t]+\S", text, re.MULTILINE)) == num_bullets


@_check("detectable_format:constrained_response")
def _constrained(text: str) -> bool:
    return any(f"My answer is {word}." in text for word in ("yes", "no", "maybe"))


@_check("detectable_format:number_highlighted_sections")
def _highlights(text: str, num_highlights: float) -> bool:
    marked = re.findall(r"\*\*([^\n*]+)\*\*|\*([^\n*]+)\*", text)
    return sum(bool((bold or slanted).strip()) for bold, slanted in marked) >= num_highlights


@_check("detectable_format:multiple_sections")
def _sections(text: str, section_spliter: str, num_sections: float) -> bool:
    return len(re.findall(rf"(?<!\w){re.escape(section_spliter.strip())}\s?\d+", text)) >= num_sections


@_check("detectable_format:json_format")
def _json(text: str) -> bool:
    """The whole text, or the one fenced block that it is, is an object or a list."""
    fenced = re.fullmatch(r"```(?:json)?\s*(.*?)```", text.strip(), re.DOTALL | re.IGNORECASE)
    try:
        return isinstance(json.loads(fenced[1] if fenced else text), dict | list)
    except (ValueError, RecursionError):
        return False


@_check("detectable_format:title")
def _title(text: str) -> bool:
    return any(title.strip("<> \t") for title in re.findall(r"<<([^\n]+?)>>", text))


@_check("combination:two_responses")
def _two(text: str) -> bool:
    """Two answers that differ, parted by six asterisks."""
    parts = [part.strip() for part in text.split("******")]
    parts = parts[not parts[0] : len(parts) - (len(parts) > 1 and not parts[-1])]
    return len(parts) == 2 and all(parts) and parts[0] != parts[1]


@_check("combination:repeat_prompt")
def _repeat(text: str, prompt_to_repeat: str) -> bool:
    return text.strip().casefold().startswith(prompt_to_repeat.strip().casefold())


@_check("startend:end_checker")
def _ends(text: str, end_phrase: str) -> bool:
    return text.strip().strip('"').strip().casefold().endswith(end_phrase.strip().casefold())


@_check("startend:quotation")
def _quoted(text: str) -> bool:
    text = text.strip()
    return len(text) > 2 and text[0] in '"“' and text[-1] in '"”'


@_check("change_case:capital_word_frequency")
def _capitals(text: str, capital_frequency: float, capital_relation: str) -> bool:
    count = sum(word.isupper() for word in re.findall(r"[^\W_][\w'’-]*", text))
    return _holds(count, capital_relation, capital_frequency)


@_check("change_case:english_capital")
def _upper(text: str) -> bool:
    """A text of capitals that is in no language but English, as far as can be told."""
    return text.isupper() and is_in(text, "en") is not False


@_check("change_case:english_lowercase")
def _lower(text: str) -> bool:
    return text.islower() and is_in(text, "en") is not False


@_check("punctuation:no_comma")
def _no_comma(text: str, **_: Any) -> bool:
    return "," not in text
