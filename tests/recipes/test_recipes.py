"""Every shipped recipe validates, and runs some steps on a small model and local data."""

import inspect
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


TOKENS = ["Ada", "Lovelace", "saw", "Paris", "in", "the", "rain"]
TAGS = ["B-PER", "I-PER", "O", "B-LOC", "O", "O", "O"]
SENTENCE = " ".join(TOKENS)
OF_TASK = {
    "mrpc": ({"sentence1": SENTENCE, "sentence2": "It rained.", "label": "equivalent"}, "bert", "wordpiece"),
    "conll2003": ({"tokens": TOKENS, "ner_tags": TAGS}, "bert", "wordpiece"),
    "imdb-mlm": ({"text": f"{SENTENCE}. " * 30}, "distilbert", "wordpiece"),
    "codeparrot": ({"content": f"{inspect.getsource(json)}plt.plot()"}, "gpt2", "byte-bpe"),
    "kde4-en-fr": ({"translation": {"en": SENTENCE, "fr": "Ada a vu Paris."}}, "marian", "unigram"),
    "cnn-dailymail": ({"article": f"{SENTENCE}. " * 5, "highlights": "Ada saw Paris."}, "t5", "unigram"),
    "squad": (
        {"question": "Who?", "context": SENTENCE, "answers": {"text": ["Ada Lovelace"], "answer_start": [0]}},
        "bert",
        "wordpiece",
    ),
}
"""A row, and the shape and tokenizer of a small model, for each recipe of a task."""


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_TASK)
def test_a_tasks_recipe_runs_two_steps_on_a_small_model(rlkit, tmp_path, name):
    row, shape, algorithm = OF_TASK[name]
    file = tmp_path / "rows.jsonl"
    other = {**row, "label": "different"} if "label" in row else row
    file.write_text((json.dumps(row) + "\n" + json.dumps(other) + "\n") * 12)
    sizes = "hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 2, max_position_embeddings: 512"
    small = f"{{shape: {shape}, {sizes}, tokenizer: {{algorithm: {algorithm}, vocab_size: 320}}}}"
    data = [f"data.path={file}", f"eval.data.path={file}", "data.split=train", "eval.data.split=train"]
    model = ["model.path=null", f"model.from_scratch={small}", "training.max_steps=2"]
    done = rlkit("train", name, *data, *model, "--run-dir", "run")
    assert done.code == 0, done.err
    (entry,) = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert entry["metrics"]["steps"] == 2


def test_every_task_has_a_recipe():
    from rlkit.tasks import TASKS

    named = [yaml.safe_load(path.read_text()).get("task") for path in builtin().values()]
    assert {task if isinstance(task, str) else next(iter(task)) for task in named if task} == {*TASKS} - {"sft"}


def rows_for(recipe):
    data = recipe["data"]
    if "messages" in data:
        return [{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}] * 8
    return [{data["prompt"]: f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(48)]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RECIPES if name not in ("quickstart", *OF_TASK)])
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
