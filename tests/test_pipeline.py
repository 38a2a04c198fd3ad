"""A run that is killed, and one that asks for what cannot be."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from conftest import hear_interrupts


def start(file, run_dir, *arguments):
    command = [sys.executable, "-m", "rlkit", "train", str(file), "--run-dir", str(run_dir), *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_interrupts,
    )


def wait_for(path, process, seconds=120):
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_checkpoint_and_ends_as_if_it_had_not_been(recipe_file, tmp_path, rlkit):
    stages = [
        {"sft": {"data": {"completion": "answer"}, "training": {"max_steps": 3}}},
        {"grpo": {"training": {"max_steps": 20, "save_steps": 3, "learning_rate": 1e-3}}},
        {"eval": {"data": {"limit": 4}}},
    ]
    training = {"per_device_train_batch_size": 4, "gradient_checkpointing": False}
    file = recipe_file(stages=stages, training=training, threads=1)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert rlkit("train", file, "--run-dir", whole).code == 0
    process = start(file, killed)
    wait_for(killed / "checkpoints" / "2-grpo" / "checkpoint-6" / "trainer_state.json", process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert [entry["name"] for entry in json.loads((killed / "summary.json").read_text())] == ["sft"]
    done = rlkit("train", file, "--run-dir", killed, "--resume")
    assert done.code == 0, done.err
    assert "sft: done before" in done.err
    assert "goes on from step" in done.err
    names = [entry["name"] for entry in json.loads((killed / "summary.json").read_text())]
    assert names == ["sft", "grpo", "eval"]
    rows = [json.loads(line) for line in (killed / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["stage"] == "grpo"] == list(range(1, 21))
    from safetensors.torch import load_file

    a, b = (load_file(run / "2-grpo" / "model.safetensors") for run in (whole, killed))
    for name in a:
        assert a[name].allclose(b[name], atol=1e-5), name


@pytest.mark.slow
def test_an_interrupted_run_exits_130_and_says_how_to_go_on(recipe_file, tmp_path, rlkit):
    file = recipe_file(training={"max_steps": 500, "per_device_train_batch_size": 4, "save_steps": 2})
    process = start(file, tmp_path / "run")
    wait_for(tmp_path / "run" / "metrics.jsonl", process)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert f"--run-dir {tmp_path / 'run'} --resume" in err
    recipe = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert recipe["training"]["max_steps"] == 500


@pytest.mark.slow
def test_two_processes_train_under_accelerate_and_one_writes(recipe_file, tmp_path, rlkit):
    training = {"max_steps": 2, "per_device_train_batch_size": 2}  # which only two processes make a group of 4
    stages = ["grpo", {"eval": {"data": {"limit": 4}}}, {"grpo": {"name": "more"}}]
    file = recipe_file(stages=stages, training=training)
    done = rlkit("train", file, "--run-dir", "run", "--", "--num_processes", "2", "--cpu", timeout=400)
    assert done.code == 0, done.err
    names = [entry["name"] for entry in json.loads((tmp_path / "run" / "summary.json").read_text())]
    assert names == ["grpo", "eval", "more"]
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 1, 2]
    completions = list((tmp_path / "run" / "completions" / "1-grpo").glob("step_*"))
    assert sorted({path.name.count("rank") for path in completions}) == [0, 1]
    assert done.err.count("stage 1/3") == 1
    failed = rlkit("train", file, "--run-dir", "run", "--", "--num_processes", "2", "--cpu")
    assert failed.code == 2
