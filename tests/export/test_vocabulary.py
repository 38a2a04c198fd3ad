"""Which of llama.cpp's ways to split a text is the tokenizer's own."""

import json

import pytest
import shapes
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from rlkit.export.gguf import vocabulary
from rlkit.export.gguf.vocabulary import Unfit


def tokenizer_json(splitter, vocab=("a", "b", "ab"), merges=(("a", "b"),), **model):
    tokenizer = Tokenizer(models.BPE({text: n for n, text in enumerate(vocab)}, list(merges)))
    if splitter is not None:
        tokenizer.pre_tokenizer = splitter
    found = json.loads(tokenizer.to_str())
    found["model"].update(model)
    return found


def split(pattern):
    parts = [pre_tokenizers.Split(Regex(pattern), "isolated"), whole()]
    return pre_tokenizers.Sequence(parts)


def whole():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


@pytest.mark.parametrize(
    ("splitter", "name"),
    [
        (pre_tokenizers.ByteLevel(add_prefix_space=False), "gpt-2"),
        (split(vocabulary.GPT2), "gpt-2"),
        (
            pre_tokenizers.Sequence(
                [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
            ),
            "smollm",
        ),
        (split(vocabulary.QWEN2), "qwen2"),
        (split(vocabulary.LLAMA3), "smaug-bpe"),
        (split(vocabulary.GPT4O), "gpt-4o"),
        (split(r"\d"), "superbpe"),
        (whole(), "superbpe"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_way_to_split_has_its_name(splitter, name):
    found = tokenizer_json(splitter)
    assert vocabulary.kind(found) == "bytes"
    assert vocabulary.pre_tokenizer(found) == name


def test_merges_that_are_skipped_for_whole_words_tell_llama_3_from_its_likes():
    assert vocabulary.pre_tokenizer(tokenizer_json(split(vocabulary.LLAMA3), ignore_merges=True)) == "llama-bpe"


@pytest.mark.parametrize(
    ("splitter", "why"),
    [
        (split("[aeiou]"), r"splits a text by '\[aeiou\]'"),
        (pre_tokenizers.ByteLevel(add_prefix_space=True), "a space before every text"),
        (pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), whole()]), "splits a text by Whitespace"),
    ],
    ids=["vowels", "prefix", "words"],
)
def test_a_way_to_split_that_llama_cpp_lacks_is_named(splitter, why):
    with pytest.raises(Unfit, match=why):
        vocabulary.pre_tokenizer(tokenizer_json(splitter))


def test_tokens_with_digits_beside_other_things_need_a_way_that_llama_cpp_lacks():
    mixed = tokenizer_json(whole(), ("1", "+", "1+"), (("1", "+"),))
    with pytest.raises(Unfit, match=r"digits in them, such as '1\+'"):
        vocabulary.pre_tokenizer(mixed)


def test_a_text_that_is_rewritten_first_is_not_taken():
    found = tokenizer_json(whole()) | {"normalizer": {"type": "Lowercase"}}
    with pytest.raises(Unfit, match=r"rewrites a text first \(Lowercase\)"):
        vocabulary.pre_tokenizer(found)
    found["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFC"}]}
    assert vocabulary.pre_tokenizer(found) == "superbpe"


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (tokenizer_json(whole(), merges=()), "it has no merges"),
        (tokenizer_json(None), "neither byte-level"),
        ({"model": {"type": "WordLevel"}}, "WordLevel"),
    ],
    ids=["no merges", "characters", "words"],
)
def test_what_llama_cpp_cannot_hold_is_refused(found, why):
    with pytest.raises(Unfit, match=why):
        vocabulary.kind(found)


def test_pieces_keep_the_order_of_their_merges_and_their_kinds():
    vocab = ("<unk>", "<s>", "<0x0A>", "a", "b", "c", "bc", "ab")
    found = tokenizer_json(None, vocab, (("b", "c"), ("a", "b")), byte_fallback=True)
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    found["added_tokens"] = [
        {"id": 1, "content": "<s>", "special": True, **added},
        {"id": 8, "content": "▁▁", "special": False, **added},
    ]
    assert vocabulary.kind(found) == "pieces"
    pieces = vocabulary.pieces(found, {"<s>", "<unk>"}, "<unk>")
    assert [pieces[n].kind for n in range(9)] == [
        *("unknown", "control", "byte", "normal", "normal", "normal", "normal", "normal", "user")
    ]
    assert pieces[6].score > pieces[7].score
    assert pieces[8].text == "  "


def test_real_tokenizers(shared_data):
    for name, expected in (("minimind", "gpt-2"), ("torchtune_tiny", "llama-bpe")):
        found = json.loads((shared_data / "tokenizers" / name / "tokenizer.json").read_text())
        assert vocabulary.pre_tokenizer(found) == expected


def test_a_tokenizer_that_a_recipe_makes():
    for digits, expected in ((True, "superbpe"), (False, None)):
        found = json.loads(shapes.trained_tokenizer(digits).backend_tokenizer.to_str())
        if expected:
            assert vocabulary.pre_tokenizer(found) == expected
        else:
            with pytest.raises(Unfit, match="digits"):
                vocabulary.pre_tokenizer(found)
