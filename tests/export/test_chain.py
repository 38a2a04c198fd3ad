"""From a recipe to a model that others run, as a user types it: train, eval, export, push, and back from the hub."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hub_server import OWNER, WRITE, HubServer

pytestmark = pytest.mark.slow
pytest.importorskip("bitsandbytes", reason="needs bitsandbytes (the extra bnb)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("chain")


@pytest.fixture(scope="module")
def typed(folder):
    """Run a command line in one folder, as a user does, and hand back what it printed."""

    def run(*arguments, env=None, code=0):
        command = [sys.executable, "-m", "rlkit", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=600, env={**os.environ, **(env or {})}
        )
        assert done.returncode == code, done.stderr[-3000:]
        return done.stdout

    return run


@pytest.fixture(scope="module")
def base(folder, typed):
    """A small model that knows a few sums by heart, so that its answers are not a matter of rounding."""
    rows = [{"question": f"What is {a} and {a + 1}?", "answer": f"It is {2 * a + 1}."} for a in range(8)]
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shape = {"hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 256}
    training = {
        "max_steps": 80,
        "per_device_train_batch_size": 8,
        "learning_rate": 2e-3,
        "gradient_checkpointing": False,
    }
    recipe = {
        "model": {"from_scratch": {**shape, "tokenizer": {"vocab_size": 320}}},
        "data": {"path": "sums.jsonl", "prompt": "question", "completion": "answer"},
        "training": training,
        "threads": 1,
    }
    (folder / "base.yaml").write_text(yaml.safe_dump(recipe))
    typed("train", "base.yaml", "--run-dir", "base")
    return folder / "base" / "1-sft"


@pytest.fixture(scope="module")
def run(folder, typed, base):
    """GRPO of an adapter over the base in 4 bits, and a measurement."""
    recipe = {
        "model": {"path": str(base), "load_in_4bit": True},
        "lora": {"r": 8},
        "data": {"path": "sums.jsonl", "prompt": "question", "answer": {"column": "answer", "regex": r"(\d+)"}},
        "rewards": [{"length": {"target": 20}}],
        "generation": {"num_generations": 4, "max_completion_length": 16},
        "training": {"max_steps": 3, "per_device_train_batch_size": 8, "learning_rate": 1e-4},
        "stages": [{"grpo": {}}, {"eval": {"data": None}}],
        "threads": 1,
    }
    (folder / "tune.yaml").write_text(yaml.safe_dump(recipe))
    typed("train", "tune.yaml", "--run-dir", "tuned-20260101-120000")
    return folder / "tuned-20260101-120000"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with HubServer(tmp_path_factory.mktemp("hub")) as server:
        yield server


@pytest.fixture(scope="module")
def answers(typed, folder):
    """What a model says to every question, greedily."""

    def ask(model, *options):
        lines = typed("generate", model, "--data", "sums.jsonl", "--max-tokens", 16, *options).splitlines()
        return [json.loads(line)["completion"] for line in lines]

    rows = [json.loads(line) for line in (folder / "sums.jsonl").read_text().splitlines()]
    (folder / "sums.jsonl").write_text("".join(json.dumps({**row, "prompt": row["question"]}) + "\n" for row in rows))
    return ask


@pytest.fixture(scope="module")
def merged(typed, folder, run):
    typed("export", run, "--to", "merged", "-o", "merged")
    return folder / "merged"


@pytest.fixture(scope="module")
def gguf(typed, folder, run):
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: make gguf")
    typed("export", run, "--to", "gguf", "--quant", "q8_0,q4_k_m", "-o", "gguf")
    return folder / "gguf"


def pushed(typed, hub, path, name):
    """Push a folder, download what the hub then holds; it is what was here, but for the card and local paths."""
    typed("push", path, f"{OWNER}/{name}", env=hub.environment(WRITE))
    back = Path(hub.folder, "back", name)
    code = f"import huggingface_hub; huggingface_hub.snapshot_download('{OWNER}/{name}', local_dir={str(back)!r})"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **hub.environment()}, check=True, timeout=120)
    return back


def test_the_run_is_measured(typed, run):
    found = json.loads(typed("eval", run, "--recipe", run / "recipe.yaml", "--json"))
    assert found["metrics"]["n"] == 8


def test_what_was_merged_answers_the_same_everywhere(typed, run, merged, answers, hub):
    expected = answers(run / "1-grpo")
    assert sum(a.startswith("It is") for a in expected) >= 6, "it knows its sums"
    assert answers(merged) == expected
    pytest.importorskip("vllm")
    assert answers(merged, "--engine", "vllm") == expected
    back = pushed(typed, hub, merged, "tuned")
    assert answers(back) == expected
    assert (back / "model.safetensors").read_bytes() == (merged / "model.safetensors").read_bytes()
    assert str(merged.parent) not in (back / "README.md").read_text() + (back / "config.json").read_text()


def test_the_adapter_comes_back_from_the_hub(typed, run, hub):
    back = pushed(typed, hub, run, "tuned-lora")
    same = (run / "1-grpo" / "adapter_model.safetensors").read_bytes()
    assert (back / "adapter_model.safetensors").read_bytes() == same


def test_gguf_files_answer_the_same(typed, run, gguf, answers, hub):
    expected = answers(run / "1-grpo")
    back = pushed(typed, hub, gguf, "tuned-gguf")
    assert {file.name for file in back.glob("*.gguf")} == {"tuned-Q8_0.gguf", "tuned-Q4_K_M.gguf"}
    for file in back.glob("*.gguf"):
        assert answers(file) == expected, file.name
