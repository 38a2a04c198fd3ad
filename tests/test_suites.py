"""`rlkit eval --suite`: one, several, and what is refused."""

import json
from pathlib import Path

import pytest
import yaml

from rlkit import suites
from rlkit.cli import run


@pytest.fixture
def files(tmp_path, questions):
    """Two suites of a user's own."""
    made = []
    for name, rewards in (("numbers", [{"numeric": {"name": "accuracy"}}]), ("tags", ["xmlcount"])):
        section = {"path": str(questions), "prompt": "question", "answer": "after:####"}
        recipe = {"data": section, "rewards": rewards, "generation": {"max_completion_length": 6}, "stages": ["eval"]}
        made.append(tmp_path / f"{name}.yaml")
        made[-1].write_text(yaml.safe_dump(recipe))
    return [str(file) for file in made]


@pytest.mark.slow
def test_several_suites_are_one_table_one_object_and_one_file_of_samples(files, tiny_model, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    asked = ["eval", str(tiny_model), "--suite", files[0], "--suite", files[1], "--limit", "4"]
    assert run([*asked, "--json", "-o", str(out)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["model"], [one["suite"] for one in said["suites"]]) == (str(tiny_model), files)
    assert [one["metrics"]["n"] for one in said["suites"]] == [4, 4]
    samples = [json.loads(line) for line in out.read_text().splitlines()]
    assert [sample["suite"] for sample in samples] == [files[0]] * 4 + [files[1]] * 4
    assert run(asked) == 0
    head, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert head == ["suite", "figure", "value", "95%", "interval", "n", "clipped"]
    assert [row[:2] for row in rows] == [[files[0], "accuracy"], [files[1], "xmlcount"]]
    value = next(one["metrics"]["accuracy"] for one in said["suites"])
    assert float(rows[0][2]) == value


@pytest.mark.slow
def test_a_suite_that_fails_does_not_lose_what_was_measured(files, tiny_model, tmp_path, capsys, clean_registry):
    (tmp_path / "broken.py").write_text(
        "from rlkit import reward\n\n\n@reward('broken', gold=[])\n"
        "def broken(completion):\n    raise ValueError('no')\n"
    )
    recipe = yaml.safe_load(Path(files[1]).read_text())
    broken = tmp_path / "broken.yaml"
    broken.write_text(yaml.safe_dump({**recipe, "rewards": ["broken"], "plugins": ["broken.py"]}))
    asked = ["eval", str(tiny_model), "--suite", files[0], "--suite", str(broken), "--limit", "12"]
    assert run([*asked, "--json"]) == 1
    said = capsys.readouterr()
    assert [one["suite"] for one in json.loads(said.out)["suites"]] == [files[0]]
    assert "broken" in said.err


def test_all_that_is_wrong_with_several_is_said_before_a_model_is_loaded(files, tiny_model, capsys):
    asked = ["eval", str(tiny_model), "--suite", files[0], "--suite", files[1], "eval.by=levle"]
    assert run(asked) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert [said.err.count(f"suite {file}: ") for file in files] == [1, 1]
    assert "unknown column 'levle'" in said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--suite", "gsm8c"], "unknown suite 'gsm8c'; did you mean 'gsm8k'?"),
        (["--suite", "quickstart"], "it is a recipe, no suite (--recipe quickstart)"),
        (["--suite", "absent.yaml"], "suite absent.yaml: there is no such file"),
        (["--suite", "gsm8k", "--recipe", "gsm8k"], "--recipe gsm8k says what is measured, and so does --suite"),
        (["--suite", "gsm8k", "--task", "sft"], "--task sft says what is measured, and so does --suite"),
        (["--suite", "gsm8k", "--suite", "gsm8k"], "each suite once"),
        (["--suite", "gsm8k", "--suite", "mmlu", "--against", "x"], "--against x goes with one --suite"),
        (["--suite", "gsm8k", "--suite", "mmlu", "--data", "x"], "--data x goes with one --suite"),
        (["--suite", "gsm8k", "--reward", "int"], "--reward int goes with --completions"),
        (["--suite", "gsm8k", "data.wehre=1"], "unknown key 'wehre'; did you mean 'where'?"),
    ],
)
def test_what_is_refused(arguments, said, tiny_model, capsys):
    assert run(["eval", str(tiny_model), *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err


def test_recorded_completions_are_measured_by_a_suite(tmp_path, capsys):
    rows = [{"prompt": "?", "completion": f"So \\boxed{{{n}}}", "answer": "3"} for n in (3, 4)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(["eval", "--completions", str(file), "--suite", "gsm8k", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["suite"], said["metrics"]["accuracy"]) == ("gsm8k", 0.5)
    for more, word in ((["--limit", "1"], "--limit 1"), (["--suite", "mmlu"], f"--completions {file}")):
        assert run(["eval", "--completions", str(file), "--suite", "gsm8k", *more]) == 2
        assert word in capsys.readouterr().err


def test_the_main_figure_is_the_first_where_nothing_says_what_is_correct():
    assert suites.main_figure({"n": 2, "rouge": 0.5, "reward": 0.5}) == "rouge"
    assert suites.main_figure({"n": 2, "rouge": 0.5, "accuracy": 0.5}) == "accuracy"


@pytest.mark.slow
def test_limit_is_of_the_data_that_is_measured_on(recipe_file, tiny_model, capsys):
    file = recipe_file(eval={"data": {"limit": 6}})
    assert run(["eval", str(tiny_model), "--recipe", str(file), "--limit", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["n"] == 2
