"""Models of every head, in the sizes that were asked for, that learn from one batch."""

import pytest

from rlkit import scratch
from rlkit.errors import RequestError
from rlkit.recipe.scratch import FromScratchSection, TokenizerSection

TEXTS = ["The quick brown fox jumps over the lazy dog.", "def f(x): return x + 1", "One, two, three."] * 20
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 24,
}
HEADS = {
    "causal-lm": ["llama", "gpt2", "gpt_neo", "bert", "roberta", "bart"],
    "masked-lm": ["bert", "distilbert", "roberta"],
    "text-classification": ["llama", "gpt2", "bert", "distilbert", "roberta", "t5", "bart", "mbart"],
    "token-classification": ["llama", "gpt2", "bert", "distilbert", "roberta", "t5"],
    "question-answering": ["llama", "gpt2", "bert", "distilbert", "roberta", "t5", "bart", "mbart"],
    "seq2seq": ["t5", "bart", "mbart", "marian"],
}
CASES = [(shape, kind) for kind, shapes in HEADS.items() for shape in shapes]


@pytest.fixture(scope="module")
def tokenizers():
    mask = {"mask_token": "<mask>"}
    sections = {
        "bert": TokenizerSection(algorithm="wordpiece", vocab_size=200),
        "t5": TokenizerSection(algorithm="unigram", vocab_size=120),
        "roberta": TokenizerSection(
            vocab_size=300, post_processor="roberta", special_tokens=mask | {"bos_token": "<s>"}
        ),
        "none": TokenizerSection(vocab_size=300),
    }
    return {name: scratch.make_tokenizer(section, TEXTS) for name, section in sections.items()}


def tokenizer_of(shape, tokenizers):
    usual = {"bert": "bert", "distilbert": "bert", "roberta": "roberta", "t5": "t5", "marian": "t5"}
    return tokenizers[usual.get(shape, "roberta" if "bart" in shape else "none")]


def section_of(shape, **more):
    return FromScratchSection(shape=shape, **SIZES | more)


def batch_of(kind, tokenizer, length):
    import torch

    generator = torch.Generator().manual_seed(0)
    first = max(n for n in [tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.cls_token_id] if n is not None)
    ids = torch.randint(first + 1, len(tokenizer), (2, length), generator=generator)
    ids[:, -1] = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    labels = {
        "text-classification": {"labels": torch.tensor([0, 2])},
        "token-classification": {"labels": ids % 3},
        "question-answering": {"start_positions": torch.tensor([1, 2]), "end_positions": torch.tensor([3, 4])},
    }
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)} | labels.get(kind, {"labels": ids})


@pytest.mark.parametrize(("shape", "kind"), CASES)
def test_each_shape_learns_with_each_head_at_full_length(shape, kind, tokenizers):
    import torch

    tokenizer = tokenizer_of(shape, tokenizers)
    labels = {"num_labels": 3} if kind.endswith("classification") else {}
    model = scratch.make_model(section_of(shape), tokenizer, 5, kind, **labels)
    loss = model.train()(**batch_of(kind, tokenizer, 24)).loss
    assert torch.isfinite(loss)
    loss.backward()
    assert sum(p.grad is not None and bool(p.grad.abs().sum()) for p in model.parameters()) > 10
    assert all(p.dtype == torch.float32 for p in model.parameters())
    again = scratch.make_model(section_of(shape), tokenizer, 5, kind, **labels).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())
    with torch.device("meta"):
        empty = scratch.make_model(section_of(shape), tokenizer, 5, kind, **labels)
    assert {n: p.shape for n, p in empty.named_parameters()} == {n: p.shape for n, p in model.named_parameters()}


LAYERS = {"t5": "encoder.block", "bart": "encoder.layers", "mbart": "encoder.layers", "marian": "encoder.layers"}


@pytest.mark.parametrize("shape", ["gpt2", "gpt_neo", "distilbert", "bert", "roberta", *LAYERS])
def test_every_size_is_reached_by_the_weights(shape, tokenizers):
    kind = "seq2seq" if shape in LAYERS else "causal-lm" if shape.startswith("gpt") else "masked-lm"
    model = scratch.make_model(section_of(shape), tokenizer_of(shape, tokenizers), 0, kind)
    widths = {width for parameter in model.parameters() for width in parameter.shape}
    assert {32, 48} <= widths
    assert max(widths) <= max(96, model.config.vocab_size)  # sizes left at their defaults are in the hundreds
    if shape in LAYERS:
        for side in (model.get_encoder(), model.get_decoder()):
            assert len(getattr(side, "block", None) or side.layers) == 2
    else:
        assert model.config.num_hidden_layers == 2


