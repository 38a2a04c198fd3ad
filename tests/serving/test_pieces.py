import pytest

from rlkit.serving.pieces import Pieces


def told(decode, ids, by=1):
    pieces: list[str] = []
    telling = Pieces(decode, pieces.append)
    for start in range(0, len(ids), by):
        telling.hear(ids[start : start + by])
    telling.finish()
    return pieces


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    import transformers

    return transformers.AutoTokenizer.from_pretrained(tiny_model)


TEXTS = ["There are 7 apples.", "é 日本 🙂🙂 x", " leading and trailing \n\n", "a�b", ""]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("by", [1, 3])
def test_pieces_make_the_text_and_hold_whole_characters(tokenizer, text, by):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces = told(lambda some: tokenizer.decode(some, skip_special_tokens=True), ids, by)
    assert "".join(pieces) == text
    assert all(pieces)
    if "�" not in text:
        assert not any("�" in piece for piece in pieces)


def test_a_character_that_is_never_completed_is_told_at_the_end(tokenizer):
    ids = tokenizer("ab🙂", add_special_tokens=False)["input_ids"]
    pieces = told(tokenizer.decode, ids[:-1])
    assert "".join(pieces[:-1]) == "ab"
    assert "".join(pieces) == tokenizer.decode(ids[:-1])


def test_the_space_that_a_decoder_drops_in_front_stands_between_words():
    words = ["▁There", "▁are", "▁7", "▁ap", "ples"]

    def decode(ids):
        return "".join(words[i] for i in ids).replace("▁", " ").removeprefix(" ")

    assert told(decode, range(5)) == ["There", " are", " 7", " ap", "ples"]


def test_special_tokens_add_no_piece(tokenizer):
    ids = [*tokenizer("7", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assert told(lambda some: tokenizer.decode(some, skip_special_tokens=True), ids) == ["7"]
