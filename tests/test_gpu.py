"""What only a GPU shows: run with pytest -m gpu."""

import json

import pytest
import torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize(
    "fields",
    [{}, {"lora": {"r": 4}}, {"lora": {"r": 4}, "four_bits": True}],
    ids=["full", "lora", "4-bit"],
)
def test_grpo_trains_on_the_gpu_in_the_dtype_that_it_computes_best(rlkit, recipe_file, tiny_model, tmp_path, fields):
    sections = dict(fields)
    four_bits = sections.pop("four_bits", False)
    file = recipe_file(model={"path": str(tiny_model), "load_in_4bit": four_bits}, **sections)
    done = rlkit("train", file, "--run-dir", "run")
    assert done.code == 0, done.err
    assert ("dtype bfloat16" if fields else "dtype float32") in done.err
    (entry,) = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert entry["metrics"]["steps"] == 2


@pytest.mark.parametrize("fast", [False, True], ids=["its own generation", "fast inference"])
def test_unsloth_trains_and_generates(rlkit, recipe_file, tiny_model, tmp_path, fast):
    pytest.importorskip("unsloth")
    if fast:
        pytest.importorskip("vllm")
    model = {"path": str(tiny_model), "backend": "unsloth", "fast_inference": fast, "dtype": "bfloat16"}
    done = rlkit("train", recipe_file(model=model, lora={"r": 8}), "generation.check_sync=true", "--run-dir", "run")
    assert done.code == 0, done.err
    assert ("model.fast_inference started it" in done.err) == fast
    (entry,) = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert entry["metrics"]["steps"] == 2


def test_the_quickstart_reaches_its_bar_on_a_gpu_too(rlkit, tmp_path):
    done = rlkit("train", "quickstart", "--run-dir", "run", timeout=580)
    assert done.code == 0, done.err
    after = json.loads((tmp_path / "run" / "summary.json").read_text())[-1]["metrics"]
    assert after["accuracy"] >= 0.95
