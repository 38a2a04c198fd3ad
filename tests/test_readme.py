"""Every command that the README prints runs, in its order, and its example reward is a plugin."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines() if line.strip()]

SMALL = {
    "rlkit train quickstart": ["sft.training.max_steps=3", "grpo.training.max_steps=1", "eval.data.limit=4"],
    "rlkit train my.yaml": ["training.max_steps=1", "generation.max_completion_length=8"],
    "rlkit eval": ["data.limit=4", "generation.max_completion_length=8"],
}
"""What a command gets besides, so that a test of it takes seconds."""


def test_the_readme_prints_commands():
    assert {command.split()[0] for command in COMMANDS} == {"make", "rlkit", "pytest"}


@pytest.mark.slow
def test_every_command_runs_in_its_order(tmp_path, tiny_model):
    (tmp_path / "my-model").symlink_to(tiny_model)
    for name in ("train", "test"):
        rows = [{"question": f"{n} + 1?", "answer": f"#### {n + 1}"} for n in range(24)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (plugin,) = [text for kind, text in BLOCKS if kind == "python"]
    (tmp_path / plugin.splitlines()[0].removeprefix("# ")).write_text(plugin)
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        more = next((small for start, small in SMALL.items() if command.startswith(start)), [])
        if program == "make":
            # CI runs the targets themselves; here they must exist, and make must find all they need.
            done = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True)
        else:
            start = [sys.executable, "-m", program, *(["-p", "no:cacheprovider"] if program == "pytest" else [])]
            done = subprocess.run([*start, *arguments, *more], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    summary = json.loads((tmp_path / "runs" / "mine" / "summary.json").read_text())
    assert "concise" in summary[-1]["metrics"]


def test_the_example_reward_has_ten_lines_at_most():
    (plugin,) = [text for kind, text in BLOCKS if kind == "python"]
    assert len([line for line in plugin.splitlines() if line.strip()]) <= 10


def test_the_shortened_recipe_is_a_recipe(tmp_path):
    from rlkit.recipe.load import load

    (text,) = [text for kind, text in BLOCKS if kind == "yaml"]
    (tmp_path / "short.yaml").write_text(text)
    assert load(str(tmp_path / "short.yaml")).resolved()[0].kind == "grpo"


def test_every_shipped_recipe_and_linked_file_is_there():
    from rlkit.recipe.files import builtin

    for name in builtin():
        assert f"| `{name}` |" in README
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_recipes_of_the_documentation_validate(tmp_path, tiny_model, rlkit):
    text = (ROOT / "docs" / "recipes.md").read_text()
    (tmp_path / "my-model").symlink_to(tiny_model)
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text('{"question": "1 + 1?", "answer": "so #### 2"}\n')
    recipes = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert recipes
    for recipe in recipes:
        (tmp_path / "documented.yaml").write_text(recipe)
        overrides = ["training.max_steps=10", "rewards.correctness.weight=3", "after.samples=8"]
        done = rlkit("validate", "documented.yaml", *overrides)
        assert done.code == 0, done.err
