"""Text metrics: how much of the reference text does the completion hold?

What is scored is the answer: the text of the last `<answer>` where there is one, else all that follows the thinking;
`whole: true` scores the completion as it is. The column `answer` is a text or a list of texts. Of an answer of more
than 20,000 characters that is over 100 times as long as the longest reference, no more than that is read.
"""

import functools
import importlib.util
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Literal

from rlkit import reward
from rlkit.reply import said

UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""A letter of a script that puts no spaces between words (Chinese, Japanese, Thai, Lao, Burmese, Khmer)."""
_PUNCTUATION = re.compile(rf"[{re.escape(string.punctuation)}\u3000-\u303f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40]")


def _references(answer: Any) -> list[str]:
    """The texts of the column `answer`; none where it holds nothing that can be compared with."""
    listed = answer if isinstance(answer, list | tuple) else [answer]
    texts = [str(one) for one in listed if isinstance(one, str | int | float)]
    return [unicodedata.normalize("NFC", text) for text in texts if text.strip()]


def _said(completion: str, references: list[str], whole: bool) -> str:
    longest = max(20_000, 100 * max(map(len, references), default=0))
    return unicodedata.normalize("NFC", said(completion, whole)[:longest])


def _f1(shared: int, given: int, wanted: int) -> float:
    return 2 * shared / (given + wanted) if shared else 0.0


@reward(
    "token_f1",
    gold=[
        ("<answer>Denver Broncos</answer>", {"answer": "the Denver Broncos"}, 1.0),
        ("<think>Carolina?</think>The Broncos won.", {"answer": ["Denver Broncos", "The Broncos"]}, 2 / 3),
        ("Denver Broncos or Carolina Panthers", {"answer": "Denver Broncos"}, 4 / 7),
        ("Carolina Panthers", {"answer": "Denver Broncos"}, 0.0),
        ("答案是北京", {"answer": "北京"}, 4 / 7),
        ("A", {"answer": "A"}, 1.0),
        ("<answer></answer>", {"answer": []}, 1.0),
        ("", {"answer": "A"}, 0.0),
        ("Denver", {"answer": None}, None),
    ],
)
def token_f1(completion: str, answer: Any, *, whole: bool = False) -> float | None:
    """F1 of the words that the completion's answer shares with the reference; the best of several references counts.

    Case, punctuation and the articles a, an and the do not count, unless a text has nothing else. In scripts without
    spaces between words, each character is a word. An empty list as reference says that there is no answer: then an
    empty one is right.

    Range: 0 to 1. None: the row has no answer.
    Source: SQuAD (arXiv 1606.05250) and, for the empty list, SQuAD 2.0. Its script takes Chinese text as one word, and
    "A" as no word at all.
    """
    references = _references(answer)
    given = _squad_words(_said(completion, references, whole))
    if not references:
        return float(not given) if isinstance(answer, list | tuple) and not answer else None
    return max(_overlap(given, _squad_words(reference)) for reference in references)


def _squad_words(text: str) -> list[str]:
    text = text.lower()
    bare = re.sub(r"\b(a|an|the)\b", " ", UNSPACED.sub(r" \g<0> ", _PUNCTUATION.sub("", text)))
    return bare.split() or text.split()


def _overlap(given: Iterable[Any], wanted: Iterable[Any]) -> float:
    have, want = Counter(given), Counter(wanted)
    return _f1((have & want).total(), have.total(), want.total())


@reward(
    "rouge",
    gold=[
        ("the cat sat on the mat", {"answer": "The cat sat on the mat."}, 1.0),
        ("on the mat sat the cat", {"answer": "The cat sat on the mat."}, 0.5),
        ("on the mat sat the cat", {"answer": "The cat sat on the mat.", "variant": "rouge1"}, 1.0),
        ("on the mat sat the cat", {"answer": ["A dog.", "The cat sat on the mat."], "variant": "rouge2"}, 0.6),
        ("A dog", {"answer": ["A dog.", "The cat sat on the mat."], "variant": "rouge2"}, 1.0),
        ("猫在垫子上", {"answer": "猫坐在垫子上", "words": "any"}, 10 / 11),
        ("猫坐在垫子上。", {"answer": "猫坐在垫子上", "words": "any"}, 1.0),
        ("", {"answer": "The cat sat on the mat."}, 0.0),
        ("the cat", {"answer": ""}, None),
    ],
)
class Rouge:
    """ROUGE's F-measure of the completion's answer against the reference; the best of several references counts.

    Parameters: `variant` is rouge1 or rouge2 (shared words or pairs of words), rougeL (longest common subsequence) or
    rougeLsum (the same, line by line). `words` is ascii, as in the rouge_score package (a-z and 0-9 alone), or any:
    the words of every script, by characters where a script has no spaces. `stemmer` (running = run) is rouge_score's.

    Range: 0 to 1. None: the row has no answer.
    Source: Lin 2004 (aclanthology.org/W04-1013); the values are those of the rouge_score package, whose words of other
    scripts than Latin vanish in silence, so that Chinese always scores 0: here that is an error which names `words`.
    """

    def __init__(
        self,
        *,
        variant: Literal["rouge1", "rouge2", "rougeL", "rougeLsum"] = "rougeL",
        words: Literal["ascii", "any"] = "ascii",
        stemmer: bool = False,
        whole: bool = False,
    ):
        if stemmer and importlib.util.find_spec("rouge_score") is None:
            raise ValueError("stemmer needs rouge_score, which is not installed: pip install 'rlkit[rewards]'")
        if stemmer and words == "any":
            raise ValueError("the stemmer is for English: leave it out, or set words: ascii")
        self.variant, self.words, self.stemmer, self.whole = variant, words, stemmer, whole

    def __call__(self, completion: str, answer: Any) -> float | None:
        """Score one completion."""
        references = [text for text in _references(answer) if any(map(str.isalnum, text))]
        if not references:
            return None
        if not any(map(self._tokens, references)):
            raise ValueError("the reference has no word of the letters a-z: set words: any")
        given = _said(completion, references, self.whole)
        return max(self._score(given, reference) for reference in references)

    def _tokens(self, text: str) -> list[str]:
        if self.words == "any":
            return re.findall(r"\w+", UNSPACED.sub(r" \g<0> ", text.casefold()))
        if self.stemmer:
            from rouge_score import tokenize

            return tokenize.tokenize(text, _porter())
        return re.findall(r"[a-z0-9]+", text.lower())

    def _score(self, given: str, reference: str) -> float:
        if self.variant == "rougeLsum":
            return _by_line(*([self._tokens(line) for line in text.split("\n")] for text in (given, reference)))
        have, want = self._tokens(given), self._tokens(reference)
        if self.variant == "rougeL":
            return _f1(_common(have, want)[-1][0], len(have), len(want))
        n = int(self.variant[-1])
        return _overlap(*(zip(*(words[i:] for i in range(n)), strict=False) for words in (have, want)))


@functools.cache
def _porter() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


def _common(given: list[str], wanted: list[str]) -> list[tuple[int, int]]:
    """For each word of `given`, and before the first: the longest common subsequence with `wanted` up to there.

    Its length, and a row of the table of lengths as bits: a 0 at place i says that the length grows with word i of
    `wanted` (Hyyrö 2004). Time is that of one operation on integers of len(wanted) bits for each word.
    """
    places: dict[str, int] = {}
    for i, word in enumerate(wanted):
        places[word] = places.get(word, 0) | 1 << i
    full = (1 << len(wanted)) - 1
    rows = [(0, full)]
    row = full
    for word in given:
        matches = row & places.get(word, 0)
        row = (row + matches | row - matches) & full
        rows.append((len(wanted) - row.bit_count(), row))
    return rows


def _taken(given: list[str], wanted: list[str]) -> set[int]:
    """Places in `wanted` of a longest common subsequence; of several, the one that rouge_score takes."""
    rows, taken = _common(given, wanted), set()
    i, j = len(wanted), len(given)
    while i and j:
        if wanted[i - 1] == given[j - 1]:
            taken.add(i - 1)
            i, j = i - 1, j - 1
            continue
        shorter = i - (rows[j - 1][1] & (1 << i) - 1).bit_count(), i - 1 - (rows[j][1] & (1 << i - 1) - 1).bit_count()
        i, j = (i, j - 1) if shorter[0] > shorter[1] else (i - 1, j)
    return taken


def _by_line(given: list[list[str]], wanted: list[list[str]]) -> float:
    have, want = (Counter(word for line in lines for word in line) for lines in (given, wanted))
    totals, shared = (have.total(), want.total()), 0
    for line in wanted:
        for i in sorted(set().union(*(_taken(other, line) for other in given))):
            if have[line[i]] and want[line[i]]:  # a word counts as often as both texts have it
                have[line[i]] -= 1
                want[line[i]] -= 1
                shared += 1
    return _f1(shared, *totals)


@reward(
    "bleu",
    gold=[
        ("Le chat est assis sur le tapis.", {"answer": "Le chat est assis sur le tapis."}, 1.0),
        ("Le chat est assis sur un tapis.", {"answer": "Le chat est assis sur le tapis."}, 0.5946035575013605),
        ("Un chien dort.", {"answer": "Le chat est assis sur le tapis."}, 0.058763508032616325),
        ("", {"answer": "Le chat est assis sur le tapis."}, 0.0),
        ("Le chat", {"answer": None}, None),
    ],
    requires=("sacrebleu", "rlkit[rewards]"),
)
def bleu(
    completion: str,
    answer: Any,
    *,
    tokenize: Literal["13a", "intl", "zh", "char", "none"] = "13a",
    lowercase: bool = False,
    whole: bool = False,
) -> float | None:
    """Sentence BLEU of the completion's answer against one or several references.

    The value of sacrebleu divided by 100, with its smoothing (exp) and effective order. Chinese needs `tokenize: zh`,
    other languages without spaces `tokenize: char`.

    Range: 0 to 1. None: the row has no answer.
    Source: Papineni et al. 2002 (aclanthology.org/P02-1040), as in sacrebleu.
    """
    references = _references(answer)
    if not references:
        return None
    import sacrebleu

    given = _said(completion, references, whole)
    return _percent(sacrebleu.sentence_bleu, given, references, tokenize=tokenize, lowercase=lowercase)


@reward(
    "chrf",
    gold=[
        ("Le chat est assis.", {"answer": "Le chat est assis."}, 1.0),
        ("Le chat est assise.", {"answer": "Le chat est assis."}, 0.9147295271523893),
        ("Un chien dort.", {"answer": ["Le chat est assis.", "Le chien dort."]}, 0.7822631072631071),
        ("", {"answer": "Le chat est assis."}, 0.0),
        ("Le chat", {"answer": None}, None),
    ],
    requires=("sacrebleu", "rlkit[rewards]"),
)
def chrf(completion: str, answer: Any, *, word_order: int = 0, whole: bool = False) -> float | None:
    """Sentence chrF of the completion's answer: shared character n-grams; the best of several references counts.

    The value of sacrebleu divided by 100. White space does not count. `word_order: 2` makes it chrF++.

    Range: 0 to 1. None: the row has no answer.
    Source: Popović 2015 (aclanthology.org/W15-3049), as in sacrebleu.
    """
    references = _references(answer)
    if not references:
        return None
    import sacrebleu

    return _percent(sacrebleu.sentence_chrf, _said(completion, references, whole), references, word_order=word_order)


def _percent(metric: Callable[..., Any], given: str, references: list[str], **settings: Any) -> float:
    return min(1.0, max(0.0, metric(given, references, **settings).score / 100))
