"""`rlkit eval --harness` and the eval stage of that name."""

import json

import pytest
import yaml

pytest.importorskip("lm_eval", reason="needs lm-eval (pip install 'rlkit[eval]')")

from rlkit import pipeline
from rlkit.cli import run
from rlkit.errors import RequestError
from rlkit.progress import Progress
from rlkit.recipe.load import load


@pytest.fixture
def sums(tmp_path, monkeypatch):
    """A folder with a task of twelve questions, which is where commands are run."""
    rows = [{"question": f"{a} plus {b} is", "choices": [str(a + b), "no"]} for a in range(4) for b in range(3)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {
        "task": "sums",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "sums.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": 0,
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "sums.yaml").write_text(yaml.safe_dump(task))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_model_is_measured_and_compared_on_tasks_of_the_harness(sums, tiny_model, capsys):
    options = ["--harness", "sums", "harness.include_path=tasks", "--limit", "10", "--json", "-o", "samples.jsonl"]
    assert run(["eval", str(tiny_model), "--against", str(tiny_model), *options]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["harness"] == "sums"
    assert made["metrics"]["n"] == 10
    low, value, high = (made["metrics"][f"sums/acc{suffix}"] for suffix in ("_low", "", "_high"))
    assert 0 <= low <= value <= high <= 1
    assert made["metrics"] == made["metrics_against"]
    assert made["comparison"]["accuracy"]["difference"] == 0
    samples = [json.loads(line) for line in (sums / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == 20
    assert sum(sample["correct"] for sample in samples[:10]) == round(10 * value)


def test_a_stage_measures_them_beside_the_recipes_own_figures(sums, recipe_file):
    stages = [
        {"eval": {"name": "known", "harness": {"tasks": ["sums"], "include_path": "tasks", "limit": 4}}},
        {"eval": {"name": "own", "data": {"limit": 4}}},
    ]
    made = pipeline.train(load(str(recipe_file(stages=stages))), sums / "run", progress=Progress(quiet=True))
    known, own = (entry["metrics"] for entry in made.summary())
    assert known["n"] == 4 and "sums/acc" in known and "reward" not in known
    assert "reward" in own and "sums/acc" not in own
    assert (made.path / "curves.png").exists() and (made.path / "report.html").exists()
    assert len((made.path / "1-known" / "samples.jsonl").read_text().splitlines()) == 4


def test_a_stage_of_the_harness_takes_nothing_besides(recipe_file):
    stage = {"harness": {"tasks": ["sums"]}, "samples": 4, "suite": "gsm8k"}
    with pytest.raises(RequestError, match="leave samples, suite out of the stage"):
        load(str(recipe_file(stages=[{"eval": stage}])))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--harness", "sums", "--task", "sft"], "--task sft says what is measured, and so does --harness sums"),
        (["--harness", "sums", "--data", "x.jsonl"], "leave --data x.jsonl out"),
        (["--harness", "sums", "harness.num_fewshots=5"], "did you mean 'num_fewshot'?"),
    ],
)
def test_what_does_not_go_together_is_refused(sums, tiny_model, capsys, arguments, said):
    assert run(["eval", str(tiny_model), *arguments]) == 2
    assert said in capsys.readouterr().err