def test_ids_of_special_tokens_are_the_tokenizers(tokenizers):
    for shape, start in (("t5", "pad_token_id"), ("marian", "pad_token_id"), ("bart", "eos_token_id"),
                         ("mbart", "eos_token_id")):  # fmt: skip
        tokenizer = tokenizer_of(shape, tokenizers)
        model = scratch.make_model(section_of(shape), tokenizer, 0, "seq2seq")
        for config in (model.config, model.generation_config):
            assert config.decoder_start_token_id == getattr(tokenizer, start), shape
            assert (config.pad_token_id, config.eos_token_id) == (tokenizer.pad_token_id, tokenizer.eos_token_id)
        forced = model.generation_config.forced_eos_token_id
        assert forced == (None if shape == "t5" else tokenizer.eos_token_id)
        made = model.generate(**tokenizer("The fox", return_tensors="pt"), max_new_tokens=5)
        assert made[0, 0] == getattr(tokenizer, start)


def test_a_bert_that_generates_sees_no_later_text(tokenizers):
    import torch

    model = scratch.make_model(section_of("bert"), tokenizers["bert"], 0).eval()
    ids = torch.arange(5, 15)[None]
    other = ids.clone()
    other[0, -1] = 20
    with torch.no_grad():
        assert torch.allclose(model(ids).logits[0, :-1], model(other).logits[0, :-1])
    assert model.generation_config.eos_token_id == tokenizers["bert"].sep_token_id


@pytest.mark.parametrize("around", ["roberta", "t5"])
def test_roberta_reads_texts_of_the_asked_length_whatever_the_padding_is(around, tokenizers):
    tokenizer = tokenizers[around]
    model = scratch.make_model(section_of("roberta"), tokenizer, 0, "text-classification", num_labels=3)
    assert model.config.max_position_embeddings == 24 + tokenizer.pad_token_id + 1
    assert model(**batch_of("text-classification", tokenizer, 24)).logits.shape == (2, 3)
    with pytest.raises((IndexError, RuntimeError)):
        model(**batch_of("text-classification", tokenizer, 25))


def test_fields_of_the_configuration_are_reached_and_the_wrong_ones_named(tokenizers):
    section = section_of("bart", config={"dropout": 0.0, "decoder_layers": 1, "hidden_size": 64})
    model = scratch.make_model(section, tokenizers["roberta"], 0, "seq2seq")
    assert (model.config.dropout, len(model.get_decoder().layers), model.config.d_model) == (0.0, 1, 64)
    with pytest.raises(RequestError, match="unknown field of bart 'drpout'; did you mean 'dropout'"):
        scratch.make_model(section_of("bart", config={"drpout": 0.0}), tokenizers["roberta"], 0, "seq2seq")
    with pytest.raises(RequestError, match=r"of these sizes: .*dropout"):
        scratch.make_model(section_of("bart", config={"dropout": "much"}), tokenizers["roberta"], 0, "seq2seq")


def test_labels_come_from_the_data(tokenizers):
    names = {0: "bad", 1: "good", 2: "neither"}
    options = {"num_labels": 3, "id2label": names, "label2id": {name: n for n, name in names.items()}}
    model = scratch.make_model(section_of("bert"), tokenizers["bert"], 0, "text-classification", **options)
    assert model.config.id2label == names
    assert model.classifier.out_features == 3
    one = scratch.make_model(
        section_of("bert"), tokenizers["bert"], 0, "text-classification", num_labels=1, problem_type="regression"
    )
    assert one.classifier.out_features == 1


def test_the_tokenizer_returns_what_the_model_takes(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = scratch.make_tokenizer(TokenizerSection(algorithm="wordpiece", vocab_size=200), TEXTS)
    scratch.make_model(section_of("bert"), tokenizer, 0, "masked-lm")
    assert "token_type_ids" in tokenizer("a")
    scratch.make_model(section_of("distilbert"), tokenizer, 0, "masked-lm")(**tokenizer("fox", return_tensors="pt"))
    tokenizer.save_pretrained(tmp_path)
    assert "token_type_ids" not in AutoTokenizer.from_pretrained(tmp_path)("a")


@pytest.mark.parametrize(
    ("shape", "kind", "said"),
    [
        ("t5", "causal-lm", "shape 't5' makes no causal language model: transformers has none"),
        ("bert", "seq2seq", "shape 'bert' makes no sequence-to-sequence model"),
        ("berd", "masked-lm", "unknown shape 'berd'; did you mean 'bert'"),
        ("bert", "masked-lm", "set tokenizer.special_tokens.mask_token"),
        ("bart", "text-classification", "set tokenizer.post_processor to t5 or roberta"),
        ("gemma3", "causal-lm", "has no hidden_size of its own; it is made of gemma3_text"),
        ("bloom", "causal-lm", "intermediate_size: bloom has no field for it"),
        ("bert", "masked", "unknown kind of model 'masked'; did you mean 'masked-lm'"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(shape, kind, said, tokenizers):
    with pytest.raises(RequestError, match=said):
        scratch.make_model(section_of(shape), tokenizers["none"], 0, kind)
