"""Where recipes stand: files, and those that come with rlkit."""

import importlib.resources
from pathlib import Path

import yaml

from rlkit import names
from rlkit.errors import RequestError


def builtin() -> dict[str, Path]:
    """The recipes that come with rlkit, by name."""
    folder = Path(str(importlib.resources.files("rlkit.recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def describe(path: Path) -> str:
    """The description of a recipe's file, "" where it has none."""
    try:
        return str(yaml.safe_load(path.read_text()).get("description") or "")
    except (OSError, yaml.YAMLError, AttributeError):
        return ""


def locate(source: str) -> Path:
    """The file of a recipe: a path, or the name of a built-in one.

    Raises:
        RequestError: There is neither.
    """
    path = Path(source)
    if path.is_file():
        return path
    known = builtin()
    if source in known:
        return known[source]
    if path.suffix in (".yaml", ".yml") or "/" in source:
        raise RequestError(f"recipe {source}: there is no such file")
    raise RequestError(names.unknown("recipe", source, known, "see `rlkit ls recipes`"))
