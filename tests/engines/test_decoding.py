"""The loop against transformers' own generate and plain forwards, over the shapes of models that there are."""

import copy

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from rlkit.engines import Sampling
from rlkit.engines.decoding import Decoder, reach
from rlkit.errors import RunError

SIZES = {
    "vocab_size": 97,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 96,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,  # logits far apart, so that no two are nearly equal
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
}
SHAPES = {
    "llama": {},
    "llama of many heads": {"num_key_value_heads": 4},
    "qwen2": {"use_sliding_window": False},
    "qwen3": {},
    "mistral": {"sliding_window": 40},
    "gemma2": {"sliding_window": 40, "attn_implementation": "eager", "attn_logit_softcapping": 2.0},
    "gemma2 without caps": {"sliding_window": 40, "attn_implementation": "sdpa"},
    "gemma3_text": {"sliding_window": 40},
    "phi3": {"sliding_window": None},
    "smollm3": {"no_rope_layers": [1, 0, 1]},
    "gpt2": {"n_positions": 64, "n_embd": 64, "n_layer": 3, "n_head": 4},
    "gpt_neox": {},
    "olmo2": {},
}
PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [3], [20, 21, 22, 23], [90, 2, 3, 4, 5, 6]]


def make(kind, **changes):
    torch.manual_seed(0)
    settings = {**SIZES, **SHAPES.get(kind, {}), **changes}
    implementation = settings.pop("attn_implementation", None)
    config = AutoConfig.for_model(kind.split()[0], **settings)
    return AutoModelForCausalLM.from_config(config, attn_implementation=implementation).eval()


def greedy(model, prompt, length, ends=()):
    """transformers' generate, one prompt at a time, without padding."""
    config = GenerationConfig(max_new_tokens=length, do_sample=False, eos_token_id=list(ends) or None, pad_token_id=0)
    return model.generate(torch.tensor([prompt]), generation_config=config)[0, len(prompt) :].tolist()


def run(model, sampling, groups=(0, 1, 2, 3), room=12, ends=(), chances=None, prompts=PROMPTS):
    groups = list(groups)
    chances = (
        torch.rand((len(groups), room), generator=torch.Generator().manual_seed(0)) if chances is None else chances
    )
    with torch.inference_mode():
        return Decoder(model, list(ends), 64).generate(prompts, groups, [room] * len(groups), sampling, chances)


def exact(model, prompt, completion, temperature=1.0):
    """Log-probabilities by a plain forward in float64."""
    double = copy.deepcopy(model).double()
    with torch.no_grad():
        scores = double(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1] / temperature
    return scores.log_softmax(-1).gather(-1, torch.tensor(completion)[:, None])[:, 0].tolist()


@pytest.mark.parametrize("kind", SHAPES)
def test_greedy_tokens_are_those_of_generate(kind):
    model = make(kind)
    assert reach(model) >= 40
    groups = [0, 0, 1, 2, 2, 2, 3]  # uneven groups, prompts of different lengths
    made = run(model, Sampling(temperature=0.0, logprobs=True), groups)
    for group, completion, logprobs in zip(groups, *made, strict=True):
        assert completion == greedy(model, PROMPTS[group], 12)
        assert logprobs == pytest.approx(exact(model, PROMPTS[group], completion), abs=2e-4)
    assert model.config._attn_implementation != "rlkit_groups"


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
def test_sampled_log_probabilities_are_those_of_a_plain_forward(kind):
    model, groups = make(kind), [0, 0, 0, 1, 1, 3]
    made = run(model, Sampling(temperature=1.5, logprobs=True), groups, room=20)
    assert len(set(map(tuple, made.completion_ids))) == len(groups)
    for group, completion, logprobs in zip(groups, *made, strict=True):
        assert logprobs == pytest.approx(exact(model, PROMPTS[group], completion, 1.5), abs=5e-4)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_rows_that_are_done_leave_and_the_others_do_not_notice(kind):
    model, room = make(kind, initializer_range=0.05), 40
    groups = [i for i in range(4) for _ in range(6)]
    free = run(model, Sampling(temperature=2.0, logprobs=True), groups, room)
    ends = [1, 2, 3, 40, 41, 42]
    sizes = []
    model.register_forward_pre_hook(lambda _, __, named: sizes.append(len(named["input_ids"])), with_kwargs=True)
    made = run(model, Sampling(temperature=2.0, logprobs=True), groups, room, ends)
    for whole, logprobs, completion, mine in zip(*free, *made, strict=True):
        length = next((at + 1 for at, token in enumerate(whole) if token in ends), room)
        assert completion == whole[:length]
        assert mine == pytest.approx(logprobs[:length], abs=1e-4)
    prompts, *steps = sizes
    assert prompts == 4, "each prompt goes through the model once"
    assert steps[0] == 24
    assert steps[-1] < 12
    assert sorted(steps, reverse=True) == steps


def test_it_stops_where_all_rows_are_done():
    model = make("llama")
    first = {completion[0] for completion in run(model, Sampling(temperature=0.0), room=1).completion_ids}
    made = run(model, Sampling(temperature=0.0, logprobs=True), room=30, ends=first)
    assert [len(completion) for completion in made.completion_ids] == [1] * 4


def test_a_rows_draws_do_not_depend_on_the_rows_beside_it():
    model = make("llama")
    chances = torch.rand((6, 10), generator=torch.Generator().manual_seed(5))
    together = run(model, Sampling(), [0, 0, 1, 1, 2, 3], room=10, chances=chances)
    alone = run(model, Sampling(), [0], room=10, chances=chances[3:4], prompts=PROMPTS[1:2])
    assert alone.completion_ids == together.completion_ids[3:4]


def test_each_row_has_its_own_room_up_to_the_end_of_learned_positions():
    model = make("gpt2", n_positions=16)
    room = [9, 15, 12, 10]
    with torch.inference_mode():
        made = Decoder(model, [], 16).generate(
            PROMPTS, [0, 1, 2, 3], room, Sampling(temperature=0.0), torch.empty(4, 0)
        )
    assert [len(completion) for completion in made.completion_ids] == room
    for prompt, most, completion in zip(PROMPTS, room, made.completion_ids, strict=True):
        assert completion == greedy(model, prompt, most)


def test_what_cannot_be_driven_is_known_before():
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 97, "state_size": 4}
    assert reach(make("mamba", **sizes)) == 0
    assert reach(make("mistral", sliding_window=8)) == 8
    assert reach(make("llama")) == float("inf")
    assert reach(make("qwen2", use_sliding_window=True, sliding_window=9, max_window_layers=1)) == 9


def test_logits_that_are_not_numbers_are_an_error_that_says_so():
    model = make("llama")
    model.model.norm.weight.data.fill_(float("nan"))
    with pytest.raises(RunError, match="not numbers"):
        run(model, Sampling())
