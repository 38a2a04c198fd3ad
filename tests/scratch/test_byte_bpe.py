import pytest

from rlkit import scratch
from rlkit.errors import RequestError
from rlkit.recipe.model import FromScratchSection, TokenizerSection

TEXTS = ["<reasoning>\n7+8=15\n</reasoning>\n<answer>\n15\n</answer>"] * 20


def test_a_tokenizer_encodes_everything_keeps_digits_apart_and_merges_layout():
    tokenizer = scratch.make_tokenizer(TokenizerSection(vocab_size=400), TEXTS)
    for text in ("</reasoning>\n<answer>\n", "naïve 日本 \x00 🎉", "  two  spaces\n"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer("</reasoning>\n<answer>\n")["input_ids"]) <= 3
    assert len(tokenizer("12345")["input_ids"]) == 5
    merged = scratch.make_tokenizer(TokenizerSection(vocab_size=400, split_digits=False), ["12345"] * 20)
    assert len(merged("12345")["input_ids"]) < 5


def test_the_chat_template_uses_single_tokens_and_ends_each_turn():
    tokenizer = scratch.make_tokenizer(TokenizerSection(vocab_size=300), TEXTS)
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    ids = tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
    assert ids.count(tokenizer.eos_token_id) == 2
    assert tokenizer.decode(ids) == "<|user|>hi<|end|><|assistant|>ho<|end|>"


def test_a_vocabulary_without_room_for_the_bytes_is_refused():
    with pytest.raises(RequestError, match="bytes and roles need 261"):
        scratch.make_tokenizer(TokenizerSection(vocab_size=200), TEXTS)


@pytest.mark.parametrize("shape", ["llama", "qwen2", "mistral", "gpt_neox"])
def test_a_model_of_each_shape_has_the_sizes_and_repeats_with_its_seed(shape):
    import torch

    section = FromScratchSection(shape=shape, hidden_size=32, num_attention_heads=2, num_key_value_heads=1)
    tokenizer = scratch.make_tokenizer(section.tokenizer, TEXTS)
    model = scratch.make_model(section, tokenizer, 3)
    assert (model.config.hidden_size, model.config.intermediate_size) == (32, 128)
    assert model.config.eos_token_id == tokenizer.eos_token_id
    again, other = scratch.make_model(section, tokenizer, 3), scratch.make_model(section, tokenizer, 4)
    first, second, third = (next(m.parameters()) for m in (model, again, other))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


@pytest.mark.parametrize("shape", ["lama", "vit"])
def test_a_shape_that_is_no_language_model_is_refused(shape):
    tokenizer = scratch.make_tokenizer(TokenizerSection(vocab_size=300), TEXTS)
    with pytest.raises(RequestError, match=f"shape '{shape}' makes no causal language model"):
        scratch.make_model(FromScratchSection(shape=shape), tokenizer, 0)
