"""What is known of a model: what it is made of, the run that trained it, and what was measured of it."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rlkit import hub
from rlkit.errors import RequestError
from rlkit.export.artifact import Artifact, Kind
from rlkit.recipe.recipe import Recipe, Stage
from rlkit.runs import RunDirectory, is_run

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
FILES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow", ".gz", ".safetensors", ".gguf", ".yaml", ".py")
"""What hub ids do not end in."""


@dataclass(frozen=True)
class Done:
    """A stage that the model went through, or a measurement on the way."""

    stage: Stage
    seconds: float | None
    """None: it has not ended (the model is a checkpoint of it)."""
    metrics: dict[str, Any]
    rows: list[dict[str, Any]]
    """What it logged, step by step."""
    of: str
    """What the stage started from, or what was measured, in words."""
    own: bool
    """Of a measurement: whether it is of this very model."""


@dataclass(frozen=True)
class Provenance:
    """What is known of a model; where nothing tells of its training, `run` and `recipe` are None, `stages` empty."""

    folder: Path
    """Where its files are."""
    kind: Kind
    artifact: Artifact | None = None
    adapter: dict[str, Any] | None = None
    """Of an adapter: its adapter_config.json."""
    run: RunDirectory | None = None
    recipe: Recipe | None = None
    stages: list[Done] = field(default_factory=list)
    """In order; none that came after this model."""
    environment: dict[str, Any] = field(default_factory=dict)
    """Versions and hardware of the run."""
    checkpoint: int | None = None
    """The step, where the model is a checkpoint."""

    @classmethod
    def of(cls, path: Path, artifact: Artifact | None = None) -> "Provenance":
        """Read what is known of a model.

        Args:
            path: An export, an adapter, a stage's folder, a checkpoint, or a run directory (its last model).
            artifact: The manifest of an export.

        Raises:
            RequestError: It is a run that has left no model yet.
        """
        path = path.expanduser().resolve()
        folder = RunDirectory(path).model() if is_run(path) else path
        adapter = _json(folder / "adapter_config.json")
        files = any(folder.glob("*.gguf"))
        kind: Kind = artifact.kind if artifact else "adapter" if adapter else "gguf" if files else "merged"
        run, name, checkpoint = _trained_in(_made_of(artifact) or folder)
        if run is None:
            return cls(folder, kind, artifact, adapter)
        recipe = _recipe(run)
        stages = _history(run, recipe, name, checkpoint) if recipe else []
        environment = _json(run.path / "env.json") or {}
        return cls(folder, kind, artifact, adapter, run, recipe, stages, environment, checkpoint)

    @property
    def trained(self) -> list[Done]:
        """The training stages."""
        return [done for done in self.stages if done.stage.kind != "eval"]

    @property
    def measured(self) -> list[Done]:
        """The measurements, of this model and of those before it."""
        return [done for done in self.stages if done.stage.kind == "eval"]

    @property
    def origin(self) -> str | None:
        """What training began from: a hub id, or a local folder; None: unknown, or a new model."""
        if self.artifact and self.artifact.base_model:
            return self.artifact.base_model
        start = next((done.stage.model for done in reversed(self.trained) if done.stage.model), None)
        if start is not None:
            return _under(start.path) if start.path else None
        return str(self.adapter["base_model_name_or_path"]) if self.adapter else None

    @property
    def from_scratch(self) -> bool:
        """Whether training began from random weights."""
        start = next((done.stage.model for done in reversed(self.trained) if done.stage.model), None)
        return bool(start and start.from_scratch)

    @property
    def in_4bit(self) -> bool:
        """Whether it was trained, and measured, over a base in 4 bits."""
        sections = [self.recipe.model if self.recipe else None, *(done.stage.model for done in self.trained)]
        return any(section.load_in_4bit for section in sections if section)

    @property
    def base(self) -> str | None:
        """Hub id of what this model stands on (an adapter) or was made from; None: it has no place on the hub."""
        base = str(self.adapter["base_model_name_or_path"]) if self.kind == "adapter" and self.adapter else self.origin
        return base if base and is_on_hub(base, self.folder.parent) else None

    @property
    def revision(self) -> str | None:
        """Of the base; None: its newest."""
        if self.adapter and self.adapter.get("revision"):
            return str(self.adapter["revision"])
        if self.artifact and self.artifact.base_revision:
            return self.artifact.base_revision
        start = next((done.stage.model for done in reversed(self.trained) if done.stage.model), None)
        return start.revision if start else None

    @property
    def is_copy(self) -> bool:
        """Whether the files are not what was trained and measured, but were made of it."""
        return self.artifact is not None or self.kind == "gguf"

    @property
    def gguf(self) -> dict[str, Path]:
        """Type (Q4_K_M) -> GGUF file, the smallest first."""
        files = sorted(self.folder.glob("*.gguf"), key=lambda file: file.stat().st_size)
        return {file.stem.rpartition("-")[2].upper(): file for file in files}

    @property
    def has_chat_template(self) -> bool:
        """Whether prompts are written with a chat template."""
        settings = _json(self.folder / "tokenizer_config.json") or {}
        if (self.folder / "chat_template.jinja").is_file() or settings.get("chat_template"):
            return True
        if self.kind == "gguf" and self.run:  # a GGUF file keeps it inside
            return any(self.run.path.glob("*/chat_template.jinja"))
        return False

    def samples(self, count: int) -> list[dict[str, Any]]:
        """The first rows of the last measurement of this model: not chosen, so that they show what is usual."""
        own = [done for done in self.measured if done.own]
        if not own or not self.run:
            return []
        file = self.run.folder(own[-1].stage) / "samples.jsonl"
        if not file.is_file():
            return []
        with file.open(encoding="utf-8") as lines:
            return [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]


def is_on_hub(name: str, beside: Path | None = None) -> bool:
    """Whether a model or dataset goes by this id on the hub: not a path, not a file, not a Python generator.

    Args:
        name: As a recipe or an adapter's configuration has it.
        beside: A folder in which it would be a local one.
    """
    if not HUB_ID.fullmatch(name) or name.lower().endswith(FILES) or not hub.is_hub_id(name):
        return False
    return "/" in name or not (beside and (beside / name).exists())


def _made_of(artifact: Artifact | None) -> Path | None:
    """The folder in a run of which an export was made."""
    return Path(artifact.run, artifact.stage or "") if artifact and artifact.run else None


def _trained_in(folder: Path) -> tuple[RunDirectory | None, str | None, int | None]:
    """The run that a folder belongs to, the folder of its stage (None: the last), and the step of a checkpoint."""
    if is_run(folder):
        return RunDirectory(folder), None, None
    if is_run(folder.parent):
        return RunDirectory(folder.parent), folder.name, None
    above = folder.parents[2] if len(folder.parents) > 2 else folder
    found = re.fullmatch(r"checkpoint-(\d+)", folder.name)
    if found and folder.parents[1].name == "checkpoints" and is_run(above):
        return RunDirectory(above), folder.parent.name, int(found[1])
    return None, None, None


def _recipe(run: RunDirectory) -> Recipe | None:
    """The run's recipe, as far as its form goes: rewards and data need not be at hand to tell of it."""
    try:
        return Recipe.model_validate(yaml.safe_load((run.path / "recipe.yaml").read_text()))
    except ValidationError:  # of another version of rlkit
        return None
    except (OSError, yaml.YAMLError) as error:
        raise RequestError(f"run {run.path}: its recipe.yaml cannot be read: {error}") from None


