"""Small real things that tests share: models made on the spot, the command line, the data beside the project."""

import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("RLKIT_DATA", ROOT.parent / "shared" / "data"))

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may depend on a hub


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the most slow tests first: several workers, each with a file at a time, then end together."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the project; users who clone it do not have it."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real data at {SHARED} (or $RLKIT_DATA)")
    return SHARED


def hear_interrupts() -> None:
    """For a process that a test interrupts: tests that run in the background would make it deaf to that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def rlkit(tmp_path):
    """Run the command line as a user does, in a process of its own, in an empty folder."""

    def run(*arguments: str | Path, cwd: Path | None = None, timeout: float = 300, env: dict | None = None) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "rlkit", *map(str, arguments)],
            cwd=cwd or tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **(env or {})},
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A Llama of some 150,000 parameters with a chat template, made from scratch."""
    from rlkit import scratch
    from rlkit.recipe.model import FromScratchSection, TokenizerSection

    folder = tmp_path_factory.mktemp("models") / "tiny"
    section = FromScratchSection(
        hidden_size=64,  # bitsandbytes packs blocks of 64
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        tokenizer=TokenizerSection(vocab_size=320),
    )
    texts = ["How many apples are 3 and 4?", "There are 7 apples.", "How many clips did Natalia sell altogether?"]
    tokenizer = scratch.make_tokenizer(section.tokenizer, texts * 5)
    scratch.make_model(section, tokenizer, seed=0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def questions(tmp_path) -> Path:
    """A small local dataset in GSM8K's form."""
    import json

    file = tmp_path / "questions.jsonl"
    rows = [{"question": f"How many are {a} and {a + 1}?", "answer": f"Add. #### {2 * a + 1}"} for a in range(24)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def recipe_file(tmp_path, questions, tiny_model):
    """Write a recipe that works; keyword arguments replace its sections."""
    import yaml

    def write(name: str = "recipe.yaml", **sections) -> Path:
        recipe = {
            "model": {"path": str(tiny_model)},
            "data": {"path": str(questions), "prompt": "question", "answer": "after:####"},
            "rewards": ["xmlcount", {"correctness": {"weight": 2.0}}],
            "generation": {"num_generations": 4, "max_completion_length": 8},
            "training": {"max_steps": 2, "per_device_train_batch_size": 4, "gradient_checkpointing": False},
        }
        recipe.update(sections)
        file = tmp_path / name
        file.write_text(yaml.safe_dump({key: value for key, value in recipe.items() if value is not None}))
        return file

    return write


@pytest.fixture
def clean_registry():
    """Rewards that a test registers are gone after it."""
    from rlkit import plugins
    from rlkit.registry import REGISTRY

    plugins.discover()
    before = dict(REGISTRY)
    yield REGISTRY
    REGISTRY.clear()
    REGISTRY.update(before)
