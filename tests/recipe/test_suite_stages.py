"""A stage that measures a suite: what reaches it, what does not, and what is said where the suite is wrong."""

import json

import pytest
import yaml

from rlkit.cli import run
from rlkit.errors import RequestError
from rlkit.recipe.load import load
from rlkit.runs import resolved

SUITE = {
    "data": {"path": "openai/gsm8k", "name": "main", "split": "test", "prompt": "question", "answer": "after:####"},
    "rewards": [{"numeric": {"name": "accuracy"}}],
    "generation": {"max_completion_length": 99},
    "eval": {"by": "level"},
    "stages": ["eval"],
}


@pytest.fixture
def stage_of(recipe_file):
    def resolve(entry, *overrides, **sections):
        entry = {"grpo": {}}, {"eval": entry}
        return load(str(recipe_file(stages=list(entry), **sections)), overrides).resolved()[-1]

    return resolve


def test_the_suite_says_what_is_measured_and_the_recipe_by_what_engine(stage_of):
    stage = stage_of(
        {"name": "maths", "suite": "gsm8k", "data": {"limit": 200}},
        eval={"accuracy": "correctness", "samples": 4, "batch_size": 7, "data": {"split": "validation"}},
        generation={"num_generations": 4, "max_completion_length": 8, "temperature": 0.3, "dtype": "float32"},
    )
    suite = load("suites/gsm8k", evaluate=True).evaluation()
    assert stage.data == suite.data.model_copy(update={"limit": 200})
    assert (stage.name, stage.rewards, stage.task) == ("maths", suite.rewards, None)
    assert (stage.generation.dtype, stage.generation.max_completion_length) == ("float32", 512)
    assert stage.generation.temperature == suite.generation.temperature
    assert (stage.eval.accuracy, stage.eval.samples, stage.eval.batch_size) == (None, 1, 7)
    assert stage.model is None


def test_the_recipes_task_does_not_reach_it(stage_of):
    stage = stage_of({"suite": "humaneval"}, task="summarization", rewards=None)
    assert stage.task is None
    assert [entry.reward for entry in stage.rewards] == ["code"]


def test_own_fields_are_laid_over_it_and_a_file_has_no_split_of_the_hubs(stage_of, questions):
    own = {"path": str(questions)}
    stage = stage_of({"suite": "mmlu", "data": own, "generation": {"max_completion_length": 5}, "by": None})
    assert (stage.data.path, stage.data.name, stage.data.split) == (str(questions), None, "train")
    assert "{choices:lettered}" in stage.data.prompt
    assert (stage.generation.max_completion_length, stage.eval.by) == (5, None)
    stage = stage_of({"suite": "gsm8k", "name": "maths"}, "maths.data.limit=3", "data.limit=20")
    assert stage.data.limit == 3
    stage = stage_of({"suite": "gsm8k", "rewards": [{"numeric": {"name": "n"}}], "accuracy": "n"})
    assert [entry.name for entry in stage.rewards] == ["n"]


def test_a_file_of_ones_own_stands_beside_the_recipe_and_its_run_finds_it(tmp_path, recipe_file, monkeypatch):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(SUITE))
    file = recipe_file(stages=[{"grpo": {}}, {"eval": {"suite": "mine.yaml"}}])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    recipe = load(str(file))
    assert recipe.resolved()[-1].eval.by == "level"
    copy = tmp_path / "elsewhere" / "recipe.yaml"
    copy.write_text(resolved(recipe))
    (tmp_path / "elsewhere" / "env.json").write_text(json.dumps({"recipe_folder": str(tmp_path)}))
    assert load(str(copy)).resolved()[-1].rewards == recipe.resolved()[-1].rewards


@pytest.mark.parametrize(
    ("suite", "entry", "said"),
    [
        ({}, {"suite": "gsm8c"}, ["line 17: stages.1.eval.suite: unknown suite 'gsm8c'; did you mean 'gsm8k'?"]),
        ({}, {"suite": "absent.yaml"}, ["stages.1.eval.suite: suite absent.yaml: there is no such file"]),
        (
            {"rewards": ["numerc"], "eval": {"byy": "level"}},
            {"suite": "mine.yaml"},
            ["suite: mine.yaml: line 12: rewards.0: unknown reward 'numerc'", "eval.byy: unknown key 'byy'"],
        ),
        ({"stages": [{"eval": {"suite": "gsm8k"}}]}, {"suite": "mine.yaml"}, ["a suite names no other"]),
        ({}, {"suite": "mine.yaml", "accuracy": "exact"}, ["accuracy is 'exact', and the rewards of the stage are"]),
        ({}, {"suite": "mine.yaml", "rewards": ["numerc"]}, ["stages.1.eval.rewards.0: unknown reward 'numerc'"]),
    ],
)
def test_what_is_wrong_is_said_in_the_recipes_own_report(tmp_path, recipe_file, suite, entry, said):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**SUITE, **suite}))
    file = recipe_file(stages=[{"grpo": {}}, {"eval": entry}])
    with pytest.raises(RequestError) as raised:
        load(str(file))
    text = str(raised.value)
    assert text.startswith(f"recipe {file}: {len(said)} problem")
    for part in said:
        assert part in text


def test_a_recipe_that_only_measures_needs_no_model_and_one_that_trains_does(tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(SUITE))
    assert [stage.kind for stage in load(str(tmp_path / "mine.yaml")).resolved()] == ["eval"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**SUITE, "stages": ["grpo", "eval"]}))
    with pytest.raises(RequestError, match="there is no model"):
        load(str(tmp_path / "mine.yaml"))


@pytest.mark.slow
def test_a_pipeline_measures_a_suite_on_what_it_trained(recipe_file, questions, tmp_path, capsys):
    suite = {"suite": "gsm8k", "data": {"path": str(questions), "limit": 3}, "generation": {"max_completion_length": 6}}
    stages = [{"grpo": {"training": {"max_steps": 1}}}, {"eval": {"name": "maths", **suite}}]
    assert run(["train", str(recipe_file(stages=stages)), "--run-dir", str(tmp_path / "run")]) == 0
    entry = json.loads((tmp_path / "run" / "summary.json").read_text())[-1]
    assert (entry["name"], entry["metrics"]["n"]) == ("maths", 3)
    assert {"accuracy", "accuracy_low"} <= {*entry["metrics"]}
    assert "xmlcount" not in entry["metrics"]
    capsys.readouterr()
    assert run(["eval", str(tmp_path / "run"), "--recipe", str(tmp_path / "run" / "recipe.yaml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["n"] == 3
