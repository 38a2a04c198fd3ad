"""An exported model on disk, and what is known of it: `rlkit.json` in its folder."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rlkit.errors import RequestError

MANIFEST = "rlkit.json"
Kind = Literal["adapter", "merged", "gguf"]


@dataclass(frozen=True)
class Check:
    """One comparison of a copy with the model that was trained."""

    file: str
    """What was compared: a file of the folder, or `.` for all of it."""
    name: str
    """What about it: tokens, template, greedy, logits, kl."""
    value: float
    """As measured."""
    bound: float
    """The most that passes."""
    passed: bool
    detail: str = ""
    """Where they differ, in a line."""


@dataclass
class Artifact:
    """What a folder holds; `read` and `write` keep it in the folder's rlkit.json, which stays on this machine."""

    folder: Path
    kind: Kind
    name: str
    """What the model is called; GGUF files are named after it."""
    dtype: str
    """Of the weights that were exported (of GGUF: those that the files were made of)."""
    base_model: str | None = None
    """Hub id of the model that training began from; None: it has none (from scratch, or a local folder)."""
    base_revision: str | None = None
    run: str | None = None
    """The run directory that the model came from, as an absolute path."""
    stage: str | None = None
    """The folder of the stage that made it, as seen from there."""
    prompts: int = 0
    """Prompts on which it was compared with the trained model."""
    checks: list[Check] = field(default_factory=list)
    """What came of the comparison; empty: there was none."""
    files: dict[str, str] = field(default_factory=dict)
    """Name -> SHA-256 of each file that was exported."""

    @property
    def problems(self) -> list[str]:
        """Why the copy may not count as the trained model; empty: it may."""
        if not self.checks:
            return ["it was never compared with the model that was trained"]
        return [
            f"{check.file}: {check.name} {check.value:.3g}, and {check.bound:.3g} is the most that passes"
            + (f" ({check.detail})" if check.detail else "")
            for check in self.checks
            if not check.passed
        ]

    def changed(self) -> list[str]:
        """Files that are no longer what was exported and compared."""
        return [name for name, digest in self.files.items() if sha256(self.folder / name) != digest]

    def write(self) -> None:
        """Put down what the folder holds, with the digest of every file in it."""
        names = sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())
        self.files = {name: sha256(self.folder / name) or "" for name in names if name != MANIFEST}
        data = {key: value for key, value in dataclasses.asdict(self).items() if key != "folder"}
        part = self.folder / f"{MANIFEST}.part"
        part.write_text(json.dumps(data, indent=2) + "\n")
        part.replace(self.folder / MANIFEST)

    @classmethod
    def read(cls, folder: Path) -> "Artifact | None":
        """What a folder says it holds; None where it does not say.

        Raises:
            RequestError: The file cannot be read.
        """
        file = folder / MANIFEST
        if not file.is_file():
            return None
        try:
            data = json.loads(file.read_text())
            checks = [Check(**check) for check in data.pop("checks")]
            return cls(folder=folder, checks=checks, **data)
        except (ValueError, TypeError, KeyError) as error:
            raise RequestError(f"{file} is no manifest of an export: {error}") from None


def sha256(file: Path) -> str | None:
    """The digest of a file; None where there is none."""
    if not file.is_file():
        return None
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
