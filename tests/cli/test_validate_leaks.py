"""Held-out prompts in the training data: `rlkit train` warns of them, `rlkit validate --leaks` lists them."""

import json

QUESTIONS = ["how many are 3 and 4", "Where does the river begin that flows by the old mill?"]


def recipe(recipe_file, tmp_path, **sections):
    held_out = tmp_path / "held_out.jsonl"
    held_out.write_text("".join(json.dumps({"question": text, "answer": "#### 1"}) + "\n" for text in QUESTIONS))
    return recipe_file(eval={"data": {"path": str(held_out)}}, **sections)


def test_validate_lists_them(rlkit, recipe_file, tmp_path):
    file = recipe(recipe_file, tmp_path)
    done = rlkit("validate", file, "--leaks")
    assert done.code == 0, done.err
    assert done.out.splitlines()[1:] == ["  eval row 0 = grpo row 3: how many are 3 and 4"]
    assert "stage 'eval': 1 of 2 prompts (50.0%) stand in the training data of 'grpo'" in done.err
    (leak,) = json.loads(rlkit("validate", file, "--leaks", "--json").out)["leaks"]
    assert (leak["prompts"], leak["training_prompts"], leak["share"], leak["near"]) == (2, 24, 0.5, [])
    (pair,) = leak["exact"]
    assert pair["training_prompt"] == "How many are 3 and 4?"
    assert "leaks" not in json.loads(rlkit("validate", file, "--json").out)


def test_a_recipe_without_held_out_data_is_said_to_have_none(rlkit, recipe_file):
    done = rlkit("validate", recipe_file(), "--leaks")
    assert done.code == 0
    assert "no held-out prompts beside training prompts; set eval.data" in done.err


def test_the_quickstart_holds_out_what_it_says(rlkit):
    """Its data is one generator with other arguments: compared by content, nothing is shared."""
    done = rlkit("validate", "quickstart", "--leaks", "--json")
    assert [(len(leak["exact"]), len(leak["near"])) for leak in json.loads(done.out)["leaks"]] == [(0, 0), (0, 0)]
    overlapping = rlkit("validate", "quickstart", "eval.data.args={n: 50, split: train}", "--leaks", "--json")
    assert sum(leak["share"] for leak in json.loads(overlapping.out)["leaks"]) > 0.5


def test_train_warns_before_it_begins(rlkit, recipe_file, tmp_path):
    stages = [{"grpo": {"training": {"max_steps": 1}}}, {"eval": {}}]
    done = rlkit("train", recipe(recipe_file, tmp_path, stages=stages), "--run-dir", "run")
    assert done.code == 0, done.err
    warning = (
        "warning: stage 'eval': 1 of 2 prompts (50.0%) stand in the training data of 'grpo', "
        "as 'how many are 3 and 4'; rlkit validate RECIPE --leaks lists them"
    )
    assert warning in done.err.splitlines()
    assert done.err.index("warning: stage") < done.err.index("stage 1/2")
