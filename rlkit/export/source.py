"""What is exported: a run's last model, a folder, or a model on the hub."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rlkit import hub, policy
from rlkit.errors import RequestError
from rlkit.policy import Policy
from rlkit.prompts import system_prompt
from rlkit.runs import RunDirectory, is_run

STAND_IN = (
    "What is 12 + 30?",
    "Name three colours.",
    "Write a sentence about the sea.",
    "Pourquoi le ciel est-il bleu ?",
)
"""Prompts to compare copies on where no run says what the model was trained on."""


@dataclass
class Source:
    """A trained model and what is known of it."""

    model: str
    """Its folder, or hub id."""
    name: str
    """What its copies are called."""
    run: Path | None = None
    """The run directory that made it."""
    stage: str | None = None
    """The folder of the stage that left it, as seen from there; a checkpoint's is in checkpoints/."""
    in_4bit: bool = False
    """Whether it was trained over a base in 4 bits."""

    @classmethod
    def find(cls, path: str, name: str | None = None) -> "Source":
        """The model at a path.

        Args:
            path: A run directory, the folder of a model or an adapter, or a hub id.
            name: What it is called; else it is named after the run, the folder or the hub id.

        Raises:
            RequestError: There is none.
        """
        folder = Path(path).expanduser()
        if is_run(folder):
            run = RunDirectory(folder.resolve())
            return cls._of_run(run.path, run.model(), name)
        policy.exists(path)
        if not folder.is_dir():
            return cls(path, name or path.rpartition("/")[2])
        folder = folder.resolve()
        for run_path in list(folder.parents)[:3]:  # a stage's folder, or a checkpoint's
            if is_run(run_path):
                return cls._of_run(run_path, folder, name)
        return cls(str(folder), name or _named(folder))

    @classmethod
    def _of_run(cls, run: Path, model: Path, name: str | None) -> "Source":
        stage = model.relative_to(run).as_posix()
        return cls(str(model), name or _named(run), run, stage, _in_4bit(run))

    def prompts(self, count: int) -> list[Any]:
        """Up to `count` different prompts of the run (texts, or messages); stand-ins where it kept none."""
        found: dict[str, Any] = {}
        for prompt in self._kept():
            found.setdefault(json.dumps(prompt), prompt)
            if len(found) == count:
                break
        return list(found.values()) or [[{"role": "user", "content": text}] for text in STAND_IN]

    def system(self) -> str | None:
        """The system prompt of the run's recipe."""
        data = yaml.safe_load((self.run / "recipe.yaml").read_text()).get("data") if self.run else None
        return system_prompt((data or {}).get("system"))

    def _kept(self) -> Iterator[Any]:
        """Prompts as the run wrote them down: those of its measurements first."""
        files: list[Path] = []
        if self.run:
            files = sorted(self.run.glob("*/samples.jsonl"), reverse=True)
            files += sorted(self.run.glob("completions/*/*.jsonl"))
        for file in files:
            with file.open() as lines:
                for line in lines:
                    yield json.loads(line)["prompt"]


def base_of(trained: Policy) -> tuple[str | None, str | None]:
    """Hub id and revision of the model that lies under what was trained; None: it has no place on the hub."""
    if trained.base is None or not hub.is_hub_id(trained.base):
        return None, None
    return trained.base, trained.revision


def _named(folder: Path) -> str:
    """A folder's name without the time that `rlkit train` puts behind it."""
    return re.sub(r"-\d{8}-\d{6}$", "", folder.name)


def _in_4bit(run: Path) -> bool:
    try:
        recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    except (OSError, yaml.YAMLError) as error:
        raise RequestError(f"run {run}: its recipe.yaml cannot be read: {error}") from None
    sections = [recipe, *(body or {} for stage in recipe.get("stages") or () for body in _bodies(stage))]
    return any((section.get("model") or {}).get("load_in_4bit") for section in sections)


def _bodies(stage: Any) -> list[Any]:
    return list(stage.values()) if isinstance(stage, dict) else []
