"""ls, show, cp, init, env, schema, validate: the commands that load no model."""

import json
import subprocess
import sys

import pytest


def test_help_names_every_command(rlkit):
    done = rlkit("--help")
    assert done.code == 0
    for command in ("train", "eval", "validate", "ls", "show", "cp", "init", "report", "env", "schema"):
        assert f"  {command} " in done.out


def test_ls_lists_what_there_is(rlkit):
    listed = json.loads(rlkit("ls", "--json").out)
    names = {(row["kind"], row["name"]) for row in listed}
    assert {
        ("recipe", "quickstart"),
        ("recipe", "gsm8k"),
        ("reward", "correctness"),
        ("engine", "transformers"),
    } <= names
    assert all(row["summary"] for row in listed)
    rewards = rlkit("ls", "rewards").out
    assert "xmlcount" in rewards
    assert "quickstart" not in rewards
    assert rlkit("ls", "reward").code == 2


def test_show_tells_everything_about_a_reward(rlkit):
    shown = rlkit("show", "length").out
    for part in ("length.py:", "target: int | None = None", "gold cases: 6", "Source:"):
        assert part in shown
    data = json.loads(rlkit("show", "correctness", "--json").out)
    assert data["columns"] == ["answer"]
    assert data["gold"][0]["expected"] == 1.0
    assert "max_completion_len" in rlkit("show", "trl.rewards.get_soft_overlong_punishment").out


def test_show_tells_a_recipe_and_the_nearest_name(rlkit):
    assert "vocab_size: 384" in rlkit("show", "quickstart").out
    wrong = rlkit("show", "quickstrat")
    assert (wrong.code, wrong.out) == (2, "")
    assert "did you mean 'quickstart'" in wrong.err


def test_cp_copies_a_recipe_that_validates_and_overwrites_nothing(rlkit, tmp_path):
    assert rlkit("cp", "quickstart", "mine.yaml").code == 0
    assert rlkit("validate", "mine.yaml").code == 0
    text = (tmp_path / "mine.yaml").read_text()
    again = rlkit("cp", "gsm8k", "mine.yaml")
    assert again.code == 2
    assert "exists" in again.err
    assert (tmp_path / "mine.yaml").read_text() == text
    assert rlkit("cp", "gsm8k", "no/such/folder.yaml").code == 2


def test_init_reward_writes_a_plugin_whose_test_passes(rlkit, tmp_path):
    assert rlkit("init", "reward", "concise").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["concise.py", "test_concise.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_concise.py"]
    tested = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout
    assert "1 passed" in tested.stdout
    assert "concise" in rlkit("ls", "rewards", "--plugin", "concise.py").out
    assert rlkit("audit", "concise", "--plugin", "concise.py").code == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("length", "already"),
        ("two words", "no Python name"),
        ("class", "no Python name"),
        ("float", "something else"),
        ("numpy", "before the module"),
    ],
)
def test_init_refuses_a_name_that_cannot_be(rlkit, tmp_path, name, said):
    done = rlkit("init", "reward", name)
    assert done.code == 2
    assert said in done.err
    assert not list(tmp_path.iterdir())


def test_a_generated_gold_case_that_is_wrong_fails_its_test_and_validate(rlkit, tmp_path, recipe_file):
    rlkit("init", "reward", "concise")
    plugin = tmp_path / "concise.py"
    right, wrong = 'four, so the answer is 4.", {"answer": "4"}, 1.0)', '4", {"answer": "4"}, 0.5)'
    plugin.write_text(plugin.read_text().replace(right, wrong))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_concise.py"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 1
    done = rlkit("validate", recipe_file(rewards=["concise"]), "--plugin", "concise.py")
    assert done.code == 2
    assert "gave 1.0 to its gold case 'Two and two make 4', not 0.5" in done.err


def test_env_tells_versions_and_hardware(rlkit):
    env = json.loads(rlkit("env", "--json").out)
    assert env["packages"]["trl"]
    assert env["cores"] >= 1
    assert set(env["sandbox"]) == {"bubblewrap", "unshare"}
    assert "torch" in rlkit("env").out


def test_the_schema_accepts_the_shipped_recipes(rlkit):
    import yaml

    from rlkit.recipe.files import builtin

    schema = json.loads(rlkit("schema").out)
    known = set(schema["properties"])
    for path in builtin().values():
        assert set(yaml.safe_load(path.read_text())) <= known


def test_validate_tells_each_recipe_and_exits_2_if_one_is_wrong(rlkit, recipe_file):
    good, bad = recipe_file("good.yaml"), recipe_file("bad.yaml", rewards=["xmlcont"])
    done = rlkit("validate", good, bad, "--json")
    assert done.code == 2
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["ok"] for row in rows] == [True, False]
    assert "did you mean 'xmlcount'" in done.err


def test_validate_checks_columns_against_the_data(rlkit, recipe_file, questions):
    wrong = recipe_file(data={"path": str(questions), "prompt": "qestion", "answer": "after:####"})
    done = rlkit("validate", wrong)
    assert done.code == 2
    assert "data.prompt: unknown column 'qestion'" in done.err


def test_a_bug_shows_its_traceback_only_with_debug(rlkit, tmp_path):
    (tmp_path / "mine.py").write_text("def rows():\n    yield {'prompt': object()}\n")
    (tmp_path / "r.yaml").write_text("model: {path: x}\ndata: {path: 'mine:rows'}\nrewards: [xmlcount]\n")
    plain, debug = rlkit("validate", "r.yaml"), rlkit("validate", "r.yaml", "--debug")
    assert plain.code == debug.code != 0
    assert "Traceback" not in plain.err
    assert "Traceback" in debug.err
