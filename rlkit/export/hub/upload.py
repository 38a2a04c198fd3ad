"""What is pushed: the files of a model, with its card, and nothing that belongs to this machine alone."""

import json
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from rlkit import hub
from rlkit.errors import RequestError
from rlkit.export.artifact import MANIFEST, Artifact
from rlkit.runs import RunDirectory, is_run

CARD = "README.md"
KINDS = (".safetensors", ".gguf", ".json", ".jinja", ".model", ".txt")
"""Ends of the files that make a model, in a folder without a manifest."""
NEVER = (
    *(MANIFEST, CARD, ".*", "__pycache__", "checkpoint-*", "global_step*", "wandb", "runs", "events.out.*"),
    *("*.part", "*.tmp", "*.lock", "*.log", "*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.py"),
    *("trainer_state.json", "training_args.*", "optimizer.*", "scheduler.*", "scaler.*"),
)
"""Names of files and folders that stay here: what training needs to go on, what is unfinished, what can run code."""
SETTINGS = ("adapter_config.json", "config.json", "generation_config.json", "tokenizer_config.json")
"""Files into which libraries write where a model lay."""
PLACES = ("base_model_name_or_path", "_name_or_path", "name_or_path")
SHOWN = 5


@dataclass
class Upload:
    """What would be pushed, and where to."""

    repo: str
    """OWNER/NAME."""
    kind: str
    """adapter, merged, gguf, or model: whole weights as a run left them."""
    files: dict[str, Path | bytes]
    """Name in the repository -> the file, or what it holds where that differs from the file here; no card in it."""
    card: str | None
    """The text of README.md; None: none is pushed."""
    pictures: dict[str, Path] = field(default_factory=dict)
    """What the card shows: name in the repository -> file. They come and go with it."""
    public: bool = False
    replace_card: bool = False
    revision: str = "main"
    notes: list[str] = field(default_factory=list)
    """What a user should hear of before it is pushed."""

    @property
    def sizes(self) -> dict[str, int]:
        """Name in the repository -> bytes, the card and its pictures last."""
        everything = {**self.files, **self.shown}
        return {n: len(f) if isinstance(f, bytes) else f.stat().st_size for n, f in everything.items()}

    @property
    def shown(self) -> dict[str, Path | bytes]:
        """The card and what it shows: name in the repository -> file, or what it holds."""
        return {} if self.card is None else {**self.pictures, CARD: self.card.encode()}


def plan(
    path: Path, repo: str, *, public: bool = False, replace_card: bool = False, revision: str | None = None
) -> Upload:
    """Find what a push would send; reads the files and touches no network.

    Args:
        path: An export's folder, an adapter's folder, or a run directory (its last model).
        repo: OWNER/NAME on the hub.
        public: Everybody may see the repository.
        replace_card: Write the card anew where the repository has one.
        revision: The branch; main where none is named.

    Raises:
        RequestError: There is nothing to push, or an export that may not count as the trained model.
    """
    _check_name(repo)
    folder, kind, artifact = _find(path)
    from rlkit.export.card import card

    upload = Upload(
        repo=repo,
        kind=kind,
        files={},
        card=card.write(folder, artifact, repo),
        pictures=card.pictures(folder, artifact),
        public=public,
        replace_card=replace_card,
        revision=revision or "main",
    )
    there = list(artifact.files) if artifact else sorted(file.name for file in folder.iterdir() if file.is_file())
    names = [name for name in there if _belongs(name, known=artifact is not None)]
    left = sorted({*there} - {*names, CARD, MANIFEST})
    if left:
        upload.notes.append(f"stays here: {_some(left)}")
    for name in names:
        file = folder / name
        if file.name in SETTINGS:
            upload.files[name], changed = _portable(file, artifact.base_model if artifact else None)
            if changed:
                upload.notes.append(f"{name} is pushed without paths of this machine: {', '.join(changed)}")
        else:
            upload.files[name] = file
    return upload


def _check_name(repo: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise RequestError(f"repository {repo!r}: {error}") from None
    if repo.count("/") != 1:
        raise RequestError(f"repository {repo!r}: say OWNER/{repo}; `hf auth whoami` tells who you are there")


def _find(path: Path) -> tuple[Path, str, Artifact | None]:
    """Folder, kind and manifest of the model at a path."""
    folder = path.expanduser()
    if not folder.exists():
        raise RequestError(f"push {path}: there is no such folder")
    if not folder.is_dir():
        raise RequestError(f"push {path}: it is a file; name the folder that `rlkit export` made: {folder.parent}")
    folder = RunDirectory(folder).model() if is_run(folder) else folder
    folder = folder.resolve()
    artifact = Artifact.read(folder)
    if artifact:
        _refuse_unproven(path, artifact)
        return folder, artifact.kind, artifact
    if (folder / "adapter_config.json").is_file():
        if not (folder / "adapter_model.safetensors").is_file():
            raise RequestError(f"push {path}: {folder} has an adapter_config.json and no adapter_model.safetensors")
        return folder, "adapter", None
    if any(map(is_run, [*folder.parents][:3])) and (folder / "config.json").is_file():
        return folder, "model", None
    raise RequestError(
        f"push {path}: it is neither an export (with {MANIFEST}), nor an adapter, nor a run that left a model; "
        f"make one with:\n"
        f"  rlkit export {path} --to merged -o DIR"
    )


def _refuse_unproven(path: Path, artifact: Artifact) -> None:
    """Raise where the files are no longer those that were exported, or answer otherwise than the trained model."""
    changed = artifact.changed()
    if changed:
        raise RequestError(
            f"push {path}: changed or gone since it was exported and compared: {_some(changed)}; "
            f"export it again with `rlkit export`"
        )
    problems = artifact.problems if artifact.kind != "adapter" else []
    if problems:
        raise RequestError(
            f"push {path}: it does not count as the model that was trained:\n"
            + "\n".join(f"  {problem}" for problem in problems)
            + "\nexport it again with `rlkit export`, in a wider dtype or type"
        )


def _belongs(name: str, known: bool) -> bool:
    """Whether a file is pushed; `known`: a manifest lists it."""
    path = PurePosixPath(name)
    if any(fnmatch(part, pattern) for part in path.parts for pattern in NEVER):
        return False
    return known or path.suffix in KINDS


def _portable(file: Path, base: str | None) -> tuple[Path | bytes, list[str]]:
    """A settings file as others can use it, and the keys that named a path of this machine."""
    try:
        data = json.loads(file.read_text())
    except ValueError as error:
        raise RequestError(f"{file} is not JSON: {error}") from None
    changed: list[str] = []
    data = _without_paths(data, base, changed)
    return ((json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode(), changed) if changed else (file, [])


def _without_paths(data: Any, base: str | None, changed: list[str]) -> Any:
    if isinstance(data, list):
        return [_without_paths(entry, base, changed) for entry in data]
    if not isinstance(data, dict):
        return data
    kept: dict[str, Any] = {}
    for key, value in data.items():
        if not _is_local(key, value):
            kept[key] = _without_paths(value, base, changed)
            continue
        changed.append(key)
        if key == PLACES[0]:
            kept[key] = base
    return kept


def _is_local(key: str, value: Any) -> bool:
    if not isinstance(value, str) or not value:
        return False
    return not hub.is_hub_id(value) if key in PLACES else Path(value).is_absolute() and Path(value).exists()


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
