"""What a recipe can ask of a new tokenizer."""

import pytest
from pydantic import ValidationError

from rlkit import scratch, templates
from rlkit.errors import RequestError
from rlkit.recipe.scratch import TokenizerSection

TEXTS = ["The quick brown fox, 1234 times.", "jumps over the lazy dog!", "Ünïcödé ﬁne"] * 30


def make(**section):
    return scratch.make_tokenizer(TokenizerSection(**{"vocab_size": 300} | section), TEXTS)


@pytest.mark.parametrize("algorithm", ["bpe", "wordpiece", "unigram"])
def test_a_vocabulary_without_room_for_the_characters_is_refused(algorithm):
    texts = ["".join(chr(0x4E00 + n) for n in range(300))]
    with pytest.raises(RequestError, match=r"vocab_size is 100; the .*characters.* need"):
        scratch.make_tokenizer(TokenizerSection(algorithm=algorithm, vocab_size=100), texts)


def test_special_tokens_get_their_names_and_are_never_split():
    tokenizer = make(
        algorithm="unigram",
        special_tokens={"mask_token": "<mask>", "pad_token": "<none>", "additional_special_tokens": ["<tool>"]},
    )
    assert (tokenizer.mask_token, tokenizer.pad_token) == ("<mask>", "<none>")
    ids = tokenizer("a <tool> b<mask>")["input_ids"]
    assert {tokenizer.mask_token_id, tokenizer.convert_tokens_to_ids("<tool>")} <= set(ids)
    assert "<tool>" not in tokenizer.decode(ids, skip_special_tokens=True)


def test_the_usual_ids_of_bert_and_of_bart():
    assert [make(algorithm="wordpiece").convert_ids_to_tokens(n) for n in range(5)] == [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
    ]  # fmt: skip
    assert [make(algorithm="unigram").convert_ids_to_tokens(n) for n in range(4)] == ["<s>", "<pad>", "</s>", "<unk>"]


def test_uncased_wordpiece_takes_accents_off():
    assert make(algorithm="wordpiece", lowercase=True).decode(
        make(algorithm="wordpiece", lowercase=True)("ÜNÏCÖDÉ")["input_ids"], skip_special_tokens=True
    ) == "unicode"  # fmt: skip


@pytest.mark.parametrize(("form", "back"), [("none", "ﬁne"), ("nfkc", "fine")])
def test_a_unicode_form_is_applied_where_it_is_asked_for(form, back):
    tokenizer = make(algorithm="bpe", normalization=form)
    assert tokenizer.decode(tokenizer("ﬁne")["input_ids"]) == back


@pytest.mark.parametrize("algorithm", ["bpe", "unigram", "byte-bpe"])
def test_digits_stand_alone_and_still_make_a_number(algorithm):
    tokenizer = make(algorithm=algorithm, split_digits=True, post_processor="none")
    tokens = tokenizer.tokenize("1234")
    assert [token for token in tokens if token != "▁"] == ["1", "2", "3", "4"] or tokens == ["▁1", "2", "3", "4"]
    assert tokenizer.decode(tokenizer("1234 times")["input_ids"]) == "1234 times"


def test_rare_pairs_are_not_merged():
    often, rarely = make(min_frequency=0, vocab_size=700), make(min_frequency=31, vocab_size=700)
    assert len(rarely) < len(often)


MESSAGES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]


def test_chatml_has_its_tokens_and_ends_with_them():
    tokenizer = make(chat_template="chatml")
    assert tokenizer.eos_token == "<|im_end|>"
    text = tokenizer.apply_chat_template(MESSAGES, tokenize=False)
    assert text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nho<|im_end|>\n"
    assert tokenizer.apply_chat_template(MESSAGES, return_dict=True)["input_ids"].count(tokenizer.eos_token_id) == 2
    assert "<|user|>" not in tokenizer.get_vocab()


def test_a_renamed_end_token_ends_the_turns():
    tokenizer = make(special_tokens={"eos_token": "<end's>"})
    assert tokenizer.apply_chat_template(MESSAGES, tokenize=False) == "<|user|>hi<end's><|assistant|>ho<end's>"


def test_a_chat_template_is_a_file_or_a_text(tmp_path):
    text = "{% for message in messages %}[{{ message['content'] }}]{% endfor %}"
    (tmp_path / "chat.jinja").write_text(text)
    for asked in (text, str(tmp_path / "chat.jinja")):
        tokenizer = make(algorithm="unigram", chat_template=asked)
        assert tokenizer.apply_chat_template(MESSAGES, tokenize=False) == "[hi][ho]"
    with pytest.raises(RequestError, match="neither chatml nor a file nor Jinja text"):
        make(chat_template=str(tmp_path / "none.jinja"))


