"""What every engine must do; each is held to the policy's own model, run as plainly as can be."""

import gc
from collections import Counter
from dataclasses import dataclass

import psutil
import pytest
import torch
import transformers

from rlkit.engines import Sampling, choose
from rlkit.engines.engine import Engine
from rlkit.errors import RequestError
from rlkit.policy import Policy, load
from rlkit.recipe.generation import GenerationSection
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import ModelSection

CASES = [
    ("transformers", "full"),
    ("transformers", "lora"),
    pytest.param(("vllm", "full"), marks=pytest.mark.slow),
    pytest.param(("vllm", "lora"), marks=pytest.mark.slow),
    pytest.param(("vllm_server", "lora"), marks=pytest.mark.slow),
]
TEXTS = ["How many apples are 3 and 4?", "x", "日本 é 🙂", "There are 7 apples. " * 9, "How many clips"]
CLOSE = 1e-3
"""Nats; all compute in float32."""


@dataclass
class Case:
    """An engine, and the policy that it serves."""

    engine: Engine
    policy: Policy
    prompts: list[list[int]]

    def plainly(self, ids, room):
        """Greedy tokens with their log-probabilities, one whole forward pass a token."""
        made, logprobs = list(ids), []
        while len(logprobs) < room:
            scores = self.scores(made)[-1].log_softmax(-1)
            made.append(int(scores.argmax()))
            logprobs.append(float(scores.max()))
            if made[-1] in self.policy.end_ids:
                break
        return made[len(ids) :], logprobs

    def scores(self, ids):
        """The policy's logits after each token, in double precision."""
        model = self.policy.model
        training = model.training
        model.eval()
        with torch.no_grad():
            scores = model(torch.tensor([ids])).logits[0].double()
        model.train(training)
        return scores

    def assert_serves_the_policy(self):
        made = self.engine.generate(self.prompts, Sampling(max_completion_length=6, temperature=0.0, logprobs=True))
        for ids, completion, logprobs in zip(self.prompts, *made, strict=True):
            tokens, expected = self.plainly(ids, 6)
            assert completion == tokens
            assert logprobs == pytest.approx(expected, abs=CLOSE)


def make_policy(kind: str, path) -> Policy:
    """A policy that is not what stands on disk, with a second end token, which greedy completions come upon."""
    policy = load(ModelSection(path=str(path)), LoraSection(r=4) if kind == "lora" else None)
    move(policy, seed=0, by=0.3 if kind == "lora" else 0.1)
    ids = policy.tokenizer(TEXTS[0])["input_ids"]
    found = Case(None, policy, []).plainly(ids, 4)[0]
    policy.model.generation_config.eos_token_id = [policy.tokenizer.eos_token_id, found[-1]]
    return policy


def move(policy: Policy, seed: int, by: float) -> None:
    """Change what is trained."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in policy.model.parameters():
        if parameter.requires_grad:
            parameter.data.add_(torch.randn(parameter.shape, generator=generator) * by)


def settings_of(name: str, path, folder) -> GenerationSection:
    """`generation:` for an engine; what it needs is there afterwards."""
    if name == "vllm_server":
        from serving import server

        return GenerationSection(engine=name, servers=[server(path).address], adapter_folder=str(folder))
    return GenerationSection(engine=name)


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request, tiny_model, tmp_path_factory):
    name, kind = request.param
    if name != "transformers":
        pytest.importorskip("vllm")
    policy = make_policy(kind, tiny_model)
    prompts = [policy.tokenizer(text)["input_ids"] for text in TEXTS]
    settings = settings_of(name, tiny_model, tmp_path_factory.mktemp("adapters"))
    engine, why = choose(settings, policy, batch_size=64, training=True)
    assert name in why
    yield Case(engine, policy, prompts)
    engine.close()
    engine.close()


@pytest.fixture
def kept(case):
    """The policy's weights are put back after the test."""
    state = {name: value.clone() for name, value in case.policy.model.state_dict().items()}
    yield
    case.policy.model.load_state_dict(state)
    case.engine.sync(case.policy)


def test_a_new_engine_gives_the_policy_s_greedy_tokens_and_their_logprobs(case):
    case.assert_serves_the_policy()


def test_weights_after_a_sync(case, kept):
    for seed in (1, 2):
        before = case.engine.generate(case.prompts, Sampling(max_completion_length=6, temperature=0.0))
        move(case.policy, seed, by=0.1)
        case.engine.sync(case.policy)
        case.assert_serves_the_policy()
        assert case.engine.generate(case.prompts, Sampling(max_completion_length=6, temperature=0.0)) != before


def test_a_sync_leaves_the_policy_as_it_is(case):
    model = case.policy.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    model.train()
    torch.manual_seed(5)
    case.engine.sync(case.policy)
    case.engine.generate(case.prompts, Sampling(max_completion_length=2, seed=0))
    drawn = torch.rand(4)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(4)), "the random state of training"
    assert model.training
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == flags
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_n_completions_of_each_prompt_stand_together_in_order(case):
    made = case.engine.generate(case.prompts, Sampling(max_completion_length=4, n=3, temperature=0.0))
    assert made.logprobs == [[]] * 3 * len(case.prompts)
    assert made.completion_ids == [case.plainly(ids, 4)[0] for ids in case.prompts for _ in range(3)]


