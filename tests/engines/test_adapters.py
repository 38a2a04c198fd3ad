import json

import pytest
import torch
import transformers
from safetensors.torch import load_file

from rlkit.engines import adapters
from rlkit.policy import load
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import ModelSection


@pytest.fixture
def trained(tiny_model):
    """A policy with an adapter whose tensors are not what they were made as."""

    def make(**lora):
        policy = load(ModelSection(path=str(tiny_model)), LoraSection(**{"r": 4, **lora}))
        generator = torch.Generator().manual_seed(0)
        for parameter in policy.model.parameters():
            if parameter.requires_grad:
                parameter.data.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        policy.model.eval()
        return policy

    return make


def logits(model):
    with torch.no_grad():
        return model(torch.arange(5, 25)[None]).logits


def test_an_adapter_is_told_from_a_policy_whose_weights_are_all_trained(tiny_model, trained):
    full = load(ModelSection(path=str(tiny_model)))
    assert not adapters.is_adapter(full)
    assert "no adapter" in adapters.hot_swappable(full)
    policy = trained(r=12)
    assert adapters.is_adapter(policy)
    assert adapters.hot_swappable(policy) is None
    assert adapters.rank(policy) == 12


def test_the_largest_rank_of_a_layer_counts(trained):
    policy = trained()
    policy.model.peft_config["default"].rank_pattern = {"q_proj": 32}
    assert adapters.rank(policy) == 32


@pytest.mark.parametrize(
    ("lora", "why"),
    [
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias=all"),
        ({"target_modules": ["q_proj", "embed_tokens"]}, "embed_tokens"),
        ({"target_modules": ["q_proj", "lm_head"]}, "lm_head"),
        ({"r": 600}, "rank 600"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_what_vllm_cannot_take_is_named(trained, lora, why):
    assert why in adapters.hot_swappable(trained(**lora))


def test_several_active_adapters_and_changed_bases_cannot_be_swapped(trained):
    policy = trained()
    policy.model.peft_config["default"].init_lora_weights = "pissa"
    assert "init_lora_weights=pissa" in adapters.hot_swappable(policy)
    policy.model.add_adapter("other", policy.model.peft_config["default"].__class__(r=2, target_modules=["q_proj"]))
    policy.model.base_model.set_adapter(["default", "other"])
    assert "several adapters" in adapters.hot_swappable(policy)


def test_a_published_adapter_gives_the_same_logits_on_the_base(trained, tiny_model, tmp_path):
    import peft

    policy = trained()
    folder = adapters.publish(policy, tmp_path / "adapters", 7)
    assert folder == tmp_path / "adapters" / "step-7"
    assert [path.name for path in (tmp_path / "adapters").iterdir()] == ["step-7"]
    assert {path.name for path in folder.iterdir()} == {"adapter_model.safetensors", "adapter_config.json"}
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_model)
    base = transformers.AutoModelForCausalLM.from_pretrained(tiny_model)
    again = peft.PeftModel.from_pretrained(base, str(folder)).eval()
    assert torch.equal(logits(again), logits(policy.model))


def test_a_version_is_replaced_and_other_adapters_are_left_out(trained, tmp_path):
    policy = trained()
    policy.model.add_adapter("ref", policy.model.peft_config["default"])
    first = load_file(adapters.publish(policy, tmp_path, 1) / "adapter_model.safetensors")
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if ".default." in name:
                parameter.add_(1.0)
    second = load_file(adapters.publish(policy, tmp_path, 1) / "adapter_model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert first.keys() == second.keys()
    assert not any("ref" in name.split(".") or "default" in name.split(".") for name in first)
    assert all(torch.equal(first[name] + 1.0, second[name]) for name in first)
    assert policy.model.peft_config["default"].inference_mode is False


@pytest.mark.parametrize("lora", [{}, {"target_modules": "all-linear"}], ids=str)
def test_what_is_published_is_what_peft_would_save(trained, tmp_path, lora):
    import peft

    policy = trained(**lora)
    policy.model.add_adapter("ref", policy.model.peft_config["default"])
    found = load_file(adapters.publish(policy, tmp_path, 1) / "adapter_model.safetensors")
    expected = peft.get_peft_model_state_dict(policy.model, adapter_name="default", save_embedding_layers=False)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_a_failed_publication_leaves_nothing(trained, tmp_path, monkeypatch):
    policy = trained()
    monkeypatch.setattr(policy.model.peft_config["default"], "target_modules", {object()})  # no JSON can hold it
    with pytest.raises(TypeError):
        adapters.publish(policy, tmp_path, 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "lora",
    [
        {},
        {"use_dora": True},
        {"bias": "all"},
        {"modules_to_save": ["norm"]},
        {"modules_to_save": ["embed_tokens", "lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_whole_weights_are_those_of_the_policy_which_stays_as_it_is(trained, tmp_path, lora):
    policy = trained(**lora)
    before = {name: value.clone() for name, value in policy.model.state_dict().items()}
    merged = transformers.AutoModelForCausalLM.from_pretrained(adapters.save(policy, tmp_path / "all", merge=True))
    torch.testing.assert_close(logits(merged), logits(policy.model), atol=1e-4, rtol=0)
    base = transformers.AutoModelForCausalLM.from_pretrained(adapters.save(policy, tmp_path / "base"))
    with policy.model.disable_adapter():
        assert torch.equal(logits(base), logits(policy.model))
    after = policy.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], value) for name, value in after.items())


def test_tied_weights_stand_under_each_name(tiny_model, trained):
    for policy in (load(ModelSection(path=str(tiny_model))), trained()):
        weights = adapters.weights(policy, merge=adapters.is_adapter(policy))
        assert weights["lm_head.weight"].data_ptr() == weights["model.embed_tokens.weight"].data_ptr()
        assert len(weights) == 21
