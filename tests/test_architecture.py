"""The rules of the house that code can be held to."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "rlkit"
LAYERS = [
    {
        "errors",
        "names",
        "completion",
        "groups",
        "intervals",
        "tables",
        "templates",
        "progress",
        "hub",
        "cache",
        "heads",
    },
    {"signature", "answers", "worker", "workers", "sandbox", "judge"},
    {"values", "overlap", "reply"},
    {"isolation"},
    {"function", "environment", "prompts", "entities", "labels"},
    {"registry", "weighting"},
    {"plugins"},
    {"tasks"},
    {"recipe", "formats"},
    {"sources", "scoring", "scratch", "policy", "runs"},
    {"data", "engines", "curves", "reading", "report", "saved", "attacks", "measurement"},
    {"leaks", "evaluation"},
    {"training", "recorded", "comparison", "audit", "export"},
    {"harness"},
    {"plan"},
    {"classic"},
    {"measuring"},
    {"pipeline", "validation", "serving"},
    {"side_by_side", "signal_check", "suites"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "rlkit":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rlkit."):
            yield node.module.split(".")[1]


def room(file):
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = [file for file in PACKAGE.rglob("*.py") if room(file) not in ("__init__", "__main__")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_run_one_way(file):
    for name in imports(file):
        if name in LEVEL and name != room(file):
            assert LEVEL[name] < LEVEL[room(file)], f"{room(file)} imports {name}"


def test_every_room_has_its_layer():
    assert {room(file) for file in FILES} <= set(LEVEL)


def test_rlkit_never_names_its_own_rewards():
    for file in FILES:
        assert "rewards" not in set(imports(file)), file


def test_files_stay_readable():
    long = {str(f): n for f in PACKAGE.rglob("*.py") if (n := len(f.read_text().splitlines())) > 350}
    assert not long


QUICK = [
    ["--help"],
    ["ls"],
    ["ls", "--json"],
    ["show", "length"],
    ["show", "quickstart"],
    ["show", "suites/gsm8k"],
    ["train", "--help"],
    ["schema"],
]


@pytest.mark.parametrize("arguments", [*QUICK, ["validate", "quickstart"], ["ls", "suites"]], ids=" ".join)
def test_light_commands_import_no_torch(arguments):
    code = (
        "import sys\nfrom rlkit.cli import run\n"
        f"assert run({arguments!r}) == 0\n"
        "heavy = [m for m in ('torch', 'transformers', 'trl', 'vllm', 'peft') if m in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