def test_a_seed_repeats_the_completions_whatever_was_served_between(case):
    sampling = Sampling(max_completion_length=8, n=4, seed=7, logprobs=True)
    made = case.engine.generate(case.prompts, sampling)
    case.engine.generate(case.prompts[::-1], Sampling(max_completion_length=5, n=2, seed=8))
    again = case.engine.generate(case.prompts, sampling)
    assert made.completion_ids == again.completion_ids
    for first, second in zip(made.logprobs, again.logprobs, strict=True):
        assert first == pytest.approx(second, abs=1e-5)
    assert len({tuple(ids) for ids in made.completion_ids[:4]}) > 1, "completions of one prompt differ"
    other = case.engine.generate(case.prompts, Sampling(max_completion_length=8, n=4, seed=9))
    assert other.completion_ids != made.completion_ids


def test_without_a_seed_torch_s_random_state_counts(case):
    sampling = Sampling(max_completion_length=8, n=2)
    torch.manual_seed(3)
    made = [case.engine.generate(case.prompts, sampling) for _ in range(2)]
    torch.manual_seed(3)
    assert case.engine.generate(case.prompts, sampling) == made[0] != made[1]


@pytest.mark.parametrize(
    "how",
    [
        {"temperature": 0.5},
        {"temperature": 1.5, "top_k": 5},
        {"top_p": 0.6},
        {"min_p": 0.2},
        {"repetition_penalty": 1.7},
        {"temperature": 0.7, "top_k": 9, "top_p": 0.8, "repetition_penalty": 1.2},
    ],
    ids=str,
)
def test_logprobs_are_those_of_the_distribution_that_was_drawn_from(case, how):
    made = case.engine.generate(case.prompts[:2], Sampling(max_completion_length=6, n=3, seed=1, logprobs=True, **how))
    for index, (completion, logprobs) in enumerate(zip(*made, strict=True)):
        ids = case.prompts[index // 3]
        scores = case.scores(ids + completion)[len(ids) - 1 : -1]
        for place, token in enumerate(completion):
            drawn = processed(scores[place : place + 1], ids + completion[:place], **how)
            assert logprobs[place] == pytest.approx(float(drawn[0, token]), abs=CLOSE)


def processed(scores, ids, temperature=1.0, top_k=0, top_p=1.0, min_p=None, repetition_penalty=1.0):
    """The log-probabilities that are drawn from, by transformers' own processors."""
    steps = [
        transformers.RepetitionPenaltyLogitsProcessor(repetition_penalty),
        transformers.TemperatureLogitsWarper(temperature),
        *([transformers.MinPLogitsWarper(min_p)] if min_p else []),
        *([transformers.TopKLogitsWarper(top_k)] if top_k else []),
        *([transformers.TopPLogitsWarper(top_p)] if top_p < 1 else []),
    ]
    for step in steps:
        scores = step(torch.tensor([ids]), scores)
    return scores.log_softmax(-1)


def test_tokens_come_as_often_as_their_probability_says(case):
    made = case.engine.generate(case.prompts[:1], Sampling(max_completion_length=1, temperature=2.0, n=1000, seed=2))
    seen = Counter(ids[0] for ids in made.completion_ids)
    expected = (case.scores(case.prompts[0])[-1] / 2).softmax(-1)
    for token in expected.topk(5).indices.tolist():
        p = float(expected[token])
        assert abs(seen[token] / 1000 - p) < 5 * (p * (1 - p) / 1000) ** 0.5


def test_a_completion_ends_with_an_end_token_or_is_clipped(case):
    ends = case.policy.end_ids
    made = case.engine.generate(case.prompts, Sampling(max_completion_length=24, n=16, temperature=2.0, seed=3))
    greedy = case.engine.generate(case.prompts[:1], Sampling(max_completion_length=24, temperature=0.0))
    assert len(greedy.completion_ids[0]) <= 4
    assert greedy.completion_ids[0][-1] == ends[1]
    for ids in made.completion_ids + greedy.completion_ids:
        assert len(ids) == 24 or (0 < len(ids) < 24 and ids[-1] in ends)
        assert not set(ids[:-1]) & set(ends)


def test_a_completion_stays_within_the_context(case):
    long = (case.prompts[0] * 300)[:509]
    made = case.engine.generate([case.prompts[1], long], Sampling(max_completion_length=5, temperature=0.0))
    assert made.completion_ids == [case.plainly(case.prompts[1], 5)[0], case.plainly(long, 3)[0]]


def test_empty_and_too_long_prompts_are_refused_and_the_engine_goes_on(case):
    heard = []
    for bad, said in (([], "prompt 1 .* has no tokens"), ([5] * 512, "prompt 1 .* 512 tokens")):
        with pytest.raises(RequestError, match=said):
            case.engine.generate([case.prompts[0], bad], Sampling(max_completion_length=4), heard.append)
    assert heard == []
    case.assert_serves_the_policy()


def test_no_prompts_give_no_completions(case):
    assert case.engine.generate([], Sampling()) == ([], [])


def test_progress_hears_how_many_completions_there_are(case):
    heard = []
    case.engine.generate(case.prompts, Sampling(max_completion_length=6, n=4, seed=1), heard.append)
    assert heard == sorted(heard)
    assert heard[0] >= 1
    assert heard[-1] == 4 * len(case.prompts)


def test_a_hundred_syncs_take_no_memory(case):
    def megabytes():
        gc.collect()
        own = psutil.Process()
        return sum(process.memory_info().rss for process in (own, *own.children(recursive=True))) / 2**20

    def sync(times):
        for _ in range(times):
            case.engine.sync(case.policy)
            case.engine.generate(case.prompts[1:2], Sampling(max_completion_length=2, temperature=0.0))

    # vLLM takes the blocks of its cache in turn: their memory counts from the first time on.
    case.engine.generate(case.prompts[1:2], Sampling(max_completion_length=1, n=300, seed=0))
    sync(20)
    before = megabytes()
    sync(80)
    assert megabytes() - before < 8
    case.assert_serves_the_policy()
