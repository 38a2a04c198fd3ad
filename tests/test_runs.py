import json

import pytest
import yaml

from rlkit.errors import RequestError
from rlkit.recipe.load import load
from rlkit.runs import RunDirectory, is_run, resolved


@pytest.fixture
def recipe(recipe_file):
    return load(str(recipe_file(stages=["grpo", "eval"])))


@pytest.fixture
def run(tmp_path, recipe):
    return RunDirectory.create(tmp_path / "run", recipe)


def test_a_new_run_holds_its_recipe_and_its_environment(run, recipe):
    assert is_run(run.path)
    assert json.loads((run.path / "env.json").read_text())["packages"]["torch"]
    assert run.summary() == []
    assert not is_run(run.path.parent)


def test_an_existing_directory_is_refused_even_an_empty_one(tmp_path, recipe):
    (tmp_path / "run").mkdir()
    with pytest.raises(RequestError, match=r"exists.*--resume.*--run-dir OTHER"):
        RunDirectory.create(tmp_path / "run", recipe)


def test_the_resolved_recipe_runs_from_any_folder_and_comes_out_the_same(run, recipe, monkeypatch, questions):
    monkeypatch.chdir(questions.parent)
    local = load(str(run.path / "recipe.yaml"), (f"data.path={questions.name}",))
    monkeypatch.chdir("/")
    again = load(str(run.path / "recipe.yaml"))
    assert yaml.safe_load(resolved(again)) == yaml.safe_load(resolved(recipe))
    assert again.data.path == str(questions)
    assert local.data.path == questions.name


def test_a_summary_is_a_list_of_stages_in_order(run, recipe):
    grpo, evaluation = recipe.resolved()
    run.finish(grpo, 1.26, {"reward": 0.5})
    run.finish(evaluation, 2.0, {"accuracy": 0.5, "n": 2})
    assert json.loads((run.path / "summary.json").read_text()) == [
        {"stage": "grpo", "name": "grpo", "seconds": 1.3, "metrics": {"reward": 0.5}},
        {"stage": "eval", "name": "eval", "seconds": 2.0, "metrics": {"accuracy": 0.5, "n": 2}},
    ]
    assert run.finished(grpo)["metrics"] == {"reward": 0.5}


def test_metrics_after_a_checkpoint_are_forgotten_for_that_stage_alone(run, recipe):
    grpo, _ = recipe.resolved()
    for stage, step in [("sft", 9), ("grpo", 1), ("grpo", 2), ("grpo", 3)]:
        run.log({"stage": stage, "step": step, "loss": 0.1})
    run.rewind(grpo, 2)
    assert [(row["stage"], row["step"]) for row in run.metrics()] == [("sft", 9), ("grpo", 1), ("grpo", 2)]


def test_the_last_model_is_that_of_the_last_training_stage(run, recipe):
    grpo, evaluation = recipe.resolved()
    with pytest.raises(RequestError, match="no stage has left a model"):
        run.model()
    run.folder(grpo).mkdir()
    run.finish(grpo, 1, {})
    run.finish(evaluation, 1, {})
    assert run.model() == run.path / "1-grpo"


def test_a_run_goes_on_with_other_servers(recipe_file, tmp_path):
    generation = {"num_generations": 4, "engine": "vllm_server", "servers": ["http://a:8000"]}
    run = RunDirectory.create(tmp_path / "served", load(str(recipe_file(lora={"r": 2}, generation=generation))))
    other = load(str(run.path / "recipe.yaml"), ["generation.servers=[http://b:8000, http://c:8000]"])
    assert RunDirectory.resume(run.path, other).path == run.path
    with pytest.raises(RequestError, match="temperature"):
        RunDirectory.resume(run.path, load(str(run.path / "recipe.yaml"), ["generation.temperature=0.5"]))


def test_a_changed_recipe_does_not_resume(run, recipe_file, tmp_path):
    changed = load(str(recipe_file(stages=["grpo", "eval"])), ("training.max_steps=5", "seed=3"))
    with pytest.raises(RequestError, match=r"differs in seed, training\.max_steps"):
        RunDirectory.resume(run.path, changed)
    with pytest.raises(RequestError, match="holds no run"):
        RunDirectory.resume(tmp_path, changed)
    assert RunDirectory.resume(run.path, load(str(run.path / "recipe.yaml"))).path == run.path


def test_no_process_but_the_first_writes(tmp_path, recipe, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    run = RunDirectory.create(tmp_path / "other", recipe)
    run.log({"stage": "grpo", "step": 1})
    run.finish(recipe.resolved()[0], 1, {})
    assert not run.path.exists()


def test_a_torn_last_line_is_left_out(run):
    run.log({"stage": "grpo", "step": 1})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "grpo", "st')
    assert [row["step"] for row in run.metrics()] == [1]


def test_modules_beside_the_recipe_are_found_from_the_runs_own_copy(recipe_file, tmp_path, clean_registry):
    (tmp_path / "beside_run.py").write_text("def f(completions, **kwargs):\n    return [1.0 for _ in completions]\n")
    recipe = load(str(recipe_file(rewards=["beside_run.f"])))
    run = RunDirectory.create(tmp_path / "elsewhere" / "run", recipe)
    assert load(str(run.path / "recipe.yaml"))._folder == tmp_path


def test_a_directory_that_cannot_be_made_is_a_wrong_request(tmp_path, recipe):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be made"):
        RunDirectory.create(tmp_path / "file" / "run", recipe)


def test_a_stages_name_that_ends_like_another_finds_its_own_model(tmp_path, recipe_file):
    stages = [{"sft": {"name": "warm-up", "data": {"completion": "answer"}}}, {"grpo": {"name": "up"}}]
    recipe = load(str(recipe_file(stages=stages)))
    run = RunDirectory.create(tmp_path / "run", recipe)
    for stage in recipe.resolved():
        run.finish(stage, 1, {})
    assert run.model() == tmp_path / "run" / "2-up"
    with pytest.raises(RequestError, match="name"):
        load(str(recipe_file(stages=[{"grpo": {"name": "../../evil"}}])))