def _history(run: RunDirectory, recipe: Recipe, folder: str | None, checkpoint: int | None) -> list[Done]:
    """What happened to a model: the stages up to its own, and the measurements until the next training stage."""
    stages = recipe.resolved()
    finished = [stage for stage in stages if stage.kind != "eval" and run.finished(stage)]
    last = next((stage for stage in stages if stage.folder == folder), finished[-1] if finished else None)
    if last is None:
        return []
    done: list[Done] = []
    now = "the base model"
    for stage in stages:
        if stage.index > last.index and (stage.kind != "eval" or checkpoint is not None):
            break
        entry = run.finished(stage)
        if entry is None and stage is not last:
            continue
        of = _start(stage) or now
        own = stage.kind == "eval" and stage.index > last.index and stage.model is None
        rows = [
            row for row in run.metrics(stage.name) if stage is not last or row["step"] <= (checkpoint or row["step"])
        ]
        partial = stage is last and checkpoint is not None
        seconds, metrics = (None, {}) if entry is None or partial else (entry["seconds"], entry["metrics"])
        done.append(Done(stage, seconds, metrics, rows, of, own))
        if stage.kind != "eval":
            now = f"what {stage.name} left"
    return _apart(done, last)


def _start(stage: Stage) -> str | None:
    """The model that a stage names itself; None: what it is handed."""
    if stage.model and stage.model.from_scratch:
        return "a new model"
    return stage.model.path if stage.model else None


def _apart(done: list[Done], last: Stage) -> list[Done]:
    """Without the stages that this model does not come from: a stage with a model of its own starts anew."""
    starts = [one.stage.index for one in done if one.stage.kind != "eval" and one.stage.model and one.stage.index > 1]
    first = max((index for index in starts if index <= last.index), default=0)
    return [one for one in done if one.stage.kind == "eval" or one.stage.index >= first]


def _under(path: str, depth: int = 8) -> str:
    """What a local folder was itself trained from, where it is an adapter or a stage of a run; else the path."""
    folder = Path(path).expanduser()
    if not folder.is_dir() or not depth:
        return path
    if config := _json(folder / "adapter_config.json"):
        return _under(str(config["base_model_name_or_path"]), depth - 1)
    if is_run(folder) or is_run(folder.parent):
        return Provenance.of(folder).origin or path
    return path


def _json(file: Path) -> dict[str, Any] | None:
    try:
        read = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return read if isinstance(read, dict) else None
