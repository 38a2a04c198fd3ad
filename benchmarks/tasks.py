"""The classic pipeline of every task on real data, beside its baseline: python benchmarks/tasks.py [TASK ...] [--json]

Small models from scratch, one CPU thread each. The data are those that ../shared/data has (or $RLKIT_DATA). A row is
the task's metric over held-out rows, with its interval, and what one gets there without a model.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

DATA = Path(os.environ.get("RLKIT_DATA", Path(__file__).parents[2] / "shared" / "data"))
SIZES = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 512}
WORDS = {"algorithm": "wordpiece", "vocab_size": 4000}
PIECES = {"algorithm": "unigram", "vocab_size": 2000}
TASKS: dict[str, dict[str, Any]] = {
    "text-classification": {
        "shape": {"shape": "bert", "tokenizer": WORDS},
        "data": {"path": "classification/banking77_train.csv", "columns": {"label": "category"}},
        "training": {"max_steps": 1500, "per_device_train_batch_size": 32, "learning_rate": 5e-4},
    },
    "token-classification": {
        "shape": {"shape": "bert", "tokenizer": WORDS},
        "data": {"path": "ner/wnut17_train.conll"},
        "held_out": {"path": "ner/wnut17_dev.conll"},
        "training": {"max_steps": 1200, "per_device_train_batch_size": 32, "learning_rate": 5e-4},
    },
    "masked-lm": {
        "settings": {"context_length": 64},
        "shape": {"shape": "bert", "tokenizer": WORDS},
        "data": {"path": "lm/c4_demo.json"},
        "training": {"max_steps": 1500, "per_device_train_batch_size": 32, "learning_rate": 1e-3},
    },
    "causal-lm": {
        "settings": {"context_length": 64},
        "shape": {"shape": "llama", "tokenizer": {"vocab_size": 1500, "split_digits": False}},
        "data": {"path": "lm/c4_demo.json"},
        "training": {"max_steps": 1000, "per_device_train_batch_size": 32, "learning_rate": 1e-3},
    },
    "translation": {
        "settings": {"max_source_length": 48, "max_target_length": 48},
        "shape": {"shape": "marian", "tokenizer": PIECES},
        "data": {"path": "translation/python_docs_en_fr.jsonl"},
        "training": {"max_steps": 1500, "per_device_train_batch_size": 32, "learning_rate": 1e-3},
    },
    "summarization": {
        "settings": {"max_source_length": 192, "max_target_length": 32},
        "shape": {"shape": "t5", "tokenizer": PIECES},
        "data": {"path": "summarization/scitldr_a_train.jsonl", "columns": {"document": "source", "summary": "target"}},
        "held_out": {"path": "summarization/scitldr_a_dev.jsonl"},
        "training": {"max_steps": 800, "per_device_train_batch_size": 16, "learning_rate": 1e-3},
    },
    "question-answering": {
        "settings": {"max_length": 256, "stride": 64},
        "shape": {"shape": "bert", "tokenizer": WORDS},
        "data": {"path": "qa/squad_v1_dev_xquad_en_first38.json"},
        "training": {"max_steps": 600, "per_device_train_batch_size": 16, "learning_rate": 5e-4},
    },
}


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Train a task; returns its figures."""
    task = TASKS[name]
    recipe: dict[str, Any] = {
        "threads": 1,
        "model": {"from_scratch": {**SIZES, **task["shape"]}},
        "task": {name: task.get("settings", {})},
        "data": _placed(task["data"]),
        "training": {"logging_steps": 20, **task["training"]},
    }
    if "held_out" in task:
        recipe["eval"] = {"data": _placed(task["held_out"])}
    file, run = folder / f"{name}.yaml", folder / name
    file.write_text(yaml.safe_dump(recipe))
    command = [sys.executable, "-m", "rlkit", "train", str(file), "--run-dir", str(run)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    (stage,) = json.loads((run / "summary.json").read_text())
    found = stage["metrics"]
    metric = next(key.removeprefix("baseline_") for key in found if key.startswith("baseline_"))
    return {
        "task": name,
        "metric": metric,
        "figure": found[metric],
        "low": found[f"{metric}_low"],
        "high": found[f"{metric}_high"],
        "baseline": found[f"baseline_{metric}"],
        "n": found["n"],
        "seconds": stage["seconds"],
    }


def _placed(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "path": str(DATA / data["path"])}


def main() -> None:
    """Train each task and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", choices=[*TASKS, []], help="all where none is named")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(name, Path(folder)) for name in asked.tasks or TASKS]
    if asked.json:
        print(json.dumps(rows))
        return
    print("| task | metric | figure | 95% interval | baseline | n | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        interval = f"{row['low']:.3g} to {row['high']:.3g}"
        cells = (row["task"], row["metric"], f"{row['figure']:.3g}", interval, f"{row['baseline']:.3g}", row["n"])
        print("| " + " | ".join(map(str, (*cells, f"{row['seconds']:.0f}"))) + " |")


if __name__ == "__main__":
    main()
