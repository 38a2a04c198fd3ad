"""Tasks from a recipe to their figures, on real data: the classic pipeline, and SFT, GRPO and evaluation as text."""

import csv
import json
from collections import Counter
from random import Random

import pytest
import yaml

SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 256,
}
WORDS = {"algorithm": "wordpiece", "vocab_size": 2000}
PIECES = {"algorithm": "unigram", "vocab_size": 1000}


@pytest.fixture(scope="module")
def intents(shared_data, tmp_path_factory):
    """Six intents of banking77, shuffled: 200 held-out rows, the rest to train on."""
    rows = list(csv.DictReader((shared_data / "classification" / "banking77_train.csv").open()))
    kept = [label for label, _ in Counter(row["category"] for row in rows).most_common(6)]
    rows = [{"text": row["text"], "label": row["category"]} for row in rows if row["category"] in kept]
    Random(0).shuffle(rows)
    folder = tmp_path_factory.mktemp("intents")
    for name, part in (("test", rows[:200]), ("train", rows[200:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return folder


@pytest.fixture
def train(rlkit, tmp_path):
    """Train a recipe; returns the summary by stage name, and what was said."""

    def run(*launch, **recipe):
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"threads": 1, **recipe}, sort_keys=False))
        done = rlkit("train", "recipe.yaml", "--run-dir", "run", *launch, timeout=550)
        assert done.code == 0, done.err
        summary = json.loads((tmp_path / "run" / "summary.json").read_text())
        return {entry["name"]: entry["metrics"] for entry in summary}, done.err

    return run


@pytest.mark.slow
def test_a_task_goes_through_sft_grpo_with_its_own_metric_and_evaluation_and_improves(train, intents, rlkit, tmp_path):
    fast = {"gradient_checkpointing": False}
    found, _said = train(
        model={
            "from_scratch": {**SMALL, "hidden_size": 128, "intermediate_size": 384, "tokenizer": {"vocab_size": 1500}}
        },
        task={"text-classification": {"instruction": "{labels}"}},
        data={"path": str(intents / "train.jsonl")},
        eval={"data": {"path": str(intents / "test.jsonl")}},
        generation={"num_generations": 8, "max_completion_length": 12},
        stages=[
            {
                "sft": {
                    "data": {"limit": 150},
                    "training": {**fast, "max_steps": 80, "per_device_train_batch_size": 16, "learning_rate": 1e-3},
                }
            },
            {"eval": {"name": "before"}},
            {
                "grpo": {
                    "training": {**fast, "max_steps": 150, "per_device_train_batch_size": 64, "learning_rate": 5e-4}
                }
            },
            {"eval": {"name": "after"}},
        ],
    )
    before, after = found["before"], found["after"]
    assert after["accuracy"] > before["accuracy"] + 0.05
    assert after["accuracy"] > 0.2 + 0.4, "the commonest intent has a fifth of the rows"
    assert after["unreadable"] <= before["unreadable"]
    assert {"f1_macro", "mcc", "accuracy_low", "n"} <= after.keys()
    sample = json.loads((tmp_path / "run" / "4-after" / "samples.jsonl").read_text().splitlines()[0])
    assert sample["prediction"] in sample["prompt"][-1]["content"]


