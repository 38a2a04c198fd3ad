"""The distribution against transformers' own processors; the draw against the distribution."""

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from rlkit.engines import Sampling
from rlkit.engines.sampler import Sampler

VOCABULARY = 50
PROMPTS = [[1, 2, 3], [4, 4, 9], [7], [0, 49, 3]]
SETTINGS = [
    {},
    {"temperature": 0.7},
    {"temperature": 1.6, "top_k": 7},
    {"top_p": 0.8},
    {"min_p": 0.2},
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 0.8, "temperature": 0.6, "top_k": 20, "top_p": 0.9, "min_p": 0.05},
    {"top_k": 1},
    {"top_k": 500, "top_p": 1e-4},
]


def logits(rows=4, seed=0):
    return torch.randn((rows, VOCABULARY), generator=torch.Generator().manual_seed(seed)) * 3


def theirs(settings, ids, scores):
    """Log-probabilities by transformers, in the order in which its generate puts the processors."""
    made = LogitsProcessorList()
    if "repetition_penalty" in settings:
        made.append(RepetitionPenaltyLogitsProcessor(settings["repetition_penalty"]))
    if "temperature" in settings:
        made.append(TemperatureLogitsWarper(settings["temperature"]))
    if "top_k" in settings:
        made.append(TopKLogitsWarper(min(settings["top_k"], VOCABULARY)))
    if "top_p" in settings:
        made.append(TopPLogitsWarper(settings["top_p"]))
    if "min_p" in settings:
        made.append(MinPLogitsWarper(settings["min_p"]))
    rows = [made(torch.tensor([prompt]), row[None]) for prompt, row in zip(ids, scores, strict=True)]
    return torch.cat(rows).log_softmax(-1)


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_distribution_is_that_of_transformers(settings):
    sampler = Sampler(Sampling(**settings), PROMPTS, VOCABULARY, torch.device("cpu"))
    weights = sampler.weights(logits())
    ours = (weights / weights.sum(-1, keepdim=True)).log()
    torch.testing.assert_close(ours, theirs(settings, PROMPTS, logits()), atol=1e-5, rtol=1e-4)


def test_the_penalty_knows_what_was_drawn_and_follows_the_rows_that_are_kept():
    sampling = Sampling(repetition_penalty=2.0, temperature=0.0, logprobs=True)
    sampler = Sampler(sampling, PROMPTS, VOCABULARY, torch.device("cpu"))
    first, _ = sampler.draw(logits(), None)
    kept = torch.tensor([1, 3])
    sampler.keep(kept)
    seen = [PROMPTS[i] + [int(first[i])] for i in kept]
    expected = theirs({"repetition_penalty": 2.0}, seen, logits(2, seed=1))
    tokens, logprobs = sampler.draw(logits(2, seed=1), None)
    assert tokens.tolist() == expected.argmax(-1).tolist()
    torch.testing.assert_close(logprobs, expected.amax(-1))


def test_draws_are_as_frequent_as_they_are_likely_and_their_log_probabilities_say_so():
    sampling = Sampling(temperature=0.8, top_k=6, logprobs=True)
    count = 40_000
    sampler = Sampler(sampling, [[0]] * count, VOCABULARY, torch.device("cpu"))
    chance = torch.rand((count, 1), generator=torch.Generator().manual_seed(3))
    expected = theirs({"temperature": 0.8, "top_k": 6}, [[0]], logits(1))[0]
    tokens, logprobs = sampler.draw(logits(1).repeat(count, 1), chance)
    share = tokens.bincount(minlength=VOCABULARY) / count
    deviation = (expected.exp() * (1 - expected.exp()) / count).sqrt()
    assert ((share - expected.exp()).abs() <= 5 * deviation).all()  # what is left out has no deviation
    torch.testing.assert_close(logprobs, expected[tokens], atol=1e-5, rtol=1e-5)


def test_the_ends_of_the_range_of_chances_draw_tokens_that_have_a_probability():
    scores = torch.full((2, VOCABULARY), -torch.inf)
    scores[:, 10:13] = 0.0
    sampler = Sampler(Sampling(logprobs=True), [[0]] * 2, VOCABULARY, torch.device("cpu"))
    tokens, logprobs = sampler.draw(scores, torch.tensor([[0.0], [1 - 2**-24]]))
    assert tokens.tolist() == [12, 10]
    assert logprobs.tolist() == pytest.approx([-1.0986123] * 2)


def test_a_chance_never_rounds_to_a_token_that_was_left_out():
    scores = torch.full((500, VOCABULARY), -torch.inf)
    scores[:, 3:9] = torch.randn((500, 6), generator=torch.Generator().manual_seed(0))
    sampler = Sampler(Sampling(), [[0]] * 500, VOCABULARY, torch.device("cpu"))
    for chance in (0.0, 2**-24, 1 - 2**-23, 1 - 2**-24):
        tokens, _ = sampler.draw(scores.clone(), torch.full((500, 1), chance))
        assert ((tokens >= 3) & (tokens < 9)).all()


def test_ties_at_the_last_place_all_stay():
    sampler = Sampler(Sampling(top_k=2), [[0]], 4, torch.device("cpu"))
    assert (sampler.weights(torch.tensor([[2.0, 1.0, 1.0, 0.0]])) > 0).tolist() == [[True, True, True, False]]


def test_logits_in_sixteen_bits_are_computed_with_in_thirty_two():
    sampler = Sampler(Sampling(temperature=0.9), PROMPTS, VOCABULARY, torch.device("cpu"))
    rounded = logits().bfloat16()
    assert sampler.weights(rounded.clone()).equal(sampler.weights(rounded.float()))