def test_a_post_processor_without_its_tokens_is_refused():
    with pytest.raises(RequestError, match="post_processor bert needs cls_token and sep_token"):
        make(post_processor="bert")


@pytest.mark.parametrize("algorithm", ["byte-bpe", "bpe", "wordpiece", "unigram"])
def test_an_old_tokenizers_algorithm_learns_other_words(algorithm, tmp_path):
    from transformers import AutoTokenizer

    old = make(algorithm=algorithm, lowercase=algorithm == "wordpiece")
    old.save_pretrained(tmp_path / "old")
    texts = ["zebra crossing zebra", "Zebras cross"] * 50
    section = {"from": str(tmp_path / "old"), "vocab_size": 320}
    section["special_tokens"] = {"additional_special_tokens": ["<new>"]}
    new, again = (scratch.make_tokenizer(TokenizerSection(**section), iter(texts)) for _ in range(2))
    assert new.backend_tokenizer.to_str() == again.backend_tokenizer.to_str()
    assert new.decode(new("zebra")["input_ids"], skip_special_tokens=True) == "zebra"
    assert new.tokenize("zebra") != old.tokenize("zebra")
    assert len(new) <= 320
    assert new.special_tokens_map.items() >= old.special_tokens_map.items()
    assert new.chat_template == old.chat_template
    new.save_pretrained(tmp_path / "new")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "new")
    ids = new("zebra <new>", "cross")["input_ids"]
    assert loaded("zebra <new>", "cross")["input_ids"] == ids
    assert new.convert_tokens_to_ids("<new>") in ids
    shown = new.convert_ids_to_tokens(ids)
    usual = {"wordpiece": ["[CLS]", "[SEP]"], "unigram": ["</s>", "</s>"]}.get(algorithm)
    assert usual is None or [shown[0] if algorithm == "wordpiece" else shown[-1], shown[-1]] == usual


def test_an_old_tokenizer_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RequestError, match="it has no tokenizer that can be trained anew"):
        make(**{"from": str(tmp_path)})


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"from": "x", "algorithm": "bpe"}, "algorithm: of a new tokenizer; from keeps those of x"),
        ({"from": "x", "special_tokens": {"pad_token": "p"}}, "only additional_special_tokens may be added"),
        ({"algorithm": "unigram", "min_frequency": 2}, "unigram prunes by likelihood"),
        ({"special_tokens": {"msk_token": "m"}}, "did you mean 'mask_token'"),
        ({"special_tokens": {"mask_token": ["m"]}}, "it must be one text"),
        ({"special_tokens": {"additional_special_tokens": "m"}}, "it must be a list of texts"),
        ({"special_tokens": {"mask_token": ""}}, "a token cannot be empty"),
    ],
)
def test_what_does_not_go_together_is_refused(section, said):
    with pytest.raises(ValidationError, match=said):
        TokenizerSection(**section)


def test_a_section_is_written_by_its_own_keys():
    section = TokenizerSection(**{"from": "gpt2", "vocab_size": 300})
    assert section.model_dump(exclude_unset=True) == {"from": "gpt2", "vocab_size": 300}
    assert TokenizerSection(**section.model_dump(exclude_unset=True)) == section


def test_chatml_is_what_a_loaded_base_gets():
    from rlkit.policy.tokenizer import CHATML

    assert templates.CHATML == CHATML


def test_a_published_tokenizer_learns_a_new_corpus(shared_data):
    import json

    from transformers import AutoTokenizer

    old = AutoTokenizer.from_pretrained(shared_data / "tokenizers" / "minimind")
    texts = [row["text"] for row in json.loads((shared_data / "lm" / "c4_demo.json").read_text())]
    section = TokenizerSection(**{"from": str(shared_data / "tokenizers" / "minimind"), "vocab_size": 1200})
    new = scratch.make_tokenizer(section, texts)
    assert len(new) == 1200
    assert new.decode(new(texts[0])["input_ids"]) == texts[0]
    assert len(new(texts[0])["input_ids"]) < len(texts[0].encode()) / 2
    assert new.apply_chat_template(MESSAGES, tokenize=False) == old.apply_chat_template(MESSAGES, tokenize=False)
