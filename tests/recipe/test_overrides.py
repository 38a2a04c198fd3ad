import copy

import pytest

from rlkit.errors import RequestError
from rlkit.recipe.load import load
from rlkit.recipe.overrides import lay_over


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("a.b=2", {"a": {"b": 2}}),
        ("a.c=x=y", {"a": {"b": 1, "c": "x=y"}}),
        ("a.c=[1, 2e-3]", {"a": {"b": 1, "c": [1, 0.002]}}),
        ("d=null", {"a": {"b": 1}, "d": None}),
        ("d.e=", {"a": {"b": 1}, "d": {"e": None}}),
    ],
)
def test_the_first_equals_sign_splits_and_the_value_is_yaml(assignment, expected):
    data = {"a": {"b": 1}}
    lay_over(data, (assignment,))
    assert data == expected


@pytest.mark.parametrize("assignment", ["a", "=3", "a..b=1", "a.b.c=1", "a.b={", " a=1"])
def test_what_is_no_override_is_refused(assignment):
    with pytest.raises(RequestError, match=r"override|not YAML"):
        lay_over({"a": {"b": 1}}, (assignment,))


PIPELINE = {
    "data": {"path": "all", "split": "s"},
    "training": {"max_steps": 1},
    "stages": [
        {"sft": {"data": {"path": "demos", "args": {"n": 3}}, "training": {"max_steps": 2}}},
        {"eval": {"name": "before"}},
        {"grpo": {"training": {"max_steps": 3}}},
        {"eval": {"name": "after"}},
    ],
}


def overridden(*assignments):
    data = copy.deepcopy(PIPELINE)
    lay_over(data, assignments)
    return data


def test_a_shared_section_is_set_at_the_top_and_in_the_stages_that_set_it():
    data = overridden("training.max_steps=9")
    stages = data["stages"]
    assert data["training"] == {"max_steps": 9}
    assert stages[0]["sft"]["training"]["max_steps"] == stages[2]["grpo"]["training"]["max_steps"] == 9
    assert "training" not in stages[1]["eval"]


def test_a_stage_is_reached_by_kind_or_by_name():
    assert overridden("grpo.training.max_steps=9")["stages"][2]["grpo"]["training"]["max_steps"] == 9
    stages = overridden("eval.samples=4", "after.samples=8")["stages"]
    assert [stages[1]["eval"]["samples"], stages[3]["eval"]["samples"]] == [4, 8]


def test_another_path_drops_what_belonged_to_the_old_one():
    data = overridden("data.path=other")
    assert data["data"] == {"path": "other"}
    assert data["stages"][0]["sft"]["data"] == {"path": "other"}
    assert overridden("data.path=other", "data.split=t")["data"] == {"path": "other", "split": "t"}


def test_a_single_file_is_read_by_evaluation_too(tmp_path):
    file = tmp_path / "test.jsonl"
    file.write_text('{"question": "1+1?", "answer": "#### 2"}\n')
    recipe = load("gsm8k", (f"data.path={file}",))
    assert recipe.evaluation().data.path == str(file)
    assert recipe.evaluation().data.split == "train"
    assert load("gsm8k").evaluation().data.split == "test"


def test_rewards_are_reached_by_name_and_lists_by_index():
    data = {"rewards": ["xmlcount", {"length": {"target": 3}}, {"int": None}]}
    lay_over(data, ("rewards.xmlcount.weight=2", "rewards.1.length.target=5", "rewards.int.weight=3"))
    assert data["rewards"] == [{"xmlcount": {"weight": 2}}, {"length": {"target": 5}}, {"int": {"weight": 3}}]
    lay_over(data, ("rewards.0=int",))
    assert data["rewards"][0] == "int"


@pytest.mark.parametrize(
    "assignment", ["stages.9.sft.name=x", "rewards.nope.weight=1", "rewards.7=int", "model.path.x=1"]
)
def test_an_override_of_what_is_not_there_is_refused(assignment):
    data = {"model": {"path": "m"}, "rewards": ["xmlcount"], "stages": [{"sft": {}}]}
    with pytest.raises(RequestError, match="override"):
        lay_over(data, (assignment,))


def test_a_stage_by_index_and_the_wrong_kind(recipe_file):
    assert overridden("stages.2.grpo.training.max_steps=7")["stages"][2]["grpo"]["training"]["max_steps"] == 7
    with pytest.raises(RequestError, match="a stage has one key"):
        load(str(recipe_file(stages=["grpo", "eval"])), ("stages.0.sft.training.max_steps=1",))


def test_an_evaluations_own_data_stays_its_own_whatever_the_order():
    stages = [{"grpo": {}}, {"eval": {"data": {"path": "held-out"}}}]
    for assignments in (("data.path=a", "eval.data.path=b"), ("eval.data.path=b", "data.path=a")):
        data = {"data": {"path": "x"}, "stages": copy.deepcopy(stages)}
        lay_over(data, assignments)
        assert (data["data"]["path"], data["stages"][1]["eval"]["data"]["path"]) == ("a", "b")
    data = {"data": {"path": "x"}, "stages": copy.deepcopy(stages)}
    lay_over(data, ("data.path=a",))
    assert data["stages"][1]["eval"]["data"]["path"] == "held-out"


def test_the_settings_of_a_reward_by_index_and_by_its_own_name():
    data = {"rewards": ["xmlcount", {"correctness": None}, {"xmlcount": {"name": "second"}}]}
    lay_over(data, ("rewards.0.weight=2", "rewards.1.weight=3", "rewards.second.weight=4"))
    assert data["rewards"] == [
        {"xmlcount": {"weight": 2}},
        {"correctness": {"weight": 3}},
        {"xmlcount": {"name": "second", "weight": 4}},
    ]


def test_the_recipes_task_is_told_from_the_stages_of_the_kind_task():
    data = {"task": {"translation": {"lead": 1}}, "stages": [{"task": {"training": {"max_steps": 3}}}]}
    lay_over(data, ("task.translation.max_source_length=9", "task.training.max_steps=5"))
    assert data["task"]["translation"]["max_source_length"] == 9
    assert data["stages"] == [{"task": {"training": {"max_steps": 5}}}]
