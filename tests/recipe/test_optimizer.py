import importlib.util

import pytest
import yaml

from rlkit.recipe import optimizer


@pytest.mark.parametrize("name", [None, "adamw_torch", "adamw_8bit", "lion_8bit", "adamw_torch_fused", "sgd"])
def test_what_works_here_passes(name):
    pytest.importorskip("bitsandbytes")
    assert optimizer.problem(name, cuda=False) is None
    assert optimizer.problem("paged_adamw_8bit", cuda=True) is None


@pytest.mark.parametrize(
    ("paged", "nearest"),
    [
        ("paged_adamw_8bit", "adamw_8bit"),
        ("paged_adamw_32bit", "adamw_torch"),
        ("paged_lion_8bit", "lion_8bit"),
        ("paged_ademamix_8bit", "ademamix_8bit"),
        ("paged_ademamix_32bit", "ademamix"),
    ],
)
def test_without_a_gpu_the_nearest_of_a_paged_one_is_named(paged, nearest):
    from transformers.training_args import OptimizerNames

    said = optimizer.problem(paged, cuda=False)
    assert said.endswith(f"use {nearest}")
    assert nearest in {name.value for name in OptimizerNames}


def test_without_bitsandbytes_the_way_to_it_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "rlkit[bnb]" in optimizer.problem("adamw_8bit", cuda=False)


def test_a_recipe_that_asks_for_pages_on_a_cpu_is_refused_before_anything_is_written(rlkit, recipe_file, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU, whose memory pages")
    recipe = recipe_file()
    body = yaml.safe_load(recipe.read_text())
    body["training"]["optim"] = "paged_adamw_8bit"
    recipe.write_text(yaml.safe_dump(body))
    done = rlkit("train", recipe, "--run-dir", "out")
    assert done.code == 2
    assert "use adamw_8bit" in done.err
    assert not (tmp_path / "out").exists()


def test_an_8_bit_optimizer_trains_for_real(recipe_file, tmp_path):
    pytest.importorskip("bitsandbytes")
    from rlkit import pipeline
    from rlkit.recipe.load import load

    training = {
        "max_steps": 1,
        "per_device_train_batch_size": 4,
        "optim": "adamw_8bit",
        "gradient_checkpointing": False,
    }
    made = pipeline.train(load(str(recipe_file(training=training))), tmp_path / "run")
    assert made.summary()[0]["metrics"]["steps"] == 1
