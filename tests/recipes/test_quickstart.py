"""The quickstart as a user runs it, held to its bar."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def test_make_quickstart_is_setup_and_the_recipe():
    done = subprocess.run(["make", "-n", "quickstart"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert "rlkit train quickstart" in done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    import sys

    folder = tmp_path_factory.mktemp("quickstart")
    command = [sys.executable, "-m", "rlkit", "train", "quickstart", "--run-dir", "run"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    return folder / "run", done


@pytest.mark.slow
def test_grpo_mends_what_sft_copied(run):
    path, _ = run
    stages = json.loads((path / "summary.json").read_text())
    assert [(s["stage"], s["name"]) for s in stages] == [
        ("sft", "sft"),
        ("eval", "before"),
        ("grpo", "grpo"),
        ("eval", "after"),
    ]
    before, after = stages[1]["metrics"], stages[3]["metrics"]
    assert before["n"] == after["n"] == 500
    assert after["accuracy"] >= 0.95
    assert after["accuracy"] - before["accuracy"] >= 0.40
    assert after["strict_format"] >= 0.95
    assert after["accuracy_low"] < after["accuracy"] <= after["accuracy_high"]


@pytest.mark.slow
def test_plain_transformers_loads_the_model_and_it_adds(run):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rlkit.prompts import SYSTEM_PROMPTS

    path, _ = run
    model = AutoModelForCausalLM.from_pretrained(path / "3-grpo")
    tokenizer = AutoTokenizer.from_pretrained(path / "3-grpo")
    assert 400_000 < sum(p.numel() for p in model.parameters()) < 600_000
    samples = [json.loads(line) for line in (path / "4-after" / "samples.jsonl").read_text().splitlines()[:5]]
    for sample in samples:
        question = sample["prompt"][-1]["content"]
        messages = [{"role": "system", "content": SYSTEM_PROMPTS["xml"]}, {"role": "user", "content": question}]
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            ids = model.generate(**inputs, max_new_tokens=40, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        assert tokenizer.decode(ids, skip_special_tokens=True) == sample["completion"]


@pytest.mark.slow
def test_it_is_visible_as_it_runs(run):
    path, done = run
    assert done.stdout == "run\n"
    for part in ("stage 1/4 sft", "from scratch: llama", "grpo ", "strict_format", "left", "accuracy"):
        assert part in done.stderr
    assert (path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_groups_from_vllm_reach_the_bar_too(run, tmp_path, rlkit):
    """From the same warm start, which takes as long again to make."""
    path, _ = run
    recipe = yaml.safe_load((ROOT / "recipes" / "quickstart.yaml").read_text())
    recipe |= {"model": {"path": str(path / "1-sft")}, "stages": recipe["stages"][2:]}
    recipe["generation"]["engine"] = "vllm"
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    done = rlkit("train", "recipe.yaml", "--run-dir", "run", timeout=580)
    assert done.code == 0, done.err
    assert "engine vllm" in done.err
    (after,) = [
        s["metrics"] for s in json.loads((tmp_path / "run" / "summary.json").read_text()) if s["name"] == "after"
    ]
    assert after["accuracy"] >= 0.95
    assert after["strict_format"] >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize(("model", "measured"), [("1-sft", "2-before"), ("3-grpo", "4-after")])
def test_vllm_measures_what_transformers_measured_to_the_last_token(run, tmp_path, rlkit, model, measured):
    pytest.importorskip("vllm")
    path, _ = run
    engine = ("generation.engine=vllm", "eval.batch_size=64")
    done = rlkit("eval", path / model, "--recipe", "quickstart", *engine, "--json", "-o", tmp_path / "samples.jsonl")
    assert done.code == 0, done.err
    (before,) = (s["metrics"] for s in json.loads((path / "summary.json").read_text()) if measured.endswith(s["name"]))
    assert json.loads(done.out)["metrics"] == before
    assert (tmp_path / "samples.jsonl").read_text() == (path / measured / "samples.jsonl").read_text()
