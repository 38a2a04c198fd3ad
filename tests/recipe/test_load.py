import pytest
import yaml

from rlkit.errors import RequestError
from rlkit.recipe.load import load


def problems(file, *overrides):
    with pytest.raises(RequestError) as caught:
        load(str(file), overrides)
    return str(caught.value)


def test_a_recipe_loads(recipe_file):
    recipe = load(str(recipe_file()))
    (stage,) = recipe.resolved()
    assert (stage.kind, stage.name, stage.index) == ("grpo", "grpo", 1)
    assert [entry.settings for entry in stage.rewards] == [{}, {"weight": 2.0}]


def test_every_problem_is_told_at_once_with_its_line_and_the_right_name(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(
        "modle: {path: x}\n"
        "model: {pth: y, dtype: fp99}\n"
        "data: {path: z, promt: q, system: xmll}\n"
        "rewards: [xmlcont, {length: {tagret: 3}}, {correctness: {weight: heavy}}]\n"
        "generation: {num_generations: 6, temperature: 0}\n"
        "training: {loss_type: gspo, scale_rewards: grp, max_stepz: 3, num_generations: 4, lr_scheduler_type: cosin}\n"
    )
    said = problems(file)
    for line, message in [
        (1, "modle: unknown key 'modle'; did you mean 'model'?"),
        (2, "model.pth: unknown key 'pth'; did you mean 'path'?"),
        (2, "model.dtype: input should be 'auto'"),
        (3, "data.promt: unknown key 'promt'; did you mean 'prompt'?"),
        (3, "data.system: unknown system prompt 'xmll'; did you mean 'xml'?"),
        (4, "rewards.0: unknown reward 'xmlcont'; did you mean 'xmlcount'?"),
        (4, "rewards.1: reward 'length': unknown parameter 'tagret'; did you mean 'target'?"),
        (4, "rewards.2: reward 'correctness': weight is 'heavy': not a number"),
        (5, "generation.temperature: input should be greater than 0"),
        (6, "training.loss_type: GSPO is importance_sampling_level: sequence"),
        (6, "training.scale_rewards: 'grp' is not one of"),
        (6, "training.max_stepz: unknown field 'max_stepz'; did you mean 'max_steps'?"),
        (6, "training.num_generations: it belongs in the section generation"),
        (6, "training.lr_scheduler_type: 'cosin' is not one of"),
        (6, "groups of 6 do not divide"),
    ]:
        assert any(row.startswith(f"  line {line}: ") and message in row for row in said.split("\n")), message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: [\n", "line 2: not YAML"),
        ("a: 1\n\tb: 2\n", "line 2: not YAML"),
        ("", "a recipe is a mapping with keys such as model and data, not an empty file"),
        ("- model\n", "not a list"),
        ("model: {path: x}\nseed: 1\nmodel: {path: y}\n", "line 3: the key 'model' stands twice, first at line 1"),
        ("stages: []\n", "stages: the list is empty"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path, text, said):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    assert said in problems(file)


def test_a_name_near_a_built_in_recipe_is_suggested():
    with pytest.raises(RequestError, match="did you mean 'quickstart'"):
        load("quickstrat")
    with pytest.raises(RequestError, match="no such file"):
        load("./quickstart.yaml")


def test_a_problem_of_an_override_is_said_to_stand_on_the_command_line(recipe_file):
    said = problems(recipe_file(), "training.max_stepz=3", "data.prompt=3")
    assert "command line: training.max_stepz" in said
    assert "command line: data.prompt" in said


def test_what_is_missing_is_said(recipe_file):
    assert "there is no model" in problems(recipe_file(model=None))
    assert "has no data: set data.path" in problems(recipe_file(data=None))
    assert "nothing to imitate" in problems(recipe_file(rewards=None))
    assert "every reward has weight 0" in problems(recipe_file(rewards=[{"xmlcount": {"weight": 0}}]))


def test_one_reward_twice_with_other_parameters_is_two_columns(recipe_file):
    from rlkit.recipe import checks

    recipe = load(
        str(recipe_file(rewards=["xmlcount", {"xmlcount": {"trailing_penalty": 0.1}}, {"xmlcount": {"name": "third"}}]))
    )
    names = [term.reward.name for term in checks.stack(recipe.resolved()[0].rewards)]
    assert names == ["xmlcount", "xmlcount[trailing_penalty=0.1]", "third"]
    assert "two rewards are called 'xmlcount'" in problems(recipe_file(rewards=["xmlcount", "xmlcount"]))


def test_plugins_stand_beside_the_recipe(recipe_file, tmp_path, clean_registry, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "from rlkit import reward\n\n@reward('mine_beside')\ndef mine(completion):\n    return 1.0\n"
    )
    monkeypatch.chdir("/")
    recipe = load(str(recipe_file(plugins=["mine.py"], rewards=["mine_beside"])))
    assert recipe.plugins == [str(tmp_path / "mine.py")]
    assert "no such file" in problems(recipe_file(plugins=["absent.py"]))


def test_a_4_bit_base_needs_an_adapter(recipe_file, tiny_model):
    model = {"path": str(tiny_model), "load_in_4bit": True}
    assert "add lora" in problems(recipe_file(model=model))
    load(str(recipe_file(model=model, lora={"r": 4})))


def test_the_schema_says_a_sentence_about_every_field():
    from rlkit.recipe.recipe import Recipe

    schema = Recipe.model_json_schema()
    for name, section in {"Recipe": schema, **schema["$defs"]}.items():
        for field, said in section["properties"].items():
            assert said.get("description"), f"{name}.{field}"


def test_the_designs_own_example_loads(tmp_path):
    file = tmp_path / "design.yaml"
    file.write_text(
        yaml.safe_dump({"model": {"path": "Qwen/Qwen2.5-0.5B-Instruct", "dtype": "bfloat16", "backend": "peft"}})
        + "lora:     {r: 16, alpha: 32, target_modules: all-linear}\n"
        'data:     {path: openai/gsm8k, name: main, split: train, prompt: question, answer: "after:####", system: xml}\n'  # noqa: E501
        "rewards:  [xmlcount, {soft_format: {weight: 0.5}}, {correctness: {weight: 2.0}}]\n"
        "generation: {engine: auto, num_generations: 8, max_completion_length: 256, temperature: 1.0}\n"
        "training: {max_steps: 250, learning_rate: 5e-6, loss_type: dapo}\n"
    )
    (stage,) = load(str(file)).resolved()
    assert stage.training["learning_rate"] == pytest.approx(5e-6)


@pytest.mark.parametrize(
    ("rewards", "said"),
    [
        ("xmlcount", "it is a list: [xmlcount]"),
        ([{"xmlcount": {}, "length": {"target": 5}}], "is no reward: write a name"),
        ([{}], "is no reward"),
        ([{"length": 50}], "length: write {length: {parameter: 50}}"),
        ([{"xmlcount": {"name": 5}}], "name is 5, not a text"),
        ([{"xmlcount": {"weight": float("nan")}}], "weight is nan: not a number"),
    ],
)
def test_malformed_rewards_are_told_and_nothing_is_made_of_them(recipe_file, rewards, said):
    message = problems(recipe_file(rewards=rewards))
    assert said in message
    assert "nothing to imitate" not in message


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"data": {"path": "x", "answer": "regex:("}}, "regex '('"),
        ({"data": {"path": "x", "answer": "after:"}}, "after is empty"),
        ({"data": {"path": "x", "columns": {"prompt": "answer"}}}, "what the trainer makes"),
        ({"model": {"from_scratch": {"num_key_value_heads": 3}}}, "is not a multiple of num_key_value_heads 3"),
        ({"model": {"from_scratch": {}, "load_in_4bit": True}}, "for a model that is loaded"),
        ({"model": {"from_scratch": {}}, "lora": {"r": 4}}, "no trained base"),
        ({"training": {"max_steps": 0}}, "0 is below 1"),
        ({"training": {"max_steps": -5}}, "-5 is below 1"),
        ({"training": {"learning_rate": float("nan")}}, "no finite number"),
        ({"training": {"steps_per_generation": "2"}}, "should be int"),
        ({"training": {"remove_unused_columns": True}}, "the rewards need the columns"),
        ({"seed": 2**32}, "seed"),
        ({"eval": {"accuracy": "nope"}}, "accuracy is 'nope', and the rewards are xmlcount, correctness"),
    ],
)
def test_settings_that_would_fail_hours_later_are_refused(recipe_file, sections, said):
    assert said in problems(recipe_file(**sections))


@pytest.mark.parametrize("text", ["a: \x00\n", "? [a, b]\n: 1\n", "a: &x [*x]\n", "model:\n"])
def test_odd_yaml_is_an_error_and_no_crash(tmp_path, text):
    file = tmp_path / "odd.yaml"
    file.write_text(text)
    assert "odd.yaml" in problems(file)
