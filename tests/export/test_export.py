"""Merging, and the gate that every copy goes through."""

import dataclasses
import json
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlkit import policy
from rlkit.errors import RequestError, RunError
from rlkit.export import export, parity
from rlkit.export.artifact import Artifact, sha256
from rlkit.export.source import Source
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import ModelSection

IDS = torch.arange(5, 40)[None]


def logits(model):
    with torch.no_grad():
        return model(IDS).logits


@pytest.fixture
def base(tiny_model, tmp_path):
    """The tiny model as a base in bfloat16, as most are."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "base")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def adapter(tmp_path):
    """Save an adapter on a model whose tensors are not what they were made as."""

    def make(path, folder="adapter", lora=None, **model):
        loaded = policy.load(ModelSection(path=str(path), **model), LoraSection(**{"r": 4, **(lora or {})}))
        generator = torch.Generator().manual_seed(0)
        for parameter in loaded.model.parameters():
            if parameter.requires_grad:
                parameter.data.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
        loaded.model.save_pretrained(tmp_path / folder)
        loaded.tokenizer.save_pretrained(tmp_path / folder)
        return tmp_path / folder

    return make


def test_a_merged_adapter_is_a_whole_model_in_the_bases_dtype(base, adapter, tmp_path):
    path = adapter(base)
    made = export.to_merged(Source.find(str(path)), tmp_path / "out")
    assert (made.kind, made.dtype, made.problems) == ("merged", "bfloat16", [])
    assert {check.name for check in made.checks} == {"tokens", "template", "greedy", "logits"}
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    assert not (tmp_path / "out" / "adapter_config.json").exists()
    trained = policy.load(ModelSection(path=str(path), dtype="float32"), train=False).model
    assert (logits(model) - logits(trained)).norm() < 0.02 * logits(trained).norm()
    assert (logits(model) - logits(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32))).norm() > 1.0
    stored = json.loads((tmp_path / "out" / "config.json").read_text())
    assert stored["dtype"] == "bfloat16"


@pytest.mark.parametrize("lora", [{"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"use_rslora": True}], ids=str)
def test_every_kind_of_adapter_is_merged_exactly_in_32_bits(tiny_model, adapter, tmp_path, lora):
    path = adapter(tiny_model, lora=lora)
    made = export.to_merged(Source.find(str(path)), tmp_path / "out", "float32")
    assert next(check.value for check in made.checks if check.name == "logits") < 1e-5
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    trained = policy.load(ModelSection(path=str(path)), train=False).model
    torch.testing.assert_close(logits(model), logits(trained), atol=1e-4, rtol=1e-4)


def test_what_was_trained_over_4_bits_is_merged_into_the_base_in_16(base, adapter, tmp_path):
    pytest.importorskip("bitsandbytes")
    path = adapter(base, load_in_4bit=True)
    source = dataclasses.replace(Source.find(str(path)), in_4bit=True)
    made = export.to_merged(source, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert "quantization_config" not in config
    assert 0.0 < next(check.value for check in made.checks if check.name == "kl to 4 bits") < 0.5
    assert made.dtype == "bfloat16"
    assert made.problems == []


def test_tokens_that_a_template_added_and_files_of_the_tokenizer_are_carried_along(tiny_model, adapter, tmp_path):
    base = tmp_path / "spm"
    shutil.copytree(tiny_model, base)
    (base / "tokenizer.model").write_bytes(b"a sentencepiece model")
    path = adapter(base, chat_template="chatml", lora={"modules_to_save": ["embed_tokens", "lm_head"]})
    export.to_merged(Source.find(str(path)), tmp_path / "out")
    assert (tmp_path / "out" / "tokenizer.model").read_bytes() == b"a sentencepiece model"
    config = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert "<|im_end|>" in {token["content"] for token in config["added_tokens_decoder"].values()}
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert "<|im_start|>" in tokenizer.chat_template
    generation = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") in generation["eos_token_id"]


def test_a_run_is_exported_by_its_last_model_and_compared_on_its_own_prompts(recipe_file, tiny_model, tmp_path):
    from rlkit import pipeline
    from rlkit.recipe.load import load

    recipe = recipe_file(lora={"r": 2}, stages=[{"grpo": {}}, {"eval": {"data": None}}])
    run = pipeline.train(load(str(recipe)), tmp_path / "first-20260101-120000")
    source = Source.find(str(run.path))
    assert source.name == "first"
    assert "How many are" in source.prompts(3)[0][-1]["content"]
    assert len(source.prompts(3)) == 3
    made = export.to_merged(source, tmp_path / "out")
    assert (made.run, made.stage) == (str(run.path), "1-grpo")
    assert made.prompts == export.PROMPTS
    again = Artifact.read(tmp_path / "out")
    assert again == made
    assert again.changed() == []


def test_a_checkpoint_and_an_earlier_stage_are_known_as_the_runs(recipe_file, tmp_path):
    from rlkit import pipeline
    from rlkit.recipe.load import load

    training = {"max_steps": 2, "per_device_train_batch_size": 4, "save_steps": 1, "gradient_checkpointing": False}
    run = pipeline.train(load(str(recipe_file(training=training))), tmp_path / "run").path
    for folder in ("1-grpo", "checkpoints/1-grpo/checkpoint-1"):
        source = Source.find(str(run / folder), "mine")
        assert (source.run, source.stage, source.name) == (run, folder, "mine")
        assert "How many are" in source.prompts(1)[0][-1]["content"]


def test_a_copy_that_differs_is_told_from_the_model_that_was_trained(tiny_model, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    trained = parity.Loaded.of(tiny_model).policy
    reference = parity.Reference.of(trained, [[{"role": "user", "content": "How many?"}], "plain text"])
    assert all(check.passed for check in reference.compare(parity.Loaded.of(copy), ".", "float32"))

    model = AutoModelForCausalLM.from_pretrained(copy)
    model.model.layers[1].mlp.down_proj.weight.data.mul_(1.3)
    model.save_pretrained(copy)
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.chat_template = tokenizer.chat_template.replace("assistant", "model", 1) + " "
    tokenizer.add_tokens(["How"])
    tokenizer.save_pretrained(copy)
    failed = {check.name: check for check in reference.compare(parity.Loaded.of(copy), ".", "float32")}
    assert not any(failed[name].passed for name in ("tokens", "template", "logits"))
    assert "How" in failed["tokens"].detail


def test_a_copy_that_fails_keeps_its_files_and_says_what_differs(tiny_model, tmp_path, monkeypatch):
    """A merge that goes wrong: weights that are not the trained ones are on disk."""
    from rlkit.export import merged

    right = merged.write

    def wrong(*args):
        saved = right(*args)
        saved.model.model.layers[0].self_attn.o_proj.weight.data.zero_()
        saved.model.save_pretrained(args[1])
        return saved

    monkeypatch.setattr(merged, "write", wrong)
    with pytest.raises(RunError, match="logits"):
        export.to_merged(Source.find(str(tiny_model)), tmp_path / "out")
    assert Artifact.read(tmp_path / "out").problems
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_a_folder_that_is_there_is_left_alone(tiny_model, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(RequestError, match="exists"):
        export.to_merged(Source.find(str(tiny_model)), tmp_path / "out")
    with pytest.raises(RequestError, match="float8"):
        export.to_merged(Source.find(str(tiny_model)), tmp_path / "new", "float8")
    assert not (tmp_path / "new").exists()


def test_a_model_that_is_not_there_leaves_nothing(tmp_path):
    with pytest.raises(RequestError):
        export.to_merged(Source.find(str(tmp_path / "none" / "at all")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_changed_after_the_comparison_is_seen(tiny_model, tmp_path):
    made = export.to_merged(Source.find(str(tiny_model)), tmp_path / "out")
    (tmp_path / "out" / "config.json").write_text("{}")
    assert made.changed() == ["config.json"]
    assert sha256(tmp_path / "nothing") is None


def test_the_command_line_exports(rlkit, tiny_model, tmp_path):
    done = rlkit("export", tiny_model, "--to", "merged", "-o", "out", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["kind"] == "merged"
    assert "ok   .  greedy 0" in done.err
    again = rlkit("export", tiny_model, "--to", "merged", "-o", "out")
    assert again.code == 2
    assert "exists" in again.err
    assert rlkit("export", tiny_model, "--to", "gguf", "-o", "gguf", "--dtype", "float16").code == 2
