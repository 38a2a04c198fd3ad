"""Each algorithm against a reference of a few lines that knows only the vocabulary."""

import itertools
import json
import re
import string
import sysconfig
import unicodedata
from pathlib import Path

import pytest

from rlkit import scratch
from rlkit.recipe.scratch import TokenizerSection

STDLIB = Path(sysconfig.get_path("stdlib"))
ALGORITHMS = ["byte-bpe", "bpe", "wordpiece", "unigram"]


def library_lines():
    for name in ("argparse", "ast", "calendar", "difflib", "inspect", "tarfile", "textwrap"):
        yield from (STDLIB / f"{name}.py").read_text().splitlines()


@pytest.fixture(scope="module")
def lines():
    return list(library_lines())


@pytest.fixture(scope="module", params=ALGORITHMS)
def made(request, lines):
    return request.param, scratch.make_tokenizer(TokenizerSection(algorithm=request.param, vocab_size=900), iter(lines))


def whole(tokenizer, text):
    return tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)


def plain(text):
    return " ".join(text.split())


def test_text_comes_back_as_its_algorithm_allows(made, lines):
    algorithm, tokenizer = made
    as_it_allows = {
        "byte-bpe": lambda text: text,
        "bpe": plain,
        "unigram": lambda text: plain(unicodedata.normalize("NFKC", text)),
        "wordpiece": lambda text: re.sub(r"\s", "", text),
    }[algorithm]
    for line in lines[:2000]:
        back = whole(tokenizer, line)
        assert (re.sub(r"\s", "", back) if algorithm == "wordpiece" else back) == as_it_allows(line)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_web_text_comes_back_too(algorithm, shared_data):
    texts = [row["text"] for row in json.loads((shared_data / "lm" / "c4_demo.json").read_text())]
    tokenizer = scratch.make_tokenizer(TokenizerSection(algorithm=algorithm, vocab_size=1500), texts)
    assert len(tokenizer) == 1500
    unknown = set() if algorithm == "byte-bpe" else {tokenizer.unk_token_id}
    for text in texts[:50]:
        ids = tokenizer(text)["input_ids"]
        assert not unknown & set(ids)
        normal = unicodedata.normalize("NFKC", text) if algorithm == "unigram" else text
        assert re.sub(r"[\s\u200b-\u200f\ufeff\ufffd]", "", whole(tokenizer, text)) == re.sub(
            r"[\s\u200b-\u200f\ufeff\ufffd]", "", normal
        )


def test_the_same_texts_give_the_same_tokenizer_in_another_process(made):
    import subprocess
    import sys

    algorithm, tokenizer = made
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_algorithms import library_lines, TokenizerSection, scratch\n"
        f"made = scratch.make_tokenizer(TokenizerSection(algorithm={algorithm!r}, vocab_size=900), library_lines())\n"
        "print(made.backend_tokenizer.to_str())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == json.loads(tokenizer.backend_tokenizer.to_str())


def test_it_is_saved_and_loaded_with_the_same_ids(made, lines, tmp_path):
    from transformers import AutoTokenizer

    _, tokenizer = made
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(lines[:300]) == tokenizer(lines[:300])
    assert loaded(lines[0:99:3], lines[1:99:3]) == tokenizer(lines[0:99:3], lines[1:99:3])
    assert loaded.special_tokens_map == tokenizer.special_tokens_map


def test_the_vocabulary_is_as_large_as_was_asked(made):
    _, tokenizer = made
    assert len(tokenizer) == 900
    assert sorted(tokenizer.get_vocab().values()) == list(range(900))


@pytest.mark.parametrize("around", ["bert", "t5", "roberta"])
def test_two_texts_are_told_apart(around, lines):
    algorithm = "wordpiece" if around == "bert" else "unigram"
    section = TokenizerSection(algorithm=algorithm, vocab_size=400, post_processor=around)
    tokenizer = scratch.make_tokenizer(section, lines)
    first, second = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in ("def f", "return"))
    pair = tokenizer("def f", "return", return_token_type_ids=True)
    begin = [] if around == "t5" else [tokenizer.cls_token_id]
    end = [tokenizer.eos_token_id] if around == "t5" else [tokenizer.sep_token_id]
    between = end * 2 if around == "roberta" else end
    assert pair["input_ids"] == [*begin, *first, *between, *second, *end]
    after = len(second) + 1 + (around == "roberta")
    assert pair["token_type_ids"] == [0] * (len(pair["input_ids"]) - after) + [1] * after
    assert tokenizer("def f")["input_ids"] == [*begin, *first, *end]


def test_wordpiece_takes_the_longest_piece_each_time(lines):
    tokenizer = scratch.make_tokenizer(TokenizerSection(algorithm="wordpiece", vocab_size=900, lowercase=True), lines)
    vocabulary = tokenizer.get_vocab()

    def pieces(word):
        found, at = [], 0
        while at < len(word):
            starts = (("##" if at else "") + word[at:end] for end in range(len(word), at, -1))
            piece = next((piece for piece in starts if piece in vocabulary), None)
            if piece is None:
                return ["[UNK]"]
            found.append(piece)
            at += len(piece.removeprefix("##")) if at else len(piece)
        return found

    seen = 0
    for line in [*lines, "naïve café ☃ snow☃man"]:
        bare = unicodedata.normalize("NFD", line.lower())
        bare = "".join(c for c in bare if unicodedata.category(c) != "Mn")
        apart = (f" {c} " if c in string.punctuation or unicodedata.category(c)[0] == "P" else c for c in bare)
        words = "".join(apart).split()
        want = [piece for word in words for piece in pieces(word)]
        assert tokenizer.tokenize(line) == want
        seen += len(words)
    assert seen > 20000
    assert tokenizer.tokenize("☃") == ["[UNK]"]


def test_unigram_takes_the_likeliest_segmentation(lines):
    tokenizer = scratch.make_tokenizer(TokenizerSection(algorithm="unigram", vocab_size=700), lines)
    scores = dict(json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"])

    def best(word):
        cuts = itertools.product(["", "\n"], repeat=len(word) - 1)
        whole = ("".join(map(str.__add__, word, [*ends, ""])) for ends in cuts)
        return max(sum(scores.get(piece, -1e9) for piece in cut.split("\n")) for cut in whole)

    words = sorted({word for line in lines for word in re.findall(r"[a-z_.()]{2,9}", line)})[::25]
    assert len(words) > 100
    for word in words:
        assert sum(scores[piece] for piece in tokenizer.tokenize(word)) == pytest.approx(best("▁" + word))


def replay(symbols, ranks):
    while True:
        pairs = [(ranks[pair], pair) for pair in itertools.pairwise(symbols) if pair in ranks]
        if not pairs:
            return symbols
        _, (left, right) = min(pairs)
        merged, at = [], 0
        while at < len(symbols):
            both = symbols[at : at + 2] == [left, right]
            merged.append(left + right if both else symbols[at])
            at += 2 if both else 1
        symbols = merged


@pytest.mark.parametrize("algorithm", ["bpe", "byte-bpe"])
def test_bpe_is_its_merges_one_after_the_other(algorithm, lines):
    section = TokenizerSection(algorithm=algorithm, vocab_size=800, split_digits=False)
    tokenizer = scratch.make_tokenizer(section, lines)
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    ranks = {tuple(merge): rank for rank, merge in enumerate(merges)}
    for line in lines[:600]:
        if algorithm == "bpe":
            words = [["▁", *word] for word in line.split()]
        else:  # its characters stand for bytes
            words = [list(tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(line)[0][0])] if line else []
        assert tokenizer.tokenize(line) == [token for word in words for token in replay(word, ranks)]
