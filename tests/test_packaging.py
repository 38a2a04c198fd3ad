"""What users install: the wheel in an environment of its own, and the editable checkout."""

import json
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from rlkit import plugins
from rlkit.registry import REGISTRY

ROOT = Path(__file__).parents[1]


def run(*command, **settings):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_installs_in_a_fresh_environment_and_lists_its_rewards(tmp_path):
    """With no more than the packages that light commands need: neither torch nor TRL is there."""
    source = tmp_path / "source"
    run("git", "clone", "--quiet", ROOT, source)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    run(python, "-m", "pip", "install", "--quiet", "click", "pydantic", "pyyaml")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    shadow = tmp_path / "elsewhere"
    shadow.mkdir()
    (shadow / "rewards.py").write_text("raise SystemExit('a user has a rewards.py of their own')\n")
    rlkit = tmp_path / "venv" / "bin" / "rlkit"
    listed = run(rlkit, "ls", "rewards", "--json", cwd=shadow, env=environment)
    names = {row["name"]: row["source"] for row in json.loads(listed)}
    plugins.discover()
    assert set(names) == {name for name, made in REGISTRY.items() if made.function.__module__.startswith("rlkit.")}
    assert all(str(tmp_path / "venv") in source for source in names.values())
    (package,) = (tmp_path / "venv" / "lib").glob("python*/site-packages/rlkit")
    assert {"report.html", "py.typed"} <= {path.name for path in package.iterdir()}
    recipes = run(rlkit, "ls", "recipes", cwd=shadow, env=environment)
    for recipe in ("quickstart", "gsm8k", "smoltldr-length", "gsm8k-gemma3-1b", "sft-smoltalk"):
        assert recipe in recipes
    assert "humaneval" in run(rlkit, "ls", "suites", cwd=shadow, env=environment)


def test_the_editable_checkout_maps_rewards_and_recipes_into_the_package():
    import importlib

    for name in ("rewards", "recipes"):
        module = importlib.import_module(f"rlkit.{name}")
        assert Path(module.__file__).parent == ROOT / name


def test_every_package_is_listed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "rlkit").rglob("__init__.py")}
    assert set(settings["packages"]) == found | {"rlkit.rewards", "rlkit.recipes"}


def test_the_locks_lie_within_the_ranges():
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [Requirement(text) for text in project["dependencies"]]
    extras = project["optional-dependencies"]
    for lock, more in (("cpu", ["plots", "bnb"]), ("gpu", ["plots", "bnb", "vllm", "unsloth"])):
        lines = (ROOT / "locks" / f"{lock}.txt").read_text().splitlines()
        pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
        pinned = {pin.name: str(pin.specifier).removeprefix("==") for pin in pins}
        wanted = asked + [Requirement(text) for extra in more for text in extras[extra]]
        for requirement in wanted:
            assert requirement.specifier.contains(pinned[requirement.name.lower()]), (lock, str(requirement))


def test_the_range_of_trl_admits_both_ends():
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (trl,) = [r for text in project["dependencies"] if (r := Requirement(text)).name == "trl"]
    assert all(trl.specifier.contains(version) for version in ("1.14.2", "1.15.0", "1.16.0"))
