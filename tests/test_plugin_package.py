"""A plugin from another package: installed for real, found by its entry point, and trained with by name."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "plugin_package"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment in which the package stands beside rlkit."""
    import shutil

    source, site = tmp_path_factory.mktemp("source") / "package", tmp_path_factory.mktemp("site")
    shutil.copytree(SOURCE, source)  # a build leaves folders behind
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(site),
    ]
    subprocess.run([*pip, str(source)], check=True, capture_output=True)
    return {**os.environ, "PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1"}


def rlkit(installed, *arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "rlkit", *arguments], env=installed, cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_reward_stands_among_the_others(installed, tmp_path):
    names = [shown["name"] for shown in json.loads(rlkit(installed, "ls", "rewards", "--json", cwd=tmp_path))]
    assert "short_lines" in names
    assert "rlkit_tidy" in rlkit(installed, "show", "short_lines", cwd=tmp_path)
    assert "short_lines: passed" in rlkit(installed, "audit", "short_lines", cwd=tmp_path)


@pytest.mark.slow
def test_the_quickstart_trains_with_it_by_name(installed, tmp_path):
    rlkit(
        installed,
        "train",
        "quickstart",
        "rewards=[correctness, {short_lines: {limit: 20, weight: 0.5}}]",
        "sft.training.max_steps=20",
        "grpo.training.max_steps=3",
        "--run-dir",
        "run",
        cwd=tmp_path,
    )
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    logged = [row["rewards/short_lines/mean"] for row in rows if "rewards/short_lines/mean" in row]
    assert logged
    assert all(0.0 <= value <= 1.0 for value in logged)
