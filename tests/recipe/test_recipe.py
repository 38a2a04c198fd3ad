import pytest

from rlkit.errors import RequestError
from rlkit.recipe.load import load
from rlkit.recipe.recipe import Recipe


def resolve(**sections):
    return Recipe.model_validate(sections).resolved()


def test_a_flat_recipe_is_grpo_with_rewards_and_sft_without():
    assert [stage.kind for stage in resolve(rewards=["length"])] == ["grpo"]
    assert [stage.kind for stage in resolve()] == ["sft"]


def test_stages_inherit_and_overlay():
    first, second, third = resolve(
        model={"path": "m"},
        lora={"r": 4},
        data={"path": "p", "split": "s", "prompt": "q", "system": "xml"},
        generation={"num_generations": 4},
        rewards=["length"],
        eval={"data": {"split": "held", "limit": 3}},
        stages=[
            {"sft": {"data": {"path": "d", "completion": "c"}}},
            {"grpo": {"lora": {"alpha": 1}, "generation": {"temperature": 0.5}}},
            "eval",
        ],
    )
    assert (first.data.path, first.data.split, first.data.prompt) == ("d", "train", "q")
    assert (first.model.path, second.model, third.model) == ("m", None, None)
    assert (second.lora.r, second.lora.alpha) == (4, 1)
    assert (second.generation.num_generations, second.generation.temperature) == (4, 0.5)
    assert (third.data.path, third.data.split, third.data.limit, third.data.system) == ("p", "held", 3, "xml")
    assert third.lora is None


def test_the_recipes_model_is_there_until_a_stage_has_trained():
    stages = resolve(model={"path": "m"}, rewards=["length"], stages=["eval", "grpo", "eval"])
    assert [stage.model.path if stage.model else None for stage in stages] == ["m", "m", None]


def test_stages_of_a_kind_are_numbered_and_names_must_differ(recipe_file):
    names = [stage.name for stage in resolve(rewards=["length"], stages=["eval", "grpo", "eval"])]
    assert names == ["eval1", "grpo", "eval2"]
    with pytest.raises(RequestError, match="two stages are called 'x'"):
        load(str(recipe_file(stages=[{"grpo": {"name": "x"}}, {"eval": {"name": "x"}}])))


def test_a_stage_has_one_kind(recipe_file):
    with pytest.raises(RequestError, match="a stage has one key, its kind"):
        load(str(recipe_file(stages=[{"grpo": {}, "eval": {}}])))
    with pytest.raises(RequestError, match="unknown key 'gprpo'; did you mean 'grpo'"):
        load(str(recipe_file(stages=[{"gprpo": {}}])))


def test_a_field_at_the_top_reaches_the_stages_whose_trainer_has_it(recipe_file):
    stages = [{"sft": {"data": {"completion": "answer"}}}, {"grpo": {}}]
    training = {"max_steps": 2, "beta": 0.1, "per_device_train_batch_size": 4}
    recipe = load(str(recipe_file(stages=stages, training=training)))
    assert [stage.training["beta"] for stage in recipe.resolved()] == [0.1, 0.1]  # what sft has no use for is left out
    with pytest.raises(RequestError, match="unknown field 'betta'; did you mean 'beta'"):
        load(str(recipe_file(stages=stages, training={"betta": 0.1})))
    stages[0]["sft"]["training"] = {"beta": 0.1}
    with pytest.raises(RequestError, match=r"stages\.0\.sft\.training\.beta: unknown field 'beta'"):
        load(str(recipe_file(stages=stages)))


def test_the_measure_of_accuracy_is_a_reward_of_the_stage(recipe_file):
    with pytest.raises(RequestError, match="accuracy is 'int', and the rewards of the stage are xmlcount, correctness"):
        load(str(recipe_file(stages=["grpo", {"eval": {"accuracy": "int"}}])))


def test_a_stage_cannot_change_the_adapter_that_it_goes_on_with(recipe_file):
    stages = [{"sft": {"lora": {"r": 4}, "data": {"completion": "answer"}}}, {"grpo": {"lora": {"r": 64}}}]
    with pytest.raises(RequestError, match="goes on with the adapter of the stage 'sft'"):
        load(str(recipe_file(stages=stages)))
    stages[1]["grpo"]["lora"]["r"] = 4
    load(str(recipe_file(stages=stages)))


def test_an_evaluation_is_not_held_to_what_training_asks_for(recipe_file):
    file = recipe_file(generation={"num_generations": 7}, model=None)
    load(str(file), evaluate=True)
    with pytest.raises(RequestError, match="groups of 7 do not divide"):
        load(str(file))
