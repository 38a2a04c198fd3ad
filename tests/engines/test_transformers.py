import pytest
import torch

from rlkit import data, policy
from rlkit.engines import Sampling, choose
from rlkit.recipe.generation import GenerationSection
from rlkit.recipe.model import ModelSection


@pytest.fixture(scope="module")
def engine(tiny_model):
    loaded = policy.load(ModelSection(path=str(tiny_model)), train=False)
    return choose(GenerationSection(engine="transformers"), loaded, batch_size=4)[0]


@pytest.fixture(scope="module")
def prompts(engine):
    texts = ["hi", "How many apples are 3 and 4?", "x", "日本", "There are 7 apples. " * 3]
    return [data.render(engine.policy.tokenizer, [{"role": "user", "content": text}]) for text in texts]


def one_by_one(engine, ids, n):
    """Greedy decoding as slowly and plainly as can be."""
    model, made, logprobs = engine.policy.model, list(ids), []
    for _ in range(n):
        with torch.no_grad():
            scores = model(torch.tensor([made])).logits[0, -1].double().log_softmax(-1)
        made.append(int(scores.argmax()))
        logprobs.append(float(scores.max()))
        if made[-1] == engine.policy.tokenizer.eos_token_id:
            break
    return made[len(ids) :], logprobs


def test_greedy_tokens_and_logprobs_equal_plain_decoding_whatever_the_batch(engine, prompts):
    made = engine.generate(prompts, Sampling(max_completion_length=12, temperature=0.0, logprobs=True))
    for ids, completion, logprobs in zip(prompts, made.completion_ids, made.logprobs, strict=True):
        tokens, expected = one_by_one(engine, ids, 12)
        assert completion == tokens
        assert logprobs == pytest.approx(expected, abs=1e-4)


def test_n_completions_of_each_prompt_in_order_and_a_seed_repeats_them(engine, prompts):
    sampling = Sampling(max_completion_length=6, n=3, seed=1, logprobs=True)
    made = engine.generate(prompts, sampling)
    assert len(made.completion_ids) == len(made.logprobs) == 3 * len(prompts)
    assert made == engine.generate(prompts, sampling)
    assert made != engine.generate(prompts, Sampling(max_completion_length=6, n=3, seed=2))
    assert all(len(ids) == len(logprobs) <= 6 for ids, logprobs in zip(*made, strict=True))


def test_logprobs_are_those_of_the_distribution_that_was_sampled(engine, prompts):
    made = engine.generate(prompts[:1], Sampling(max_completion_length=4, temperature=0.5, n=2, seed=0, logprobs=True))
    for completion, logprobs in zip(*made, strict=True):
        ids = torch.tensor([prompts[0] + completion])
        with torch.no_grad():
            scores = engine.policy.model(ids).logits[0, len(prompts[0]) - 1 : -1].double() / 0.5
        expected = scores.log_softmax(-1).gather(-1, torch.tensor(completion)[:, None])[:, 0]
        assert logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_log_probabilities_are_kept_only_where_they_are_asked_for(engine, prompts):
    made = engine.generate(prompts, Sampling(max_completion_length=3))
    assert made.logprobs == [[]] * len(prompts)


def test_the_model_is_left_in_the_mode_it_was_in(engine, prompts):
    engine.policy.model.train()
    engine.generate(prompts[:1], Sampling(max_completion_length=2))
    assert engine.policy.model.training
    engine.policy.model.eval()


def test_progress_is_told(engine, prompts):
    heard = []
    engine.generate(prompts, Sampling(max_completion_length=2), heard.append)
    assert heard == [4, 5]
