"""`lora.warm_start`: what a stage does with the adapter that the stage before left."""

import json
import shutil

import pytest
import torch

from rlkit import pipeline, policy
from rlkit.errors import RequestError
from rlkit.recipe.load import load
from rlkit.recipe.model import ModelSection

IDS = torch.arange(5, 40)[None]


def logits(path):
    with torch.no_grad():
        return policy.load(ModelSection(path=str(path)), train=False).model(IDS).logits


@pytest.fixture
def run(recipe_file, tmp_path):
    """SFT with an adapter that moves far, then GRPO with a KL term."""

    def go(start, **lora):
        sft = {
            "data": {"completion": "answer"},
            "training": {"max_steps": 5, "learning_rate": 0.05, "per_device_train_batch_size": 4},
        }
        training = {"max_steps": 2, "beta": 0.1, "logging_steps": 1, "per_device_train_batch_size": 4}
        grpo = {"lora": {"warm_start": start, **lora}, "training": training}
        recipe = recipe_file(lora={"r": 2}, stages=[{"sft": sft}, {"grpo": grpo}], training=None)
        return pipeline.train(load(str(recipe)), tmp_path / start)

    return go


@pytest.mark.parametrize(
    ("start", "lora", "base"),
    [("continue", {}, "tiny"), ("merge", {"r": 4}, "2-grpo-base"), ("fresh", {"r": 4}, "tiny")],
)
def test_the_kl_reference_is_the_model_as_the_stage_finds_it(run, tiny_model, tmp_path, start, lora, base):
    made = run(start, **lora)
    first = made.metrics("grpo")[0]
    assert first["kl"] == pytest.approx(0.0, abs=1e-6)
    config = json.loads((made.path / "2-grpo" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"].endswith(base)
    assert config["r"] == lora.get("r", 2)
    after_sft, after = logits(made.path / "1-sft"), logits(made.path / "2-grpo")
    assert (after_sft - logits(tiny_model)).norm() > 1.0, "SFT moved the model"
    expected = logits(tiny_model) if start == "fresh" else after_sft
    assert (after - expected).norm() < 0.1 * (after_sft - logits(tiny_model)).norm(), "two small steps from there"


def test_a_run_that_was_moved_finds_what_its_adapter_was_merged_into(run, tmp_path):
    made = run("merge")
    before = logits(made.path / "2-grpo")
    shutil.move(made.path, tmp_path / "moved")
    torch.testing.assert_close(logits(tmp_path / "moved" / "2-grpo"), before)


def test_another_adapter_than_the_last_stages_has_to_say_how_it_starts(recipe_file):
    stages = [{"sft": {"data": {"completion": "answer"}}}, {"grpo": {"lora": {"r": 8}}}]
    with pytest.raises(RequestError, match="warm_start: merge"):
        load(str(recipe_file(lora={"r": 2}, stages=stages)))
    stages[1]["grpo"]["lora"]["warm_start"] = "merge"
    load(str(recipe_file(lora={"r": 2}, stages=stages)))
