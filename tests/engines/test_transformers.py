import pytest
import torch

from rlkit import data, policy
from rlkit.engines import Sampling, choose
from rlkit.engines.transformers import TransformersEngine
from rlkit.errors import RequestError
from rlkit.recipe.generation import GenerationSection
from rlkit.recipe.lora import LoraSection
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


def load(tiny_model, lora=None, **section):
    return policy.load(ModelSection(path=str(tiny_model), **section), lora=lora)


def adapted(tiny_model, **section):
    """A policy with an adapter that does something."""
    loaded = load(tiny_model, LoraSection(r=4, target_modules="all-linear"), **section)
    shake(loaded, "lora_B")
    return loaded


def shake(loaded, name, seed=0):
    """Move the weights of a name, as a step of training does."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each, parameter in loaded.model.named_parameters():
            if name in each:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)


def agrees(engine, loaded, prompts, bound):
    """Whether the engine's log-probabilities are those of the policy's plain forward."""
    made = engine.generate(prompts, Sampling(max_completion_length=8, n=2, seed=0, logprobs=True))
    loaded.model.eval()
    furthest = 0.0
    for index, (completion, logprobs) in enumerate(zip(*made, strict=True)):
        prompt = prompts[index // 2]
        with torch.no_grad():
            logits = loaded.model(input_ids=torch.tensor([prompt + completion])).logits
        scores = logits[0, len(prompt) - 1 : -1].double().log_softmax(-1)
        expected = scores.gather(-1, torch.tensor(completion)[:, None])[:, 0]
        furthest = max(furthest, float((expected - torch.tensor(logprobs)).abs().max()))
    return furthest <= bound


def test_a_seed_draws_the_same_whatever_the_batch_and_leaves_the_global_generator_alone(tiny_model, prompts):
    loaded = load(tiny_model)
    sampling = Sampling(max_completion_length=9, n=3, seed=4)
    state = torch.random.get_rng_state()
    made = [TransformersEngine(loaded, size).generate(prompts, sampling) for size in (1, 2, 7, 64)]
    assert made[0] == made[1] == made[2] == made[3]
    assert torch.random.get_rng_state().equal(state)
    groups = [made[0].completion_ids[i : i + 3] for i in range(0, 15, 3)]
    assert all(len(set(map(tuple, group))) == 3 for group in groups)


def test_without_a_seed_the_global_generator_decides(tiny_model, prompts):
    engine, sampling = TransformersEngine(load(tiny_model)), Sampling(max_completion_length=9)
    torch.manual_seed(1)
    first, second = engine.generate(prompts, sampling), engine.generate(prompts, sampling)
    torch.manual_seed(1)
    assert engine.generate(prompts, sampling) == first != second


def test_a_prompt_that_stands_twice_goes_through_the_model_once(tiny_model, prompts):
    loaded = load(tiny_model)
    engine, rows = TransformersEngine(loaded), []
    loaded.model.register_forward_pre_hook(lambda _, __, named: rows.append(len(named["input_ids"])), with_kwargs=True)
    repeated = [prompts[1], prompts[0], prompts[1], prompts[1]]
    made = engine.generate(repeated, Sampling(max_completion_length=5, temperature=0.0, n=2))
    assert rows[:2] == [2, 8]
    assert made.completion_ids[0] == made.completion_ids[1] == made.completion_ids[7]


def test_prompts_at_the_end_of_the_context_have_what_room_is_left(tiny_model, prompts):
    engine = TransformersEngine(load(tiny_model))
    long = (prompts[1] * 100)[:509]
    made = engine.generate([prompts[0], long], Sampling(max_completion_length=20, temperature=0.0))
    assert len(made.completion_ids[1]) <= 3
    assert made.completion_ids[0] == one_by_one(engine, prompts[0], 20)[0]
    with pytest.raises(RequestError, match=r"prompt 1 .* has no tokens"):
        engine.generate([prompts[0], []], Sampling())
    with pytest.raises(RequestError, match=r"prompt 0 .* has 512 tokens"):
        engine.generate([(long * 2)[:512]], Sampling())
    assert engine.generate([], Sampling()) == ([], [])


def test_an_adapter_is_served_as_it_is_and_as_it_becomes(tiny_model, prompts):
    loaded = adapted(tiny_model)
    engine = TransformersEngine(loaded)
    assert engine.model is not loaded.model, "the copy has the adapter merged"
    assert agrees(engine, loaded, prompts, 1e-4)
    shake(loaded, "lora_A", seed=1)
    assert not agrees(engine, loaded, prompts, 1e-3)
    engine.sync(loaded)
    assert agrees(engine, loaded, prompts, 1e-4)


def test_an_adapter_on_sixteen_bits_runs_unmerged(tiny_model, prompts):
    loaded = adapted(tiny_model, dtype="bfloat16")
    engine = TransformersEngine(loaded)
    assert engine.model is loaded.model
    assert agrees(engine, loaded, prompts, 0.1)


@pytest.mark.parametrize("make", [load, adapted])
def test_a_copy_in_bfloat16_takes_the_weights_at_a_sync_and_the_policy_keeps_its_own(make, tiny_model, prompts):
    loaded = make(tiny_model)
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    engine = TransformersEngine(loaded, dtype="bfloat16")
    assert not engine.exact
    assert {parameter.dtype for parameter in engine.model.parameters()} == {torch.bfloat16}
    assert agrees(engine, loaded, prompts, 0.15)
    assert all(value.equal(before[name]) for name, value in loaded.model.state_dict().items())
    shake(loaded, "lora_A" if make is adapted else "proj", seed=1)
    assert not agrees(engine, loaded, prompts, 0.3)
    engine.sync(loaded)
    assert agrees(engine, loaded, prompts, 0.15)


def test_a_hundred_syncs_leave_no_memory_behind(tiny_model):
    import gc
    import weakref

    loaded = adapted(tiny_model)
    engine = TransformersEngine(loaded, dtype="bfloat16")

    def alive():
        return sum(isinstance(each, torch.Tensor) for each in gc.get_objects())

    engine.sync(loaded)
    gc.collect()
    before = alive()
    for _ in range(100):
        engine.sync(loaded)
    gc.collect()
    assert alive() <= before
    copied = weakref.ref(engine.shadow.model)
    engine.close()
    engine.close()
    gc.collect()
    assert copied() is None


def test_training_settings_of_the_model_are_left_as_they_were(tiny_model, prompts):
    loaded = adapted(tiny_model, dtype="bfloat16")
    engine = TransformersEngine(loaded)
    loaded.model.train()
    loaded.model.gradient_checkpointing_enable()
    loaded.model.enable_input_require_grads()
    inner = loaded.model.get_base_model().model
    inner.norm.eval()
    before = [module.training for module in loaded.model.modules()]
    engine.generate(prompts, Sampling(max_completion_length=3))
    assert [module.training for module in loaded.model.modules()] == before
    assert inner.config._attn_implementation == "sdpa"
    loaded.model(input_ids=torch.tensor([prompts[1]]), labels=torch.tensor([prompts[1]])).loss.backward()


def test_a_model_that_trl_gave_its_fused_head_generates_the_same(tiny_model, prompts):
    trl = pytest.importorskip("trl.trainer.utils")
    if not hasattr(trl, "add_fused_lm_head"):
        pytest.skip("this TRL has no fused head")
    sampling = Sampling(max_completion_length=8, seed=0)
    plain = TransformersEngine(load(tiny_model)).generate(prompts, sampling)
    patched = load(tiny_model)
    trl.add_fused_lm_head(patched.model)
    assert TransformersEngine(patched).generate(prompts, sampling) == plain
    engine = TransformersEngine(patched, dtype="bfloat16")
    shake(patched, "proj")
    assert not agrees(engine, patched, prompts, 0.3), "the copy runs its own weights, not the patched original's"


def test_four_bits_run_as_they_are(tiny_model, prompts):
    pytest.importorskip("bitsandbytes")
    loaded = adapted(tiny_model, load_in_4bit=True)
    engine = TransformersEngine(loaded, dtype="bfloat16")
    assert engine.model is loaded.model
    assert engine.reach > 0
    assert agrees(engine, loaded, prompts, 0.1)


def test_beyond_its_reach_transformers_own_generate_is_used(tiny_model, prompts):
    loaded = load(tiny_model)
    driven, plain = TransformersEngine(loaded, batch_size=4), TransformersEngine(loaded, batch_size=4)
    plain.reach = 0
    for sampling in (
        Sampling(max_completion_length=9, temperature=0.0, n=2, logprobs=True),
        Sampling(max_completion_length=9, temperature=0.7, top_k=1, repetition_penalty=1.3, logprobs=True),
    ):
        ours, theirs = driven.generate(prompts[:2], sampling), plain.generate(prompts[:2], sampling)
        assert ours.completion_ids == theirs.completion_ids
        for a, b in zip(ours.logprobs, theirs.logprobs, strict=True):
            assert a == pytest.approx(b, abs=1e-4)
    state = torch.random.get_rng_state()
    drawn = Sampling(max_completion_length=9, n=3, seed=2)
    assert plain.generate(prompts, drawn) == plain.generate(prompts, drawn)
    assert torch.random.get_rng_state().equal(state)


def test_models_with_a_state_instead_of_a_cache_generate_too(tiny_model, prompts):
    from transformers import MambaConfig, MambaForCausalLM

    loaded = load(tiny_model)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "vocab_size": len(loaded.tokenizer)}
    torch.manual_seed(0)
    config = MambaConfig(**sizes, pad_token_id=0, bos_token_id=None, eos_token_id=loaded.tokenizer.eos_token_id)
    loaded.model = MambaForCausalLM(config).eval()
    engine = TransformersEngine(loaded)
    assert engine.reach == 0
    made = engine.generate(prompts[1:2], Sampling(max_completion_length=5, temperature=0.0, logprobs=True))
    tokens, logprobs = one_by_one(engine, prompts[1], 5)
    assert made.completion_ids == [tokens]
    assert made.logprobs[0] == pytest.approx(logprobs, abs=1e-4)


@pytest.mark.parametrize(
    "lora",
    [
        {"use_dora": True},
        {"modules_to_save": ["embed_tokens", "lm_head"]},
        {"bias": "lora_only", "use_rslora": True},
        {"target_modules": ["embed_tokens", "q_proj"]},
    ],
)
def test_every_kind_of_adapter_that_a_recipe_can_ask_for_is_merged_exactly(lora, tiny_model, prompts):
    loaded = load(tiny_model, LoraSection(**{"r": 4, "target_modules": "all-linear", **lora}))
    engine = TransformersEngine(loaded)
    pointers = [parameter.data_ptr() for parameter in loaded.model.parameters()]
    for name in ("lora_", "modules_to_save"):
        shake(loaded, name)
    engine.sync(loaded)
    assert agrees(engine, loaded, prompts, 1e-4)
    assert [parameter.data_ptr() for parameter in loaded.model.parameters()] == pointers
    assert not any(getattr(module, "merged_adapters", None) for module in loaded.model.modules())
