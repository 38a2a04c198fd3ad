import sys

import pytest

from rlkit import plugins
from rlkit.errors import RequestError

PLUGIN = """
from rlkit import reward

@reward("shout", gold=[("HI", {}, 1.0)])
def shout(completion):
    return float(completion.isupper())
"""


def test_a_plugin_file_registers_its_rewards(tmp_path, clean_registry):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    assert [made.name for made in plugins.load_file(file)] == ["shout"]
    assert plugins.find("shout")(completions=["HI", "hi"]) == [1.0, 0.0]
    plugins.load_file(file)  # the same file again is no second reward of that name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ndef broken(:\n", r"mine.py: line 2: SyntaxError"),
        (
            "x = 1\n\nimport no_such_package\n",
            r"mine.py: line 3: ModuleNotFoundError: No module named 'no_such_package'",
        ),
        ("x = 1\nraise ValueError('no')\n", r"mine.py: line 2: ValueError: no"),
    ],
)
def test_a_plugin_that_does_not_import_is_named_with_its_line(tmp_path, clean_registry, text, said):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(RequestError, match=said):
        plugins.load_file(file)


def test_a_built_in_name_is_not_overwritten(tmp_path, clean_registry):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN.replace("shout", "correctness"))
    with pytest.raises(RequestError, match=r"correctness.py:\d+ and .*mine.py:\d+"):
        plugins.load_file(file)


def test_rewards_are_found_by_dotted_path():
    assert plugins.find("trl.rewards.think_format_reward")(completions=["<think>a</think>b"]) == [1.0]
    overlong = plugins.find("trl.rewards.get_soft_overlong_punishment")
    configured = overlong.configure(max_completion_len=10, soft_punish_cache=5)
    assert configured(completions=["x"], completion_ids=[[0] * 8]) == [pytest.approx(-0.6)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("correctnes", "did you mean 'correctness'"),
        ("trl.rewards.think_formt_reward", "did you mean 'think_format_reward'"),
        ("no_such.module.f", "no module 'no_such'"),
        ("math.pi", "is a float, not a function"),
    ],
)
def test_an_unknown_reward_is_refused(name, said):
    with pytest.raises(RequestError, match=said):
        plugins.find(name)


def test_a_module_beside_the_recipe_is_found_and_the_path_restored(tmp_path):
    (tmp_path / "beside_the_recipe.py").write_text(
        "def f(completions, **kwargs):\n    return [0.5 for _ in completions]\n"
    )
    before = list(sys.path)
    assert plugins.find("beside_the_recipe.f", tmp_path)(completions=["x"]) == [0.5]
    assert sys.path == before


def test_the_built_ins_come_in_by_entry_points():
    assert plugins.discover() == {}
    from rlkit.registry import REGISTRY

    assert {"length", "format", "xmlcount", "soft_format", "strict_format", "int", "correctness"} <= set(REGISTRY)


def test_a_plugin_may_import_what_stands_beside_it(tmp_path, clean_registry):
    (tmp_path / "helper_beside.py").write_text("VALUE = 0.5\n")
    text = PLUGIN.replace("from rlkit", "from helper_beside import VALUE\nfrom rlkit").replace("shout", "helped")
    (tmp_path / "mine.py").write_text(text)
    assert [made.name for made in plugins.load_file(tmp_path / "mine.py")] == ["helped"]


@pytest.mark.parametrize(
    ("text", "said"), [("x = 1\n", "registers no reward"), ("import sys; sys.exit(0)\n", "SystemExit")]
)
def test_a_plugin_without_a_reward_is_refused(tmp_path, clean_registry, text, said):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(RequestError, match=said):
        plugins.load_file(tmp_path / "mine.py")
