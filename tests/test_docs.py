"""Every command that docs/rewards.md prints runs, in its order; its code and YAML are what they say."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rlkit import plugins
from rlkit.registry import REGISTRY

PAGE = (Path(__file__).parents[1] / "docs" / "rewards.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines() if line.strip()]
ROWS = [
    {"prompt": "2+2?", "completion": f"It is so.\n<answer>{n}</answer>", "answer": "4", "gold": "4"} for n in range(8)
]


@pytest.mark.slow
def test_every_command_runs_in_its_order(tmp_path, tiny_model):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "first").symlink_to(tiny_model)
    (tmp_path / "rollouts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        start = [sys.executable, "-m", program, *(["-p", "no:cacheprovider"] if program == "pytest" else [])]
        done = subprocess.run([*start, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert len((tmp_path / "scored.jsonl").read_text().splitlines()) == len(ROWS)


def test_its_example_is_a_plugin(tmp_path, clean_registry):
    from rlkit.registry import check_gold

    (tmp_path / "example.py").write_text(next(text for kind, text in BLOCKS if kind == "python"))
    (made,) = plugins.load_file(tmp_path / "example.py")
    assert check_gold(made) == []


def test_its_recipe_is_one(recipe_file, tmp_path, clean_registry):
    import yaml

    from rlkit.recipe.load import load

    sections = yaml.safe_load(next(text for kind, text in BLOCKS if kind == "yaml"))
    (tmp_path / "concise.py").write_text(next(text for kind, text in BLOCKS if kind == "python"))
    assert len(load(str(recipe_file(**sections))).resolved()[0].rewards) == 5


def test_the_stages_of_the_evaluation_page_are_ones(recipe_file):
    import yaml

    from rlkit.recipe.load import load

    page = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text()
    harness, select = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    (stage,) = load(str(recipe_file(**harness))).resolved()
    assert stage.harness.tasks == ["arc_easy", "capitals"]
    (stage,) = load(str(recipe_file(**select))).resolved()
    assert stage.measure.data.split == "test"


def test_the_page_names_every_built_in_and_nothing_else():
    plugins.discover()
    built_in = {name for name, made in REGISTRY.items() if made.function.__module__.startswith("rlkit.rewards")}
    table = PAGE.partition("| family | rewards |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == built_in
