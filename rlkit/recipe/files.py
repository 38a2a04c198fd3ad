"""Where recipes stand: files, and those that come with rlkit."""

import importlib.resources
from pathlib import Path

import yaml

from rlkit import names
from rlkit.errors import RequestError

SUITES = "suites/"
"""What a suite's name begins with where recipes are named."""


def builtin() -> dict[str, Path]:
    """The recipes that come with rlkit, by name."""
    folder = Path(str(importlib.resources.files("rlkit.recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def suites() -> dict[str, Path]:
    """The suites that come with rlkit, by name: recipes that only measure."""
    folder = Path(str(importlib.resources.files("rlkit.recipes"))) / "suites"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def describe(path: Path) -> str:
    """The description of a recipe's file, "" where it has none."""
    try:
        return str(yaml.safe_load(path.read_text()).get("description") or "")
    except (OSError, yaml.YAMLError, AttributeError):
        return ""


def named() -> dict[str, Path]:
    """All that comes with rlkit, as it is named where a recipe is asked for: a suite is `suites/NAME`."""
    return {**builtin(), **{SUITES + name: path for name, path in suites().items()}}


def locate(source: str) -> Path:
    """The file of a recipe: a path, or the name of a built-in one or of a suite (`suites/gsm8k`).

    Raises:
        RequestError: There is neither.
    """
    path = Path(source)
    if path.is_file():
        return path
    known = named()
    if source in known:
        return known[source]
    if path.suffix not in (".yaml", ".yml") and source.startswith(SUITES):
        return locate_suite(source)
    if path.suffix in (".yaml", ".yml") or "/" in source:
        raise RequestError(f"recipe {source}: there is no such file")
    raise RequestError(names.unknown("recipe", source, known, "see `rlkit ls recipes`"))


def locate_suite(source: str, folder: Path | None = None) -> Path:
    """The file of a suite: the name of a built-in one (`gsm8k`), or a YAML file.

    Args:
        source: What a user wrote.
        folder: The recipe's that names it; a file is looked for there, then in the working folder.

    Raises:
        RequestError: There is neither.
    """
    known, name = suites(), source.removeprefix(SUITES)
    if name in known:
        return known[name]
    path = Path(source).expanduser()
    if path.suffix in (".yaml", ".yml"):
        found = next((file for file in ((folder or Path()) / path, path) if file.is_file()), None)
        if found is None:
            raise RequestError(f"suite {source}: there is no such file")
        return found
    if source in builtin():
        raise RequestError(f"suite {source!r}: it is a recipe, no suite (--recipe {source}); see `rlkit ls suites`")
    raise RequestError(names.unknown("suite", name, known, "see `rlkit ls suites`"))
