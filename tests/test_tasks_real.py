"""The tasks' benchmark in short: real data, small models from scratch, and a margin over what needs no model."""

import importlib.util
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks" / "tasks"
RECIPES = sorted(FOLDER.glob("*.yaml"))
TWICE = ["eval_steps=0.5", "save_steps=0.5"]
PIECES = [  # short pieces are learned in a few steps
    "model.from_scratch.tokenizer.vocab_size=300",
    "task.causal-lm.context_length=64",
    "max_steps=200",
    "learning_rate=2e-3",
    "warmup_steps=20",
]


def module(name):
    """A file of the benchmark, read anew."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "changes", "beats"),
    [
        ("token-classification", ["max_steps=350"], lambda found: found["f1"] > 0.01),  # no tag but O: 0
        ("causal-lm", PIECES, lambda found: found["perplexity"] < 0.6 * found["baseline_perplexity"]),
        ("causal-lm-code", PIECES, lambda found: found["perplexity"] < 0.6 * found["baseline_perplexity"]),
        ("masked-lm", ["max_steps=400"], lambda found: found["perplexity"] < 0.9 * found["baseline_perplexity"]),
    ],
)
def test_a_task_learns_more_than_is_to_be_had_without_a_model(shared_data, rlkit, tmp_path, task, changes, beats):
    given = [change if change.count(".") > 1 else f"training.{change}" for change in (*changes, *TWICE)]
    arguments = ("train", FOLDER / f"{task}.yaml", *given, "--run-dir", "run")
    done = rlkit(*arguments, env={"RLKIT_DATA": str(shared_data), "OMP_NUM_THREADS": "1"}, timeout=500)
    assert done.code == 0, done.err
    found = json.loads((tmp_path / "run" / "summary.json").read_text())[-1]["metrics"]
    assert beats(found), found


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_every_recipe_of_the_benchmark_is_one(shared_data, file):
    from rlkit.validation import validate

    notes = validate(str(file))
    assert notes and not [note for note in notes if "not checked" in note]
    assert file.stem in module("table").MARGINS


def test_what_is_held_out_is_not_trained_on(shared_data, monkeypatch):
    monkeypatch.setenv("RLKIT_DATA", str(shared_data))
    corpora = module("corpora")
    held = {row["source"] for row in corpora.pairs("held_out")} | {row["target"] for row in corpora.pairs("held_out")}
    assert len(held) > 700
    shared = sum(row["source"] in held for row in corpora.copies())
    assert shared < 0.01 * len(corpora.copies()), "a phrase may stand in both languages, or twice"
    contexts = {row["context"] for row in corpora.questions("held_out")}
    assert contexts and not contexts & {row["context"] for row in corpora.questions("train")}
    made = corpora.cloze(300)
    assert not contexts & {row["context"] for row in made}
    for row in [*made, *corpora.cloze(300, sentences=1)]:
        (start,), (text,) = row["answers"]["answer_start"], row["answers"]["text"]
        assert row["context"][start : start + len(text)] == text
    papers = [row["document"] for row in corpora.abstracts("held_out")]
    assert len(papers) == 619
    sentences = {row["summary"] for row in corpora.excerpts(1, words=1000, times=3)}
    found = sum(any(sentence in paper for paper in papers) for sentence in sentences)
    assert found < 0.01 * len(sentences), "papers may say alike that their code is to be had"
