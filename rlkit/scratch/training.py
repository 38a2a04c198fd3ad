"""Training the model of a tokenizer, so that the same texts give the same ids.

The trainers of `tokenizers` walk over hash maps. For a plain BPE that leaves no trace, but the pieces that only occur
inside of a word (##x) get their ids in another order in every run, and with them the merges that are equally frequent,
and Unigram's scores differ in their last digits. A stage that is resumed makes its tokenizer again and must find the
ids that the checkpoint knows.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

DECIMALS = 3
"""Of Unigram's scores: some 1e-11 differ between runs, and 1e-3 is nothing to a segmentation."""


class Corpus:
    """Texts that can be read twice; those of a generator are kept in a temporary file."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts: Iterable[str] | None = None if isinstance(texts, Iterator) else texts
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogatepass")  # noqa: SIM115
        if self._texts is None:
            self._file.writelines(json.dumps(text) + "\n" for text in texts)

    def __iter__(self) -> Iterator[str]:
        if self._texts is not None:
            yield from self._texts
            return
        self._file.seek(0)
        yield from map(json.loads, self._file)


def train(tokenizer: Any, texts: Iterable[str], special: list[str], vocab_size: int, min_frequency: int) -> Any:
    """Train a tokenizer's model.

    Args:
        tokenizer: A `tokenizers.Tokenizer`; its own model may be empty.
        special: Texts of the special tokens; they get the first ids in their order.
        vocab_size: Tokens at the most, where the characters of the texts leave room: see `too_small`.

    Returns:
        The trained tokenizer, maybe another object.
    """
    from tokenizers import pre_tokenizers, trainers

    model = json.loads(tokenizer.to_str())["model"]
    if model["type"] == "Unigram":
        return _unigram(tokenizer, texts, special, vocab_size)
    options: dict[str, Any] = {"show_progress": False, "min_frequency": min_frequency}
    if "ByteLevel" in str(json.loads(tokenizer.to_str())["pre_tokenizer"]):
        options["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
    affixes = {
        key: model[key] for key in ("continuing_subword_prefix", "end_of_word_suffix") if model.get(key) is not None
    }
    if any(affixes.values()):
        return _affixed(tokenizer, model["type"], Corpus(texts), special, vocab_size, options | affixes)
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special, **options)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _affixed(
    tokenizer: Any, kind: str, corpus: Corpus, special: list[str], vocab_size: int, options: dict[str, Any]
) -> Any:
    """Where characters have two forms, fix their ids: a first pass finds them, the second gets them sorted."""
    from tokenizers import Tokenizer, models, trainers

    trainer = trainers.WordPieceTrainer if kind == "WordPiece" else trainers.BpeTrainer
    before = tokenizer.to_str()
    alphabet: list[str] = []
    for size in (len(special), vocab_size):
        tokenizer = Tokenizer.from_str(before)
        first = [*special, *alphabet]
        tokenizer.train_from_iterator(corpus, trainer(vocab_size=size, special_tokens=first, **options))
        found = tokenizer.get_vocab()
        alphabet = sorted(found.keys() - set(special), key=lambda piece: (len(piece), piece))
    trained, fresh = json.loads(tokenizer.to_str())["model"], json.loads(before)
    fresh["model"] |= {key: trained[key] for key in ("vocab", "merges") if key in trained}
    if kind == "WordPiece":
        fresh["model"]["max_input_chars_per_word"] = models.WordPiece().max_input_chars_per_word
    fresh["added_tokens"] = []
    tokenizer = Tokenizer.from_str(json.dumps(fresh))
    tokenizer.add_special_tokens(special)
    return tokenizer


def _unigram(tokenizer: Any, texts: Iterable[str], special: list[str], vocab_size: int) -> Any:
    from tokenizers import trainers

    model = json.loads(tokenizer.to_str())["model"]
    unknown = model["vocab"][model["unk_id"]][0] if model.get("unk_id") is not None else "<unk>"
    unknown = unknown if unknown in special else "<unk>"
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size, special_tokens=special, unk_token=unknown, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return canonical(tokenizer, special)


def canonical(tokenizer: Any, special: list[str]) -> Any:
    """A trained Unigram tokenizer whose scores and ids depend on the texts only.

    Characters that the pruning had dropped come back with scores from the lowest one up, in the order of a hash map:
    they get them in their own order.
    """
    from tokenizers import Tokenizer

    data = json.loads(tokenizer.to_str())
    model = data["model"]
    unknown = model["vocab"][model["unk_id"]][0]
    front = [[text, 0.0] for text in special]
    rest = [(piece, score) for piece, score in model["vocab"] if piece not in set(special)]
    lowest = min((score for _, score in rest), default=0.0)
    near = lowest + 1e-4 * len(rest)
    back = sorted(piece for piece, score in rest if len(piece) == 1 and score <= near)
    scores = {piece: round(score, DECIMALS) for piece, score in rest} | dict.fromkeys(back, round(lowest, DECIMALS))
    model["vocab"] = front + [[p, scores[p]] for p in sorted(scores, key=lambda p: (-scores[p], p))]
    model["unk_id"] = special.index(unknown)
    return Tokenizer.from_str(json.dumps(data))
