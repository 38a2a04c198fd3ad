import pytest
import torch

from rlkit import policy
from rlkit.errors import RequestError
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import ModelSection


def load(path, lora=None, train=True, **fields):
    return policy.load(ModelSection(path=str(path), **fields), lora, train)


def save(loaded, folder):
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)


def logits(loaded):
    ids = torch.tensor([[70, 71, 72, 73]])
    with torch.no_grad():
        return loaded.model(ids).logits


def test_full_fine_tuning_trains_everything_in_float32(tiny_model):
    loaded = load(tiny_model)
    assert all(p.requires_grad and p.dtype is torch.float32 for p in loaded.model.parameters())
    assert any("are trained (100.00%)" in note for note in loaded.notes)
    assert not hasattr(loaded.model, "peft_config")


def test_lora_trains_the_adapter_alone_and_changes_nothing_at_first(tiny_model):
    loaded = load(tiny_model, LoraSection(r=2, target_modules=["q_proj"]))
    trained = [name for name, p in loaded.model.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_" in name and "q_proj" in name for name in trained)
    torch.testing.assert_close(logits(loaded), logits(load(tiny_model)))


def test_a_saved_adapter_is_loaded_on_its_base_and_trained_on(tiny_model, tmp_path):
    loaded = load(tiny_model, LoraSection(r=2))
    for name, p in loaded.model.named_parameters():
        if "lora_B" in name:
            p.data.normal_()
    save(loaded, tmp_path / "adapter")
    again = load(tmp_path / "adapter", LoraSection(r=2))
    assert hasattr(again.model, "peft_config")
    assert any(p.requires_grad for p in again.model.parameters())
    torch.testing.assert_close(logits(again), logits(loaded))
    frozen = load(tmp_path / "adapter", train=False)
    assert not any(p.requires_grad for p in frozen.model.parameters())


def test_what_is_saved_is_safetensors_that_transformers_loads(tiny_model, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = load(tiny_model)
    save(loaded, tmp_path / "model")
    assert not list((tmp_path / "model").glob("*.bin"))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    torch.testing.assert_close(model(torch.tensor([[70, 71, 72, 73]])).logits.detach(), logits(loaded))
    assert AutoTokenizer.from_pretrained(tmp_path / "model").chat_template == loaded.tokenizer.chat_template


def test_four_bits_for_real(tiny_model):
    pytest.importorskip("bitsandbytes")
    loaded = load(tiny_model, LoraSection(r=2), load_in_4bit=True)
    kinds = {type(module).__name__ for module in loaded.model.modules()}
    assert "Linear4bit" in kinds
    loss = loaded.model(torch.tensor([[70, 71, 72]]), labels=torch.tensor([[70, 71, 72]])).loss
    loss.backward()
    assert any(p.grad is not None for name, p in loaded.model.named_parameters() if "lora_A" in name)


def test_a_policy_in_4_bits_still_learns_after_it_has_generated(tiny_model):
    pytest.importorskip("bitsandbytes")
    loaded = load(tiny_model, LoraSection(r=2), load_in_4bit=True)
    torch.manual_seed(0)
    for name, p in loaded.model.named_parameters():
        if "lora_B" in name:
            p.data.normal_()
    ids = torch.tensor([[70, 71, 72, 73]])

    def gradients():
        loaded.model.train().zero_grad()
        loaded.model(ids, labels=ids).loss.backward()
        return {name: p.grad.clone() for name, p in loaded.model.named_parameters() if p.grad is not None}

    before = gradients()
    with torch.no_grad():
        loaded.model.eval()(ids)
    after = gradients()
    assert before.keys() == after.keys()
    for name, gradient in before.items():
        torch.testing.assert_close(after[name], gradient, msg=name)


def test_weights_in_4_bits_are_counted_as_weights(tiny_model):
    pytest.importorskip("bitsandbytes")
    told = [load(tiny_model, LoraSection(r=2), load_in_4bit=quantized).notes[-1] for quantized in (False, True)]
    assert told[0] == told[1]


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("double", [True, False])
def test_the_4_bits_are_those_asked_for(tiny_model, kind, double):
    pytest.importorskip("bitsandbytes")
    asked = {"bnb_4bit_quant_type": kind, "bnb_4bit_use_double_quant": double, "bnb_4bit_compute_dtype": "bfloat16"}
    loaded = load(tiny_model, LoraSection(r=2), load_in_4bit=True, **asked)
    layer = next(module for module in loaded.model.modules() if hasattr(module, "compute_dtype"))
    assert layer.weight.quant_state.quant_type == kind
    assert layer.weight.quant_state.nested is double
    assert layer.compute_dtype is torch.bfloat16


def test_settings_of_4_bits_need_4_bits():
    with pytest.raises(ValueError, match="load_in_4bit: true"):
        ModelSection(path="x", bnb_4bit_quant_type="fp4")


@pytest.mark.parametrize(
    "lora",
    [
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": "orthogonal"},
        {"init_lora_weights": "olora"},
        {"init_lora_weights": "pissa"},
        {"layers_to_transform": [1], "target_modules": ["q_proj"]},
        {"rank_pattern": {"q_proj": 1}, "alpha_pattern": {"q_proj": 8}},
        {"exclude_modules": ["down_proj"]},
        {"trainable_token_indices": [3, 4]},
        {"lora_bias": True},
        {"use_rslora": True, "use_dora": True},
        {"target_parameters": ["mlp.down_proj.weight"], "target_modules": ["q_proj"]},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")
def test_an_adapter_of_any_kind_is_the_same_when_it_is_loaded_again(tiny_model, tmp_path, lora):
    loaded = load(tiny_model, LoraSection(**{"r": 2, **lora}))
    generator = torch.Generator().manual_seed(0)
    for parameter in loaded.model.parameters():
        if parameter.requires_grad:
            parameter.data.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    save(loaded, tmp_path / "adapter")
    torch.testing.assert_close(logits(load(tmp_path / "adapter", train=False)), logits(loaded), atol=1e-4, rtol=1e-4)


def test_every_setting_of_an_adapter_is_one_of_pefts_with_its_default():
    import dataclasses

    import peft

    theirs = {field.name: field for field in dataclasses.fields(peft.LoraConfig)}
    ours = LoraSection().arguments()
    assert ours.keys() <= theirs.keys()
    own = {"r", "lora_alpha", "target_modules"}  # the recipe's own defaults
    for name in ours.keys() - own:
        field = theirs[name]
        default = field.default if field.default is not dataclasses.MISSING else field.default_factory()
        assert ours[name] == default, name


def test_an_adapter_that_trains_nothing_is_refused(tiny_model):
    with pytest.raises(RequestError, match="lora"):
        load(tiny_model, LoraSection(layers_to_transform=[7], target_modules=["q_proj"]))


def test_a_base_model_gets_chatml(tiny_model, tmp_path):
    from transformers import AutoTokenizer

    bare = AutoTokenizer.from_pretrained(tiny_model)
    bare.chat_template = None
    policy.load(ModelSection(path=str(tiny_model))).model.save_pretrained(tmp_path / "base")
    bare.save_pretrained(tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").unlink(missing_ok=True)
    loaded = load(tmp_path / "base", chat_template="chatml")
    text = loaded.tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert loaded.tokenizer.eos_token == "<|im_end|>"
    assert loaded.model.generation_config.eos_token_id == loaded.tokenizer.eos_token_id
    assert loaded.model.get_input_embeddings().num_embeddings >= len(loaded.tokenizer)


@pytest.mark.parametrize(
    ("asked", "frozen", "dtype", "said"),
    [
        ("auto", False, torch.float32, "small updates are lost"),
        ("auto", True, torch.float32, "on a CPU"),
        ("float32", True, torch.float32, "as asked"),
        ("float16", True, torch.float16, "overflows easily"),
    ],
)
def test_the_dtype_is_chosen_and_said(asked, frozen, dtype, said):
    if torch.cuda.is_available():
        pytest.skip("tells of the choice on a CPU")
    chosen, note = policy.choose_dtype(asked, frozen)
    assert chosen is dtype
    assert said in note


def test_what_is_no_model_is_refused(tiny_model, tmp_path):
    with pytest.raises(RequestError, match="there is no such folder"):
        load(tmp_path / "absent")
    with pytest.raises(RequestError, match=r"no config\.json"):
        load(tmp_path)
    with pytest.raises(RequestError, match="the hub cannot be reached"):
        load("nobody/nothing")
    with pytest.raises(RequestError, match="target_modules 'q_prjo'"):
        load(tiny_model, LoraSection(target_modules="q_prjo"))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RequestError, match="tokenizer"):
        load(tmp_path)


def test_an_adapter_trained_with_chatml_is_loaded_again(tiny_model, tmp_path):
    loaded = load(tiny_model, LoraSection(r=2), chat_template="chatml")
    save(loaded, tmp_path / "adapter")
    again = load(tmp_path / "adapter", train=False)
    assert len(again.tokenizer) == len(loaded.tokenizer)
    torch.testing.assert_close(logits(again), logits(loaded))


def test_an_adapters_base_is_found_from_any_folder_and_beside_it_when_moved(tiny_model, tmp_path, monkeypatch):
    import shutil

    shutil.copytree(tiny_model, tmp_path / "run" / "1-sft")
    monkeypatch.chdir(tmp_path)
    save(load("run/1-sft", LoraSection(r=2)), tmp_path / "run" / "2-grpo")
    monkeypatch.chdir("/")
    expected = logits(load(tmp_path / "run" / "2-grpo", train=False))
    shutil.move(tmp_path / "run", tmp_path / "moved")
    torch.testing.assert_close(logits(load(tmp_path / "moved" / "2-grpo", train=False)), expected)
    shutil.rmtree(tmp_path / "moved" / "1-sft")
    with pytest.raises(RequestError, match="is an adapter, and its base is not there"):
        load(tmp_path / "moved" / "2-grpo", train=False)


def test_new_tokens_under_an_adapter_are_told(tiny_model):
    loaded = load(tiny_model, LoraSection(r=2), chat_template="chatml")
    assert any("lora.modules_to_save" in note for note in loaded.notes)
