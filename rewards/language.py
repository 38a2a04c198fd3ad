"""Language: is the completion written in the language that it should be in?"""

import functools
import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from rlkit import names, reward

SCRIPTS = {
    "CJK": "zh yue wuu ja ko",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "KATAKANA-HIRAGANA": "ja",
    "HANGUL": "ko",
    "CYRILLIC": "ru uk be bg mk sr mn kk ky tg tt ba uz",
    "ARABIC": "ar arz ary fa ur ps ug sdh ku",
    "HEBREW": "he hbo",
    "GREEK": "el grc",
    "DEVANAGARI": "hi mr ne sa gom",
    "BENGALI": "bn as",
    "GURMUKHI": "pa",
    "GUJARATI": "gu",
    "ORIYA": "or",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "SINHALA": "si",
    "THAI": "th",
    "LAO": "lo",
    "KHMER": "km",
    "MYANMAR": "my",
    "TIBETAN": "dz",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
    "ETHIOPIC": "am",
    "LATIN": "sr uz ku",
}
"""The script of each language that is not written in Latin letters alone, by the first word of its letters' names."""
RELATED = ("no nn", "zh yue wuu", "ar arz ary", "hr bs sr", "id ms", "he hbo", "el grc")
"""Languages whose texts cannot be told apart well enough to call one of them wrong."""

# Code, mathematics, tags and addresses, which are in no language.
_NO_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\$\$.*?(?:\$\$|\n\n|\Z)|\$[^$\n]*\$|\\\[.*?(?:\\\]|\n\n|\Z)|\\\(.*?(?:\\\)|\n\n|\Z)"
    r"|\\begin\{.*?(?:\\end\{\w*\*?\}|\n\n|\Z)|\\[a-zA-Z]+(?:\{[^{}\n]*\})*|<[^<>\n]*>|https?://\S+",
    re.DOTALL,
)
_PASSAGE = 40
"""Letters from which on a passage's language is certain; shorter sentences are taken together."""
_LONGEST = 1_000
_READ = 20_000
_BEATEN = 3.0
_BEATEN_SHORT = 10.0


@reward(
    "language_consistency",
    gold=[
        ("<think>Seven and five make twelve.</think>The answer is twelve.", {"language": "en"}, 1.0),
        ("Sept et cinq font douze, donc la réponse est douze.", {"language": "en"}, 0.0),
        ("Sept et cinq font douze, donc la réponse est douze.", {"language": "fr"}, 1.0),
        ("七加五等于十二，所以答案是 $x = 12$。", {"language": "zh"}, 1.0),
        ("七加五等于十二 because seven plus five is twelve", {"language": "zh"}, 7 / 19),
        ("Семь плюс пять будет двенадцать.", {"language": "en"}, 0.0),
        ("$7 + 5 = 12$", {"language": "en"}, None),
        ("", {"language": "en"}, None),
    ],
    requires=("py3langid", "rlkit[rewards]"),
)
class LanguageConsistency:
    """The share of the completion's words, thinking included, that are in the wanted language.

    Words in another script are not. In a script that several languages share, each passage of a few sentences counts
    as being in the language, unless another one is clearly more probable. Code, LaTeX, numbers, tags, addresses and
    single Latin or Greek letters are in no language. Where there are no spaces, two characters count as a word. Of more
    than 20,000 letters, passages from all over the text are read.

    Parameters: `language`, a code of two or three letters (en, fr, zh, also zh-CN); without it, each row's own
    comes from the column `language`.

    Range: 0 to 1. None: nothing to judge, or the row's column names no known language.
    Source: DeepSeek-R1 (arXiv 2501.12948, section 2.3.2), which does not say how it tells languages apart.
    """

    def __init__(self, *, language: str | None = None):
        self.language = _code(language) if language else None
        if language and self.language not in _written():
            raise ValueError(names.unknown("language", language, _written(), "it is a code such as en, fr or zh"))

    def __call__(self, completion: str, language: str | None = "") -> float | None:
        """Score one completion; `language` is the row's, "" where the data has no such column."""
        if not self.language and language == "":
            raise ValueError("set language, such as {language_consistency: {language: en}}, or give the data a column")
        wanted = self.language or _code(str(language))
        if wanted not in _written():
            return None
        scripts = _written()[wanted]
        right = total = 0.0
        for passage in _passages(_NO_PROSE.sub("\n", unicodedata.normalize("NFKC", completion))):
            pieces = list(_pieces(passage))
            own = " ".join(text for script, text, _ in pieces if script in scripts)
            total += sum(words for _, _, words in pieces)
            if own and _is_in(own, wanted):
                right += sum(words for script, _, words in pieces if script in scripts)
        return right / total if total else None


def _code(language: str) -> str:
    code = re.split("[-_]", language.strip().lower())[0]
    return {"nb": "no", "fil": "tl", "cmn": "zh"}.get(code, code)


def _passages(prose: str) -> list[str]:
    """Sentences, those that are too short to tell their language joined to the ones before."""
    passages: list[str] = []
    letters = _PASSAGE
    for sentence in re.findall(rf"[^\n.!?。！？]{{1,{_LONGEST}}}", prose):
        count = sum(map(str.isalpha, sentence))
        if letters < _PASSAGE:
            passages[-1] += "\n" + sentence
            letters += count
        elif count:
            passages.append(sentence)
            letters = count
    if letters < _PASSAGE and len(passages) > 1:
        last = passages.pop()
        passages[-1] += "\n" + last
    return passages[:: 1 + sum(map(len, passages)) // _READ]


def _pieces(passage: str) -> Iterator[tuple[str, str, float]]:
    """The words of a passage: script, text, and how many words it counts as."""
    for script, letters in groupby(passage, _script):
        text = "".join(letters)
        if script and (len(text) > 1 or script not in ("LATIN", "GREEK")):
            yield script, text, len(text) / 2 if script in _UNSPACED else 1.0


_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


@functools.lru_cache(maxsize=10_000)
def _script(character: str) -> str:
    if unicodedata.category(character)[0] not in "LM":
        return ""
    script = unicodedata.name(character, "").split(" ")[0]
    return "" if script in ("COMBINING", "MODIFIER", "VARIATION") else script


def _is_in(text: str, wanted: str) -> bool:
    """Whether a text is in a language, among those that share one of its scripts."""
    written = _written()
    same = next((group.split() for group in RELATED if wanted in group.split()), [wanted])
    rivals = [one for one, scripts in written.items() if scripts & written[wanted] and one not in same]
    if not rivals:
        return True
    chances = dict(_identifier().rank(text))
    limit = _BEATEN if sum(map(str.isalpha, text)) >= _PASSAGE else _BEATEN_SHORT
    return max(chances[one] for one in rivals) <= limit * sum(chances[one] for one in same)


@functools.cache
def _written() -> dict[str, set[str]]:
    """Each language that can be told, with its scripts."""
    spoken: dict[str, set[str]] = {language: set() for language in _identifier().labels if language != "zxx"}
    for script, languages in SCRIPTS.items():
        for language in languages.split():
            spoken[language].add(script)
    return {language: scripts or {"LATIN"} for language, scripts in spoken.items()}


@functools.cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
