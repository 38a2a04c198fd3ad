"""GRPO on engines that have their own copy of the weights."""

import json
import sys
import threading
import time
from pathlib import Path

import pytest

from rlkit import pipeline
from rlkit.errors import RunError
from rlkit.progress import Progress
from rlkit.recipe.load import load

sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))
import serving

pytestmark = pytest.mark.slow
REWARDS = [{"length": {"target": 4, "unit": "characters"}}]
TRAINING = {
    "max_steps": 4,
    "per_device_train_batch_size": 8,
    "gradient_checkpointing": False,
    "learning_rate": 1e-2,
    "save_steps": 2,
}


def train(file, run_dir, *overrides, **settings):
    return pipeline.train(load(str(file), overrides), run_dir, progress=Progress(quiet=True), **settings)


SELECTS = {"select": {"metric": "length"}, "eval": {"data": {"limit": 4}}}
"""Checkpoints are measured with the engine that trains."""


def split(rows):
    """The rows of training steps, and the steps at which checkpoints were measured."""
    return [row for row in rows if "reward" in row], [row["step"] for row in rows if "eval_length" in row]


def moved(run):
    """How far the adapter is from where it began, which is zero."""
    from safetensors.torch import load_file

    weights = load_file(run.model() / "adapter_model.safetensors")
    return max(float(tensor.abs().max()) for name, tensor in weights.items() if "lora_B" in name)


@pytest.mark.parametrize("lora", [None, {"r": 4}], ids=["full", "lora"])
def test_vllm_in_process_has_the_weights_of_each_step(recipe_file, tmp_path, lora):
    generation = {"num_generations": 4, "max_completion_length": 8, "engine": "vllm", "check_sync": True}
    file = recipe_file(generation=generation, lora=lora, rewards=REWARDS, training=TRAINING, **SELECTS)
    run = train(file, tmp_path / "run")
    rows, measured = split(run.metrics("grpo"))
    assert measured == [0, 2, 4]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert row["time/generate"] > 0 and row["time/sync"] > 0
        assert row["sampling/importance_sampling_ratio/mean"] == pytest.approx(1.0, abs=0.02)
    if lora:
        assert moved(run) > 1e-3


def test_generation_runs_ahead_of_training_on_a_server(recipe_file, tmp_path, tiny_model):
    served = serving.server(tiny_model)
    generation = {"num_generations": 4, "max_completion_length": 8, "engine": "vllm_server"}
    generation |= {"servers": [served.address], "check_sync": True}
    sections = {"generation": generation, "lora": {"r": 4}, "rewards": REWARDS, "training": TRAINING}
    run = train(recipe_file(groups={"overlap": True}, **sections, **SELECTS), tmp_path / "run")
    rows, measured = split(run.metrics("grpo"))
    assert measured == [0, 2, 4]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    ratios = [row["sampling/importance_sampling_ratio/mean"] for row in rows]
    assert ratios[0] == pytest.approx(1.0, abs=1e-3), "the first step has nothing to run ahead of"
    assert any(abs(ratio - 1.0) > 1e-3 for ratio in ratios[1:]), "the others are one step off-policy, and weighed"
    assert moved(run) > 1e-3


def test_a_run_whose_servers_die_resumes_on_another_from_its_checkpoint(recipe_file, tmp_path, tiny_model):
    doomed = serving.Running(tiny_model, "first").wait()
    generation = {"num_generations": 4, "max_completion_length": 8, "engine": "vllm_server"}
    generation["servers"] = [doomed.address]
    sections = {"generation": generation, "lora": {"r": 4}, "rewards": REWARDS}
    file = recipe_file(training={**TRAINING, "max_steps": 400, "save_steps": 2}, **sections)
    folder = tmp_path / "run"

    def kill():
        while not list((folder / "checkpoints").glob("*/checkpoint-4/trainer_state.json")):
            time.sleep(0.05)
        doomed.kill()

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(RunError, match=r"(?s)none is left.*--resume"):
        train(file, folder)
    before = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert before[-1]["step"] >= 4
    other = serving.server(tiny_model)
    with pytest.raises(Stopped):
        train_until(file, folder, before[-1]["step"] + 1, f"generation.servers=[{other.address}]")
    after = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in after] == list(range(1, len(after) + 1))
    kept = max(row["step"] for row in before) // 2 * 2
    assert after[: kept - 2] == before[: kept - 2], "what stood before the checkpoint stands"


class Stopped(Exception):
    """The run has gone far enough."""


def train_until(file, folder, step, *overrides):
    """Resume a run, and break it off once it is past a step."""
    lines = []

    class Watching(Progress):
        def step(self, line, last=False):
            lines.append(line)
            if f"grpo {step}/" in line:
                raise Stopped

    pipeline.train(load(str(file), overrides), folder, resume=True, progress=Watching(quiet=True))