@pytest.mark.slow
def test_a_classic_classifier_beats_the_majority_class_and_is_measured_again(train, intents, rlkit):
    found, said = train(
        model={"from_scratch": {"shape": "bert", **SMALL, "tokenizer": WORDS}},
        task="text-classification",
        data={"path": str(intents / "train.jsonl")},
        eval={"data": {"path": str(intents / "test.jsonl")}},
        training={"train_sampling_strategy": "group_by_length"},  # which must not shuffle the rows that are measured
        stages=[
            {"task": {"training": {"max_steps": 250, "per_device_train_batch_size": 16, "learning_rate": 1e-3}}},
            {"eval": {}},
        ],
    )
    assert found["task"]["accuracy"] > found["task"]["baseline_accuracy"] + 0.3
    assert found["eval"]["accuracy"] == found["task"]["accuracy"], "the same model on the same rows"
    assert "without a model (majority class)" in said
    done = rlkit("eval", "run", "--task", "text-classification", "--data", intents / "test.jsonl", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["metrics"]["accuracy"] == found["task"]["accuracy"]


CLASSIC = {  # others are trained for real in test_tasks_real.py
    "causal-lm": ({"shape": "llama", "tokenizer": {"vocab_size": 800}}, {"path": "lm/c4_demo.json"}, "perplexity"),
    "translation": ({"shape": "marian", "tokenizer": PIECES}, {"path": "translation/python_docs_en_fr.jsonl"}, "bleu"),
    "summarization": (
        {"shape": "t5", "tokenizer": PIECES},
        {"path": "summarization/scitldr_a_train.jsonl", "columns": {"document": "source", "summary": "target"}},
        "rougeLsum",
    ),
    "question-answering": (
        {"shape": "bert", "tokenizer": WORDS},
        {"path": "qa/squad_v1_dev_xquad_en_first38.json"},
        "f1",
    ),
}
SETTINGS = {
    "causal-lm": {"context_length": 64},
    "question-answering": {"max_length": 192, "stride": 64},
    "summarization": {"max_source_length": 64, "max_target_length": 16},
    "translation": {"max_source_length": 32, "max_target_length": 16},
}


def steps_of(task, shared_data):
    """A recipe of a few steps of a classic pipeline, and an eval stage; 13 rows are not to be shared evenly by two."""
    shape, data, _metric = CLASSIC[task]
    training = {"max_steps": 8, "per_device_train_batch_size": 8, "learning_rate": 1e-3}
    return {
        "model": {"from_scratch": {**SMALL, **shape}},
        "task": {task: SETTINGS.get(task, {})},
        "data": {**data, "path": str(shared_data / data["path"]), "limit": 60},
        "eval": {"data": {"limit": 13}},
        "stages": [{"task": {"training": training}}, {"eval": {}}],
    }


@pytest.mark.slow
@pytest.mark.parametrize("task", CLASSIC)
def test_every_classic_pipeline_runs_and_leaves_a_model_that_measures_the_same(train, shared_data, task):
    found, _said = train(**steps_of(task, shared_data))
    trained, metric = found["task"], CLASSIC[task][-1]
    assert trained[metric] == pytest.approx(found["eval"][metric], rel=1e-4)
    assert trained[f"{metric}_low"] <= trained[metric] <= trained[f"{metric}_high"]
    assert f"baseline_{metric}" in trained


@pytest.mark.slow
@pytest.mark.parametrize("task", ["causal-lm", "translation", "question-answering"])
def test_two_processes_measure_each_row_once(train, rlkit, shared_data, task):
    found, _said = train("--", "--num_processes", "2", "--cpu", **steps_of(task, shared_data))
    alone = rlkit("eval", "run", "--recipe", "recipe.yaml", "--json", timeout=200)
    assert alone.code == 0, alone.err
    expected = json.loads(alone.out)["metrics"]
    for stage in ("task", "eval"):
        for name in ("n", CLASSIC[task][-1]):
            assert found[stage][name] == pytest.approx(expected[name], rel=1e-4), (stage, name)


def test_a_stage_says_what_its_task_cannot_do(rlkit, tmp_path):
    for stage, said in (
        ({"task": {"task": "sft"}}, "write a stage sft"),
        ({"grpo": {"task": "masked-lm"}}, "no task for text"),
        ({"task": {}}, "names no task"),
        ({"task": {"task": "tokn-classification"}}, "did you mean 'token-classification'"),
        ({"task": {"task": {"question-answering": {"strid": 3}}}}, "did you mean 'stride'"),
    ):
        recipe = {"model": {"path": "x"}, "data": {"path": "y.jsonl"}, "rewards": ["int"], "stages": [stage]}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        done = rlkit("train", "recipe.yaml", "--dry-run")
        assert done.code == 2
        assert said in done.err, done.err
