"""Every shipped recipe validates, and runs some steps on a small model and local data."""

import json

import pytest
import yaml

from rlkit.recipe.files import builtin

RECIPES = sorted(builtin())


@pytest.mark.parametrize("name", RECIPES)
def test_it_validates(rlkit, name):
    done = rlkit("validate", name)
    assert done.code == 0, done.err
    assert done.out == f"{name}: ok\n"


@pytest.mark.parametrize("name", RECIPES)
def test_its_head_tells_purpose_hardware_and_command(name):
    head = builtin()[name].read_text().split("\ndescription:")[0]
    assert "# Wants:" in head
    assert f"rlkit train {name}" in head
    assert yaml.safe_load(builtin()[name].read_text())["description"]


def rows_for(recipe):
    data = recipe["data"]
    if "messages" in data:
        return [{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}] * 8
    return [{data["prompt"]: f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(48)]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RECIPES if name != "quickstart"])
def test_it_runs_two_steps_on_a_local_model(rlkit, tmp_path, tiny_model, name):
    recipe = yaml.safe_load(builtin()[name].read_text())
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows_for(recipe)))
    small = [f"model.path={tiny_model}", f"data.path={file}", "training.max_steps=2"]
    if "rewards" in recipe:
        small.append("generation.max_completion_length=12")
    done = rlkit("train", name, *small, "--run-dir", "run")
    assert done.code == 0, done.err
    (entry,) = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert entry["metrics"]["steps"] == 2
    if "rewards" in recipe:
        measured = rlkit("eval", "run", "--recipe", "run/recipe.yaml", "eval.data.limit=4", "--json")
        assert measured.code == 0, measured.err
        assert json.loads(measured.out)["metrics"]["n"] == 4


@pytest.mark.slow
def test_a_recipe_copied_from_a_run_runs_again(rlkit, tmp_path):
    small = ["sft.training.max_steps=3", "grpo.training.max_steps=1", "eval.data.limit=4"]
    assert rlkit("train", "quickstart", *small, "--run-dir", "first").code == 0
    done = rlkit("train", tmp_path / "first" / "recipe.yaml", "--run-dir", "second", cwd=tmp_path)
    assert done.code == 0, done.err
    first, second = (json.loads((tmp_path / run / "summary.json").read_text()) for run in ("first", "second"))
    for entry in (*first, *second):
        for name in ("time", "tokens_per_second"):
            entry["metrics"].pop(name, None)
    assert [entry["metrics"] for entry in first] == [entry["metrics"] for entry in second]
