import math

import pytest
from language_models import TEXTS, batches, bert, byte_bpe, documents, flat, losses, wordpiece

from rlkit.errors import RequestError
from rlkit.tasks.masked_lm import MaskedLM

MANY = TEXTS * 8


@pytest.fixture(scope="module")
def tokenizer():
    return wordpiece()


@pytest.fixture(scope="module")
def model(tokenizer):
    return bert(tokenizer)


@pytest.mark.parametrize("length", [5, 16, 64])
def test_packing_loses_no_token(tokenizer, length):
    task = MaskedLM(context_length=length, drop_last=False)
    chunks = task.features(documents(), tokenizer, True)["input_ids"]
    ids = [tokenizer.backend_tokenizer.encode(text).ids for text in TEXTS]
    assert ids[0][0] == tokenizer.cls_token_id and ids[0][-1] == tokenizer.sep_token_id
    assert flat(chunks) == flat(ids)


def masked(task, tokenizer, model, times=1, texts=MANY):
    """Every training batch's labels and what became of the tokens: (original, shown, label) of each token."""
    chunks = task.features(documents(texts), tokenizer, True)
    found = []
    for _ in range(times):
        at = 0
        for batch in batches(task, chunks, tokenizer, model, 20):
            for ids, labels, mask in zip(
                *(batch[k].tolist() for k in ("input_ids", "labels", "attention_mask")), strict=True
            ):
                original = chunks[at]["input_ids"]
                at += 1
                row = list(zip(original, ids[: sum(mask)], labels[: sum(mask)], strict=True))
                assert set(labels[sum(mask) :]) <= {-100}
                found.append(row)
    return found


@pytest.mark.parametrize("whole", [False, True])
def test_fifteen_in_a_hundred_are_chosen_and_eight_in_ten_of_them_hidden(tokenizer, model, whole):
    import torch

    torch.manual_seed(0)
    task = MaskedLM(context_length=64, whole_word_masking=whole, drop_last=False)
    tokens = [token for row in masked(task, tokenizer, model, 40) for token in row]
    special = set(tokenizer.all_special_ids)
    able = [token for token in tokens if token[0] not in special]
    chosen = [token for token in able if token[2] != -100]
    assert not [token for token in tokens if token[0] in special and token[2] != -100]
    assert all(label == original for original, _, label in chosen)
    assert all(shown == original for original, shown, label in tokens if label == -100)
    n = len(chosen)
    assert n / len(able) == pytest.approx(0.15, abs=0.01)
    hidden = sum(shown == tokenizer.mask_token_id for _, shown, _ in chosen)
    kept = sum(shown == original for original, shown, _ in chosen)
    assert hidden / n == pytest.approx(0.8, abs=0.02)
    assert kept / n == pytest.approx(0.1, abs=0.02)
    others = {shown for original, shown, _ in chosen if shown not in (original, tokenizer.mask_token_id)}
    assert len(others) > 50 and not others & special


def test_all_pieces_of_a_word_are_chosen_together(tokenizer, model):
    task = MaskedLM(context_length=128, whole_word_masking=True, drop_last=False, mlm_probability=0.3)
    words = several = 0
    for row in masked(task, tokenizer, model, 3):
        pieces = tokenizer.convert_ids_to_tokens([original for original, _, _ in row])
        groups = []
        for piece, (_, _, label) in zip(pieces, row, strict=True):
            if piece.startswith("##") and groups:
                groups[-1].append(label != -100)
            else:
                groups.append([label != -100])
        assert all(len(set(group)) == 1 for group in groups)
        words += sum(group[0] for group in groups)
        several += sum(group[0] and len(group) > 1 for group in groups)
    assert words > 100 and several > 50


@pytest.mark.parametrize("regex", [False, True])
def test_words_end_at_white_space_where_the_tokenizer_calls_a_whole_text_a_word(regex):
    tokenizer = byte_bpe(regex=regex, mask="<|mask|>")
    task = MaskedLM(context_length=10_000, drop_last=False)
    (chunk,) = task.features(documents(TEXTS[:3]), tokenizer, True)
    texts = []
    for token, kind in zip(chunk["input_ids"], chunk["words"], strict=True):
        if kind == 1:
            texts.append([])
        texts[-1].append(token)
    texts = [tokenizer.decode(ids) for ids in texts]
    assert "".join(texts) == "".join(TEXTS[:3])
    words = [text.strip() for text in texts]
    if not regex:  # a merge may hold the end of one word and all of the next
        assert {"🙂", "Übermäßig", "12"} <= set(words), words
    else:
        assert {"🙂", "Übermäßig", "known", "wolves"} <= set(words), words


