"""Lays `a.b=v` from the command line over a recipe."""

import pathlib
import re
from typing import Any

from rlkit.errors import RequestError
from rlkit.recipe import reader
from rlkit.recipe.data import OF_THE_PATH
from rlkit.recipe.reader import Path
from rlkit.tasks import TASKS

SHARED = ("model", "lora", "data", "rewards", "generation", "groups", "training")
"""Sections that stages inherit."""


def lay_over(data: dict[str, Any], assignments: tuple[str, ...]) -> set[Path]:
    """Lay `a.b=v` over a recipe's data, in place; returns the paths that were set.

    The first `=` splits, the value is YAML. A section that stages inherit (`training.max_steps=3`) is set at
    the top and wherever a stage sets the same field itself. A stage is named by its kind or its name
    (`grpo.training.max_steps=3`). Another `data.path` drops what belonged to the old one (split, name); an
    evaluation with a path of its own keeps it, one that inherits a single file drops its split too.

    Raises:
        RequestError: An assignment has no `=`, or goes through a value that is no mapping.
    """
    parsed = []
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", key):
            raise RequestError(f"{assignment!r} is no override: write section.key=value, as training.max_steps=10")
        try:
            value = reader.value(text)
        except RequestError as error:
            raise RequestError(f"{assignment!r}: {error}") from None
        parsed.append((tuple(key.split(".")), value))
    touched: set[Path] = set()
    parsed.sort(key=lambda item: item[0][0] not in SHARED)  # what names a stage wins over what names them all
    for keys, value in parsed:
        for prefix, rest in _targets(data, keys):
            path = (*prefix, *rest)
            if rest[-2:] == ("data", "path"):
                also = {other[-1] for other, _ in parsed if other[:-1] == keys[:-1]}
                _forget(data, path[:-1], set(OF_THE_PATH) - also)
            _assign(data, path, value)
            touched.add(path)
        if keys == ("data", "path") and isinstance(value, str) and pathlib.Path(value).is_file():
            for prefix in [("eval",), *(prefix for prefix, kind, _ in _stages(data) if kind == "eval")]:
                body = _at(data, (*prefix, "data"))
                if body and "path" not in body:  # a single file is one split, whatever the old data had
                    _forget(data, (*prefix, "data"), set(OF_THE_PATH))
    return touched


def _targets(data: dict[str, Any], keys: tuple[str, ...]) -> list[tuple[Path, tuple[str, ...]]]:
    """The places that an override reaches: (prefix, rest of the path)."""
    bodies = list(_stages(data))
    named = [prefix for prefix, kind, body in bodies if keys[0] in (kind, body.get("name"))]
    a_task = keys[0] == "task" and keys[1:2] and keys[1] in TASKS  # not a field of the stages of kind `task`
    if keys[0] in SHARED or a_task or not named or (keys[0] == "eval" and not bodies):
        places: list[tuple[Path, tuple[str, ...]]] = [((), keys)]
        held_out = keys == ("data", "path")  # an evaluation's own data stays its own
        places += [(p, keys) for p, kind, body in bodies if _has(body, keys) and not (held_out and kind == "eval")]
        return places
    return [(prefix, keys[1:]) for prefix in named if len(keys) > 1] or [((), keys)]


def _stages(data: dict[str, Any]) -> list[tuple[Path, str, dict[str, Any]]]:
    found: list[tuple[Path, str, dict[str, Any]]] = []
    stages = data["stages"] if isinstance(data.get("stages"), list) else []
    for index, entry in enumerate(stages):
        if isinstance(entry, str):
            stages[index] = entry = {entry: {}}
        for kind in entry if isinstance(entry, dict) else ():
            if entry[kind] is None:
                entry[kind] = {}
            if isinstance(entry[kind], dict):
                found.append((("stages", index, kind), kind, entry[kind]))
    return found


def _at(data: Any, path: Path) -> Any:
    for key in path:
        data = data.get(key) if isinstance(data, dict) else data[key]
        if data is None:
            return None
    return data


def _has(body: Any, keys: tuple[str, ...]) -> bool:
    for key in keys:
        if not isinstance(body, dict) or key not in body:
            return False
        body = body[key]
    return True


def _assign(data: Any, path: Path, value: Any) -> None:
    """Set one value; lists are entered by index, rewards also by name."""
    written = ".".join(map(str, path))
    for depth, key in enumerate(path):
        rewards = isinstance(data, list) and path[depth - 1] == "rewards"
        if isinstance(data, list):
            key = _entry(data, key, written)
        elif not isinstance(data, dict):
            said = ".".join(map(str, path[:depth]))
            raise RequestError(f"override {written}: {said} is {data!r}, not a section")
        if depth == len(path) - 1:
            data[key] = value
            return
        if (data.get(key) if isinstance(data, dict) else data[int(key)]) is None:
            data[key] = {}
        if rewards and path[depth + 1] != _name(data[key]):  # straight to the reward's settings
            name = _name(data[key])
            data[key] = {name: (data[key].get(name) if isinstance(data[key], dict) else None) or {}}
            data = data[key][name]
        else:
            data = data[key]


def _name(item: Any) -> str:
    """The name of a reward as a recipe lists it."""
    return item if isinstance(item, str) else str(next(iter(item), "")) if isinstance(item, dict) else ""


def _entry(items: list[Any], key: str | int, written: str) -> int:
    """The index that a key means in a list: a number, or the name of a reward (the one that it was given first)."""
    if str(key).isdigit() and int(key) < len(items):
        return int(key)
    for index, item in enumerate(items):
        settings = item.get(_name(item)) if isinstance(item, dict) else None
        if isinstance(settings, dict) and settings.get("name") == key:
            return index
    known = [_name(item) for item in items]
    if key in known:
        return known.index(key)
    has = ", ".join(filter(None, known)) or f"{len(items)}, counted from 0"
    raise RequestError(f"override {written}: the list has no entry {key!r}; it has {has}")


def _forget(data: Any, path: Path, keys: set[str]) -> None:
    section = _at(data, path)
    for key in keys:
        if isinstance(section, dict):
            section.pop(key, None)
