"""What is vLLM's own; what it shares with the other engines is in test_conformance.py."""

import os
import random
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("vllm")
import torch
import torch.distributed as group

from rlkit import scratch
from rlkit.engines import Sampling, check
from rlkit.engines.vllm import VllmEngine
from rlkit.errors import RequestError, RunError
from rlkit.policy import Policy, load
from rlkit.recipe.generation import GenerationSection
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import FromScratchSection, ModelSection, TokenizerSection

pytestmark = pytest.mark.slow


@pytest.fixture
def start():
    """Start engines, which end with the test."""
    started = []

    def make(policy, **settings):
        started.append(VllmEngine(policy, GenerationSection(engine="vllm", **settings)))
        return started[-1]

    yield make
    for engine in started:
        engine.close()


def moved(policy, by=0.1):
    for parameter in policy.model.parameters():
        if parameter.requires_grad:
            parameter.data.add_(torch.randn_like(parameter) * by)
    return policy


@pytest.fixture
def full(tiny_model):
    return moved(load(ModelSection(path=str(tiny_model))))


def adapter(path, **lora):
    return moved(load(ModelSection(path=str(path)), LoraSection(r=4, **lora)))


def test_arguments_of_vllm_are_checked_and_passed_on(full, start):
    with pytest.raises(RequestError, match=r"generation.vllm: unknown argument .*'max_modle_len'.* 'max_model_len'"):
        start(full, vllm={"max_modle_len": 64})
    with pytest.raises(RequestError, match=r"generation.vllm.model: rlkit sets it"):
        start(full, vllm={"model": "another"})
    with pytest.raises(RunError, match=r"did not start: max_model_len: Input should be a valid integer"):
        start(full, vllm={"max_model_len": "much"})
    engine = start(full, vllm={"max_model_len": 64, "max_num_seqs": 3})
    assert engine.llm.llm_engine.vllm_config.scheduler_config.max_num_seqs == 3
    made = engine.generate([[5] * 60], Sampling(max_completion_length=9, temperature=0.0))
    assert len(made.completion_ids[0]) <= 4
    with pytest.raises(RequestError, match="64 tokens"):
        engine.generate([[5] * 64], Sampling())
    with pytest.raises(RunError, match="engine vllm failed to generate: "):
        engine.generate([[10**6]], Sampling(max_completion_length=2))
    check.agree(engine, full)  # it goes on after a failure


def test_a_progress_that_raises_leaves_nothing_in_the_engine(full, start):
    engine = start(full)

    def interrupt(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.generate([[5], [6]], Sampling(max_completion_length=40, n=50, seed=0), interrupt)
    assert not engine.llm.llm_engine.has_unfinished_requests()
    check.agree(engine, full)


def test_the_process_is_left_as_it_was_and_engines_come_and_go(full, tiny_model, start):
    lora = adapter(tiny_model)
    environment, threads, drawn = dict(os.environ), torch.get_num_threads(), (torch.get_rng_state(), random.getstate())
    folders = set(Path(tempfile.gettempdir()).glob("rlkit-vllm-*"))
    first, second = start(full), start(lora)
    assert dict(os.environ) == environment
    assert torch.get_num_threads() == threads
    torch.set_num_threads(threads + 1)
    assert torch.get_num_threads() == threads + 1
    torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), drawn[0])
    assert random.getstate() == drawn[1]
    check.agree(first, full)
    first.close()
    first.close()
    check.agree(second, lora)
    second.close()
    assert not group.is_initialized()
    assert set(Path(tempfile.gettempdir()).glob("rlkit-vllm-*")) == folders
    with pytest.raises(RunError, match="it was closed"):
        first.generate([[5]], Sampling())
    check.agree(start(full), full)


def test_process_groups_that_were_there_stay(full, start, tmp_path):
    group.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", world_size=1, rank=0)
    try:
        engine = start(full)
        check.agree(engine, full)
        engine.close()
        total = torch.ones(1)
        group.all_reduce(total)
        assert total == 1
    finally:
        group.destroy_process_group()


def test_a_run_of_several_processes_needs_gpus(full, start, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RequestError, match=r"several processes needs GPUs .* generation.engine=transformers"):
        start(full)


def test_a_model_in_4_bits_is_refused_on_a_cpu(tiny_model, start):
    policy = load(ModelSection(path=str(tiny_model), load_in_4bit=True), LoraSection(r=4))
    if torch.cuda.is_available():
        pytest.skip("a GPU serves it")
    with pytest.raises(RequestError, match=r"4 bits on a CPU; use generation.engine=transformers"):
        start(policy)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.parametrize("lora", [{"modules_to_save": ["embed_tokens", "lm_head"]}, {"use_dora": True}], ids=str)
def test_an_adapter_that_cannot_be_swapped_is_merged_in_a_copy(tiny_model, start, lora):
    policy = adapter(tiny_model, **lora)
    engine = start(policy)
    check.agree(engine, policy)
    state = {name: value.clone() for name, value in moved(policy).model.state_dict().items()}
    engine.sync(policy)
    check.agree(engine, policy)
    assert all(torch.equal(state[name], value) for name, value in policy.model.state_dict().items())


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_policy_that_stands_on_no_disk(tied, start):
    section = FromScratchSection(hidden_size=64, num_attention_heads=2, tie_word_embeddings=tied)
    tokenizer = scratch.make_tokenizer(TokenizerSection(vocab_size=300), ["How many apples are 3 and 4?"] * 9)
    policy = Policy(scratch.make_model(section, tokenizer, seed=0), tokenizer)
    engine = start(moved(policy))
    check.agree(engine, policy)
    engine.sync(moved(policy))
    check.agree(engine, policy)


def test_an_adapter_on_a_base_with_new_tokens(tiny_model, start):
    section = ModelSection(path=str(tiny_model), chat_template="chatml")
    policy = moved(load(section, LoraSection(r=4)))
    assert policy.base is None
    engine = start(policy)
    new = policy.tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert check.difference(engine, policy, [5, new, 9]) < 1e-3
    engine.sync(moved(policy))
    assert check.difference(engine, policy, [5, new, 9]) < 1e-3


def test_it_computes_in_16_bits_where_asked(full, start):
    engine = start(full, dtype="bfloat16")
    assert engine.llm.model_config.dtype == torch.bfloat16
    assert 1e-5 < check.difference(engine, full) < 0.5
    engine.sync(moved(full))
    assert 1e-5 < check.difference(engine, full) < 0.5


def test_more_prompt_tokens_at_once_than_vllm_takes_in_a_step(full, start):
    engine = start(full)
    prompts = [[5 + i, *range(10, 130)] for i in range(40)]
    made = engine.generate(prompts, Sampling(max_completion_length=2, n=2, seed=0))
    assert [len(ids) > 0 for ids in made.completion_ids] == [True] * 80


def test_the_check_of_a_sync_knows_that_the_engine_computes_in_16_bits(full, start):
    engine = start(full, dtype="bfloat16")
    engine.sync(full)
    check.agree(engine, full)
    assert check.difference(engine, full) > check.bound(full), "in float32 this would be a mismatch"
