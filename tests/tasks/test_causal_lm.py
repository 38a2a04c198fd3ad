import json
import math
import re

import pytest
from language_models import TEXTS, batches, byte_bpe, documents, flat, llama, losses

from rlkit.errors import RequestError
from rlkit.tasks.causal_lm import CausalLM


@pytest.fixture(scope="module")
def tokenizer():
    return byte_bpe()


@pytest.fixture(scope="module")
def model(tokenizer):
    return llama(tokenizer)


def plain(tokenizer, texts=TEXTS):
    """The documents' tokens with an end after each, without any of the task's code."""
    ids = []
    for text in texts:
        ids += [*tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids, tokenizer.eos_token_id]
    return ids


@pytest.mark.parametrize("length", [2, 7, 16, 64])
@pytest.mark.parametrize("training", [True, False])
def test_packing_loses_no_token(tokenizer, length, training):
    task = CausalLM(context_length=length, drop_last=False)
    chunks = task.features(documents(), tokenizer, training)["input_ids"]
    assert flat(chunks) == plain(tokenizer)
    assert {len(chunk) for chunk in chunks[:-1]} == {length}


def test_what_is_short_at_the_end_is_dropped(tokenizer):
    whole = plain(tokenizer)
    chunks = CausalLM(context_length=50).features(documents(), tokenizer, True)["input_ids"]
    assert flat(chunks) == whole[: len(whole) // 50 * 50]


def test_chunks_go_on_over_batches_of_the_map(tokenizer):
    """datasets maps a thousand rows at a time: nothing is lost between two such batches."""
    texts = [f"Number {i} of them." for i in range(2500)]
    task = CausalLM(context_length=64, drop_last=False)
    assert flat(task.features(documents(texts), tokenizer, True)["input_ids"]) == plain(tokenizer, texts)


def float64_nats(model, chunk):
    """Each token alone, from a model in float64: log of the sum of exponentials, less the token's logit."""
    import copy

    import torch

    precise = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        logits = precise(torch.tensor([chunk])).logits[0].numpy()
    nats = []
    for place, token in enumerate(chunk[1:]):
        row = logits[place]
        nats.append(row.max() + math.log(sum(math.exp(value - row.max()) for value in row)) - row[token])
    return nats


@pytest.mark.parametrize("pad", ["<|pad|>", None])
@pytest.mark.parametrize("drop_last", [True, False])
def test_perplexity_is_that_of_an_independent_computation(pad, drop_last):
    tokenizer = byte_bpe(pad=pad)
    model = llama(tokenizer)
    model.train()
    task = CausalLM(context_length=25, drop_last=drop_last)
    chunks = task.features(documents(), tokenizer, False)
    found = losses(task, chunks, tokenizer, model)
    assert model.training  # as it was
    rows = [float64_nats(model, row["input_ids"]) for row in chunks]
    assert len(rows) > 8
    for (nll, tokens), nats in zip(found, rows, strict=True):
        assert tokens == len(nats)
        assert nll == pytest.approx(sum(nats), rel=1e-5)
    every = flat(rows)
    figures = task.measure(found, list(chunks))
    assert figures["tokens"] == len(every)
    assert figures["perplexity"] == pytest.approx(math.exp(sum(every) / len(every)), rel=1e-5)
    assert figures["perplexity"] > 20


def test_padding_changes_no_figure(tokenizer, model):
    task = CausalLM(context_length=30, drop_last=False)
    chunks = task.features(documents(), tokenizer, False)
    alone, together = (losses(task, chunks, tokenizer, model, size) for size in (1, 100))
    assert len(chunks[-1]["input_ids"]) < 30
    for one, other in zip(alone, together, strict=True):
        assert one == (pytest.approx(other[0], rel=1e-5), other[1])


def test_the_loss_that_is_trained_on_is_the_log_of_perplexity(tokenizer, model):
    task = CausalLM(context_length=24)
    chunks = task.features(documents(), tokenizer, False)
    (batch,) = batches(task, chunks, tokenizer, model, 1000)
    loss = task.loss(model, batch, model.eval()(**task.inputs(batch))).item()
    figures = task.measure(task.losses(model, batch), list(chunks))
    assert math.log(figures["perplexity"]) == pytest.approx(loss, rel=1e-5)


def test_bytes_are_those_of_the_documents(tokenizer, model):
    one = CausalLM(context_length=10_000, drop_last=False)
    chunks = one.features(documents(), tokenizer, False)
    first = len(tokenizer.decode(chunks[0]["input_ids"][:1]).encode())
    assert chunks["bytes"] == [sum(len(text.encode()) for text in TEXTS) - first]
    task = CausalLM(context_length=24)
    chunks = task.features(documents(), tokenizer, False)
    found = losses(task, chunks, tokenizer, model)
    nats = sum(nll for nll, _ in found)
    assert task.measure(found, list(chunks))["bits_per_byte"] == pytest.approx(
        nats / math.log(2) / sum(chunks["bytes"])
    )
    assert "bits_per_byte" not in task.measure(found, [{}] * len(found))


def test_the_unigram_baseline_is_counted_by_hand(tokenizer):
    task = CausalLM(context_length=16)
    training, held = (task.features(documents(texts), tokenizer, t) for texts, t in ((TEXTS[:3], True), (TEXTS, False)))
    seen = flat(training["input_ids"])
    wanted = flat(row[1:] for row in held["input_ids"])
    nats = [-math.log((seen.count(token) + 1) / (len(seen) + len(tokenizer))) for token in wanted]
    pairs = task.unigram(training, held, tokenizer)
    figures = task.measure(pairs, list(held))
    assert figures["perplexity"] == pytest.approx(math.exp(sum(nats) / len(nats)), rel=1e-9)
    assert figures["tokens"] == len(wanted)


def test_chunks_with_key_tokens_weigh_more(tokenizer, model):
    import torch

    task = CausalLM(context_length=24, key_tokens=["plt", "np"], key_weight=2.0)
    chunks = task.features(documents(), tokenizer, True)
    words = [re.findall(r"\w+", tokenizer.decode(ids)) for ids in chunks["input_ids"]]
    counts = [found.count("plt") + found.count("np") for found in words]
    assert list(chunks["weights"]) == [1 + 2 * count for count in counts] and max(counts) >= 2
    (batch,) = batches(task, chunks, tokenizer, model, 1000)
    assert "weights" not in task.inputs(batch)
    outputs = model.eval()(**task.inputs(batch))
    rows = [float64_nats(model, row) for row in chunks["input_ids"]]
    means = [sum(nats) / len(nats) for nats in rows]
    mean_weight = sum(chunks["weights"]) / len(rows)
    wanted = sum(m * w / mean_weight for m, w in zip(means, chunks["weights"], strict=True)) / len(rows)
    loss = task.loss(model, batch, outputs)
    assert loss.item() == pytest.approx(wanted, rel=1e-5)
    assert abs(loss.item() - outputs.loss.item()) > 1e-3
    loss.backward()
    assert torch.isfinite(model.lm_head.weight.grad).all()


def test_a_key_inside_a_longer_name_does_not_count(tokenizer):
    text = "pltx splt plt plt.plot _plt plt_ (plt)"
    task = CausalLM(context_length=200, drop_last=False, key_tokens=["plt", ".plot"], key_weight=1.0)
    assert task.features(documents([text]), tokenizer, True)["weights"] == [1 + 3 + 1]


def test_key_tokens_that_the_data_has_not_are_an_error(tokenizer):
    with pytest.raises(RequestError, match=r"key_tokens: the training data has none of \['pandas'\]"):
        CausalLM(context_length=16, key_tokens=["pandas"]).features(documents(), tokenizer, True)


def test_weights_that_were_taken_away_are_an_error(tokenizer, model):
    task = CausalLM(context_length=16, key_tokens=["plt"])
    (batch,) = batches(CausalLM(context_length=16), documents_chunks(tokenizer), tokenizer, model, 1000)
    with pytest.raises(RuntimeError, match="remove_unused_columns"):
        task.loss(model, batch, None)


def documents_chunks(tokenizer):
    return CausalLM(context_length=16).features(documents(), tokenizer, True)


def test_too_little_text_for_a_chunk_names_the_way_out(tokenizer):
    with pytest.raises(RequestError, match=r"context_length is 4096, .* drop_last: false"):
        CausalLM(context_length=4096).features(documents(), tokenizer, True)


def test_a_chunk_that_the_model_cannot_read_is_an_error(tokenizer, model):
    with pytest.raises(RequestError, match="context_length is 129, and the model reads 128 tokens"):
        CausalLM(context_length=129).collator(tokenizer, model)


def test_a_tokenizer_without_an_end_is_an_error(tokenizer):
    from transformers import PreTrainedTokenizerFast

    endless = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(RequestError, match="no end-of-text token"):
        CausalLM(context_length=8).features(documents(), endless, True)


# As text


@pytest.mark.parametrize("text", [*TEXTS[:5], "two words", "  led in  by\n\tspace  ", "a" * 900 + " b " + "c" * 900])
def test_prompt_and_target_are_the_document(text):
    task = CausalLM(prompt_share=0.5, characters=60)
    example = task.read({"text": text})
    prompt, target = task.prompt(example), task.target(example)
    assert text.startswith(prompt + target)
    assert prompt.strip() and prompt == prompt.rstrip()
    assert target.strip() and target[0].isspace()
    assert len(prompt) <= 30 or " " not in prompt.strip()
    assert 1 <= len(target.split()) <= 32


def test_the_target_is_cut_at_so_many_words():
    task = CausalLM(prompt_share=0.5, characters=10, continuation=3)
    assert task.prompt({"text": "ab cd ef gh ij kl"}) == "ab cd"
    assert task.target({"text": "ab cd ef gh\nij kl"}) == " ef gh\nij"


@pytest.mark.parametrize(("text", "why"), [("", "without a text"), (None, "without a text"), (" one ", "of fewer")])
def test_documents_that_cannot_go_on_are_left_out(text, why):
    assert why in CausalLM().read({"text": text})


def test_the_documents_own_continuation_is_worth_one():
    task = CausalLM()
    examples = [task.read({"text": text}) for text in TEXTS[:5]]
    said = [task.parse(task.target(example), example) for example in examples]
    assert task.measure(said, examples) == {"token_f1": 1.0}
    assert task.parse(" \n", examples[0]) is None
    said[0] = task.unread(examples[0])
    assert task.measure(said, examples) == {"token_f1": pytest.approx(0.8)}
    assert task.scores(said, examples) == [0.0, 1.0, 1.0, 1.0, 1.0]


def test_the_figure_is_the_mean_of_the_reward():
    from rlkit import plugins

    task = CausalLM(continuation=6)
    examples = [task.read({"text": text}) for text in TEXTS[:5]]
    said = ["the wolves in a forest", "plot x", "of them", "one", "and so on"]
    reward = plugins.find(task.reward[0])
    wanted = [reward(completion=s, **task.columns(e)) for s, e in zip(said, examples, strict=True)]
    assert task.scores(said, examples) == pytest.approx(wanted)
    assert 0 < task.measure(said, examples)["token_f1"] < 1


def test_the_baseline_as_text_repeats_the_prompt():
    task = CausalLM(continuation=2)
    name, said = task.baseline([], [{"text": "a b c d e f g h"}])
    assert (name, said) == ("prompt repeated", ["c d"])


def test_real_text_is_learnt(shared_data):
    """Web text: some steps of training bring perplexity below that of single tokens."""
    import torch

    texts = [row["text"] for row in json.loads((shared_data / "lm" / "c4_demo.json").read_text())[:60]]
    tokenizer = byte_bpe(texts, 512)
    model = llama(tokenizer, spread=0.02)
    task = CausalLM(context_length=64)
    training = task.features(documents(texts[:50]), tokenizer, True)
    held = task.features(documents(texts[50:]), tokenizer, False)
    floor = task.measure(task.unigram(training, held, tokenizer), list(held))["perplexity"]
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    todo = batches(task, training, tokenizer, model, 16)
    for batch in (todo * 20)[:80]:
        loss = task.loss(model, batch, model(**task.inputs(batch)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    figures = task.measure(losses(task, held, tokenizer, model, 16), list(held))
    assert figures["perplexity"] < 0.9 * floor < len(tokenizer)
    assert 1 < figures["bits_per_byte"] < 8
