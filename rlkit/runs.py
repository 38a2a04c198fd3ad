"""The run directory: enough to know what happened, to repeat it, and to go on after a kill.

recipe.yaml (resolved, runnable as it is), env.json, metrics.jsonl, completions/, checkpoints/, one folder a
stage with its model or result, curves.png, report.html, and summary.json: one object a finished stage, in order.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import yaml

from rlkit.environment import environment
from rlkit.errors import RequestError
from rlkit.recipe.recipe import Recipe, Stage

ELSEWHERE = {"servers", "adapter_folder"}
"""Settings that say where a run is computed, not what: a resumed run may have others."""


class RunDirectory:
    """A run on disk. Only the main process of a distributed run writes."""

    def __init__(self, path: Path):
        self.path = path
        self.is_main = os.environ.get("RANK", "0") == "0"

    @classmethod
    def create(cls, path: Path, recipe: Recipe) -> "RunDirectory":
        """Make the directory of a new run.

        Raises:
            RequestError: It exists.
        """
        run = cls(path)
        if not run.is_main:
            return run
        cls.refuse_existing(path)
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise RequestError(f"run directory {path} cannot be made: {error.strerror}") from None
        run._write("recipe.yaml", resolved(recipe))
        # Modules that stand beside the recipe are found there when the run's own copy is run.
        env = {**environment(), "recipe_folder": str(recipe._folder.resolve()) if recipe._folder else None}
        run._write("env.json", json.dumps(env, indent=2) + "\n")
        run._write("summary.json", "[]\n")
        return run

    @classmethod
    def resume(cls, path: Path, recipe: Recipe) -> "RunDirectory":
        """Open the directory of a run that did not end.

        Raises:
            RequestError: There is no run, or its recipe is another one.
        """
        if not is_run(path):
            raise RequestError(f"--resume: {path} holds no run; leave out --resume to start one there")
        was, now = yaml.safe_load((path / "recipe.yaml").read_text()), yaml.safe_load(resolved(recipe))
        changed = sorted(path for path in _differences(was, now) if not ELSEWHERE & {*path.split(".")})
        if changed:
            raise RequestError(
                f"--resume: the recipe of {path} differs in {', '.join(changed)}; go on as it was with:\n"
                f"  rlkit train {path}/recipe.yaml --run-dir {path} --resume"
            )
        return cls(path)

    @staticmethod
    def refuse_existing(path: Path) -> None:
        """Raise where the directory is there already."""
        if path.exists():
            raise RequestError(
                f"run directory {path} exists. Go on with it: --resume; start beside it: --run-dir OTHER; "
                f"start anew: remove it first"
            )

    def folder(self, stage: Stage) -> Path:
        """Where a stage leaves its model or its result."""
        return self.path / stage.folder

    def checkpoints(self, stage: Stage) -> Path:
        """Where a training stage leaves its checkpoints."""
        return self.path / "checkpoints" / stage.folder

    def summary(self) -> list[dict[str, Any]]:
        """One object a finished stage, in order."""
        file = self.path / "summary.json"
        return json.loads(file.read_text()) if file.exists() else []

    def finished(self, stage: Stage) -> dict[str, Any] | None:
        """What a stage came to, or None where it did not end."""
        return next((entry for entry in self.summary() if entry["name"] == stage.name), None)

    def finish(self, stage: Stage, seconds: float, metrics: dict[str, Any]) -> None:
        """Write down that a stage ended."""
        if self.is_main:
            entry = {"stage": stage.kind, "name": stage.name, "seconds": round(seconds, 1), "metrics": metrics}
            self._write("summary.json", json.dumps([*self.summary(), entry], indent=2) + "\n")

    def log(self, row: dict[str, Any]) -> None:
        """Append a row to metrics.jsonl."""
        if self.is_main:
            with (self.path / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")

    def metrics(self, stage: str | None = None) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, of one stage or of all."""
        file = self.path / "metrics.jsonl"
        rows = []
        for line in file.read_text().splitlines() if file.exists() else ():
            with contextlib.suppress(ValueError):  # a kill may have torn the last line
                rows.append(json.loads(line))
        return [row for row in rows if stage in (None, row["stage"])]

    def rewind(self, stage: Stage, step: int) -> None:
        """Forget the metrics of a stage after a step: a resumed run makes them again."""
        if self.is_main and (self.path / "metrics.jsonl").exists():
            kept = [row for row in self.metrics() if row["stage"] != stage.name or row["step"] <= step]
            self._write("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in kept))

    def prompts(self, stage: Stage) -> Path:
        """Where a GRPO stage keeps how hard its prompts were."""
        return self.path / "prompts" / f"{stage.folder}.jsonl"

    def log_completions(self, stage: Stage, step: int, rows: list[dict[str, Any]], more: bool = False) -> None:
        """Write the completions of a step, each with its rewards; `more`: behind those that it has already."""
        folder = self.path / "completions" / stage.folder
        folder.mkdir(parents=True, exist_ok=True)
        rank = os.environ.get("RANK", "0")
        name = f"step_{step:06d}.jsonl" if rank == "0" else f"step_{step:06d}.rank{rank}.jsonl"
        with (folder / name).open("a" if more else "w") as file:
            file.write("".join(json.dumps(row, default=str) + "\n" for row in rows))

    def write_result(self, stage: Stage, metrics: dict[str, Any], samples: list[dict[str, Any]]) -> None:
        """Write what a stage measured, and every sample that it looked at."""
        if self.is_main:
            result = {"stage": stage.kind, "name": stage.name, "metrics": metrics}
            self.folder(stage).mkdir(exist_ok=True)
            self._write(f"{stage.folder}/samples.jsonl", "".join(json.dumps(s, default=str) + "\n" for s in samples))
            self._write(f"{stage.folder}/result.json", json.dumps(result, indent=2) + "\n")

    def model(self) -> Path:
        """The folder of the last model that a stage left.

        Raises:
            RequestError: None did.
        """
        trained = [f"{i}-{e['name']}" for i, e in enumerate(self.summary(), start=1) if e["stage"] != "eval"]
        if not trained:
            raise RequestError(f"run {self.path}: no stage has left a model yet")
        return self.path / trained[-1]

    def _write(self, name: str, text: str) -> None:
        """All or nothing: a kill leaves the old file."""
        part = self.path / f"{name}.part"
        part.write_text(text)
        part.replace(self.path / name)


def is_run(path: Path) -> bool:
    """Whether a folder is a run directory."""
    return (path / "recipe.yaml").is_file() and (path / "summary.json").is_file()


def resolved(recipe: Recipe) -> str:
    """The recipe as YAML that runs from any folder: overrides laid in, local paths absolute."""
    data = recipe.model_dump(exclude_unset=True)
    data.pop("plugins", None)
    if recipe.plugins:
        data["plugins"] = [str(Path(file).resolve()) for file in recipe.plugins]
    _absolute(data)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)


def _absolute(section: Any) -> None:
    """Make the paths of `model` and `data` absolute, here and in every stage."""
    if isinstance(section, list):
        for entry in section:
            _absolute(entry)
        return
    if not isinstance(section, dict):
        return
    for key, inner in section.items():
        if key in ("model", "data") and isinstance(inner, dict):
            tokenizer = (inner.get("from_scratch") or {}).get("tokenizer") or {}
            for held, field in (
                (inner, "path"),
                (inner, "chat_template"),
                (tokenizer, "from"),
                (tokenizer, "chat_template"),
            ):
                path = held.get(field)
                if isinstance(path, str) and _is_there(path):
                    held[field] = str(Path(path).expanduser().resolve())
        elif key in ("stages", "eval", "sft", "grpo", "task"):
            _absolute(inner)


def _is_there(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except OSError:  # too long for a name: a template itself
        return False


def _differences(was: Any, now: Any, path: str = "") -> set[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        keys = {*was, *now}
        return {d for k in keys for d in _differences(was.get(k), now.get(k), f"{path}.{k}" if path else str(k))}
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        return {d for i, (a, b) in enumerate(zip(was, now, strict=True)) for d in _differences(a, b, f"{path}.{i}")}
    return set() if was == now else {path}