def test_pieces_are_chosen_apart_without_whole_words(tokenizer, model):
    import torch

    torch.manual_seed(0)
    split = False
    for row in masked(MaskedLM(context_length=64, mlm_probability=0.3), tokenizer, model, 2):
        pieces = tokenizer.convert_ids_to_tokens([original for original, _, _ in row])
        for (_, _, before), (_, _, label), piece in zip(row[:-1], row[1:], pieces[1:], strict=True):
            split |= piece.startswith("##") and (before == -100) != (label == -100)
    assert split


def test_masks_of_training_change_and_those_of_evaluation_stay(tokenizer, model):
    task = MaskedLM(context_length=32)
    first, second = ([[s for _, s, _ in row] for row in masked(task, tokenizer, model)] for _ in range(2))
    assert first != second
    held = [list(MaskedLM(context_length=32).features(documents(), tokenizer, False)) for _ in range(2)]
    assert held[0] == held[1]
    other = list(MaskedLM(context_length=32, mask_seed=1).features(documents(), tokenizer, False))
    assert other != held[0]
    labels = [row["labels"] for row in held[0]]
    assert len(set(map(tuple, (tuple(x == -100 for x in row) for row in labels)))) > len(labels) // 2
    figures = [task.measure(losses(task, held[0], tokenizer, model), held[0]) for _ in range(2)]
    assert figures[0] == figures[1]


def test_training_masks_are_repeated_by_torchs_seed(tokenizer, model):
    import torch

    task = MaskedLM(context_length=32)
    made = []
    for _ in range(2):
        torch.manual_seed(7)
        made.append(masked(task, tokenizer, model))
    assert made[0] == made[1]


def test_every_chunk_has_something_to_learn(tokenizer, model):
    task = MaskedLM(context_length=4, mlm_probability=0.01)
    chunks = task.features(documents(), tokenizer, False)
    special = set(tokenizer.all_special_ids) - {tokenizer.mask_token_id}
    for row in chunks:
        assert any(label != -100 for label in row["labels"]) or set(row["input_ids"]) <= special


@pytest.mark.parametrize("whole", [False, True])
def test_perplexity_is_that_of_an_independent_computation(tokenizer, model, whole):
    import copy

    import torch

    task = MaskedLM(context_length=25, drop_last=False, whole_word_masking=whole)
    chunks = task.features(documents(), tokenizer, False)
    found = losses(task, chunks, tokenizer, model)
    precise = copy.deepcopy(model).double().eval()
    every = []
    for (nll, tokens), row in zip(found, chunks, strict=True):
        with torch.no_grad():
            logits = precise(torch.tensor([row["input_ids"]])).logits[0].numpy()
        nats = [
            math.log(sum(math.exp(v) for v in logits[i])) - logits[i][label]
            for i, label in enumerate(row["labels"])
            if label != -100
        ]
        assert tokens == len(nats)
        assert nll == pytest.approx(sum(nats), rel=1e-5)
        every += nats
    figures = task.measure(found, list(chunks))
    assert figures == {"perplexity": pytest.approx(math.exp(sum(every) / len(every)), rel=1e-5), "tokens": len(every)}


def test_the_unigram_baseline_is_counted_by_hand(tokenizer):
    task = MaskedLM(context_length=16)
    training, held = (task.features(documents(), tokenizer, t) for t in (True, False))
    special = {tokenizer.cls_token_id, tokenizer.sep_token_id}
    seen = [token for row in training["input_ids"] for token in row if token not in special]
    wanted = [token for row in held["labels"] for token in row if token != -100]
    nats = [-math.log((seen.count(token) + 1) / (len(seen) + len(tokenizer))) for token in wanted]
    figures = task.measure(task.unigram(training, held, tokenizer), list(held))
    assert figures["perplexity"] == pytest.approx(math.exp(sum(nats) / len(nats)), rel=1e-9)


def test_a_tokenizer_without_a_mask_is_an_error():
    with pytest.raises(RequestError, match="no mask token"):
        MaskedLM(context_length=8).features(documents(), byte_bpe(), True)


def test_words_that_were_taken_away_are_an_error(tokenizer, model):
    task = MaskedLM(context_length=8)
    with pytest.raises(RuntimeError, match="remove_unused_columns"):
        task.collator(tokenizer, model)([{"input_ids": [5, 6, 7]}])


def test_it_has_no_face_as_text():
    assert MaskedLM.reward is None


def test_some_steps_bring_perplexity_below_that_of_single_tokens(tokenizer):
    import torch

    torch.manual_seed(0)
    model = bert(tokenizer, spread=0.02)
    task = MaskedLM(context_length=32, whole_word_masking=True)
    training, held = (task.features(documents(MANY), tokenizer, t) for t in (True, False))
    floor = task.measure(task.unigram(training, held, tokenizer), list(held))["perplexity"]
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(25):
        for batch in batches(task, training, tokenizer, model, 16):
            loss = task.loss(model, batch, model(**task.inputs(batch)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert task.measure(losses(task, held, tokenizer, model, 16), list(held))["perplexity"] < floor
