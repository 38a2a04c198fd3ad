"""Settings and texts as they may leave this machine: no local path, no secret, and not what servers computed a run."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

from rlkit.runs import ELSEWHERE

REMOVED = "(removed)"
SECRET_KEYS = re.compile(
    r"(?i)(password|passwd|secret|credential|authorization|api_?key(?!_env$)|^token$|(hub|hf|api|auth|access|bearer)_token)"
)
"""Settings whose values are secrets; `api_key_env` is the name of a variable, and `eos_token` no secret."""
SECRETS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|(?:api_org_|glpat-|github_pat_)[\w-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|sk-[\w-]{16,}|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"
    r"|(?<=://)[^\s/@]+:[^\s/@]+(?=@)|(?<=Bearer )[\w.~+/-]{16,}=*"
    r"|(?i:(?<=[?&]token=)|(?<=[?&]key=)|(?<=[?&]api_key=)|(?<=[?&]access_token=)|(?<=[?&]sig=))[^&\s\"']+"
)
"""What tokens and passwords look like, wherever they stand."""
PATH_KEYS = re.compile(r"^(path|chat_template|cache|plugins|.*_(path|dir|file|folder|checkpoint))$")
"""Settings that hold a path, where they do not hold the id of something on the hub."""
INSIDE = re.compile(r"(?<![\w/<.~])(?:~\w*(?:/[\w.@+-]+)+|(?:\.{1,2})?(?:/[\w.@+-]+){2,})/?|\b[A-Za-z]:\\[^\s'\"]+")
"""Paths within a text; the lone `/think` of a prompt and the `</answer>` of a format are none."""


def settings(value: Any, key: str = "") -> Any:
    """A recipe, or a part of it, that may be shown.

    Of local paths the last part stays; secrets are replaced; where a run was computed (servers) is left out.

    Args:
        value: Mappings, lists, texts and numbers.
        key: The setting that holds it.
    """
    if SECRET_KEYS.search(key) and value is not None and not isinstance(value, bool):
        return REMOVED
    if isinstance(value, dict):
        return {name: settings(inner, str(name)) for name, inner in value.items() if name not in ELSEWHERE}
    if isinstance(value, list | tuple):
        return [settings(inner, key) for inner in value]
    if not isinstance(value, str):
        return value
    return words(base_name(value) if PATH_KEYS.match(key) and is_path(value) else value)


def paths(value: Any, key: str = "") -> Iterator[Path]:
    """The absolute paths that a recipe, or a part of it, names."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths(inner, str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from paths(inner, key)
    elif isinstance(value, str) and PATH_KEYS.match(key) and is_path(value) and Path(value).is_absolute():
        yield Path(value)


def words(text: str) -> str:
    """A text of rlkit's own, or a setting, without the paths and secrets in it."""
    return secrets(INSIDE.sub(lambda found: base_name(found[0]), text))


def secrets(text: str) -> str:
    """A text in which what looks like a token or a password is replaced."""
    return SECRETS.sub(REMOVED, text)


def folders(text: str, known: Iterable[Path]) -> str:
    """A text in which certain folders go by their names (home by ~), and all that stands in them as seen from there.

    Args:
        text: Any, also what a model wrote: nothing else in it is changed.
        known: Absolute paths.
    """
    home = str(Path.home())
    for folder in sorted({str(path) for path in known}, key=len, reverse=True):
        if folder.strip("/\\."):
            text = re.sub(re.escape(folder) + r"(?![\w-])", "~" if folder == home else Path(folder).name, text)
    return text


def is_path(text: str) -> bool:
    """Whether a text means something on this machine, and no id on the hub: `owner/name` or `name`."""
    if "://" in text or "\n" in text:
        return False
    local = text.startswith(("/", "~", ".")) or "\\" in text or text.count("/") > 1
    return local or _exists(text)


def base_name(path: str) -> str:
    """The last part of a path."""
    return (PureWindowsPath(path) if "\\" in path else Path(path)).name or "folder"


def _exists(text: str) -> bool:
    try:
        return "/" in text and Path(text).exists()
    except OSError:  # too long for a name
        return False
