"""Reads YAML with the line of every key, and lays `a.b=v` overrides over it."""

import pathlib as files
import re
from typing import Any

import yaml

from rlkit.errors import RequestError
from rlkit.recipe.data import OF_THE_PATH

Path = tuple[str | int, ...]
SHARED = ("model", "lora", "data", "rewards", "generation", "training")
"""Sections that stages inherit."""


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 5e-6 is a number, as in YAML 1.2."""


_Loader.yaml_implicit_resolvers = {k: list(v) for k, v in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def parse(text: str, origin: str) -> tuple[dict[str, Any], dict[Path, int]]:
    """The data of a YAML mapping, and the line (from 1) at which each path stands.

    Raises:
        RequestError: It is no YAML, no mapping, or a key stands twice.
    """
    lines: dict[Path, int] = {}
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            _locate(node, (), lines, origin)
        data = loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}" if mark else ""
        raise RequestError(f"{origin}{at}: not YAML: {getattr(error, 'problem', None) or error}") from None
    except RecursionError:
        raise RequestError(f"{origin}: an alias (*) stands inside its own anchor (&)") from None
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(data, dict):
        raise RequestError(f"{origin}: a recipe is a mapping with keys such as model and data, not {_kind(data)}")
    return data, lines


def _kind(value: Any) -> str:
    return "an empty file" if value is None else f"a {type(value).__name__}"


def _locate(node: yaml.Node, path: Path, lines: dict[Path, int], origin: str) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise RequestError(f"{origin}: line {key.start_mark.line + 1}: a key is a plain text")
            inner = (*path, key.value)
            line = key.start_mark.line + 1
            if inner in lines:
                raise RequestError(
                    f"{origin}: line {line}: the key {key.value!r} stands twice, first at line {lines[inner]}"
                )
            lines[inner] = line
            _locate(value, inner, lines, origin)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _locate(value, (*path, index), lines, origin)


def override(data: dict[str, Any], assignments: tuple[str, ...]) -> set[Path]:
    """Lay `a.b=v` over a recipe's data, in place; returns the paths that were set.

    The first `=` splits, the value is YAML. A section that stages inherit (`training.max_steps=3`) is set at
    the top and wherever a stage sets the same field itself. A stage is named by its kind or its name
    (`grpo.training.max_steps=3`). Another `data.path` drops what belonged to the old one (split, name); where it is
    a single file, evaluation reads that file too.

    Raises:
        RequestError: An assignment has no `=`, or goes through a value that is no mapping.
    """
    parsed = []
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", key):
            raise RequestError(f"{assignment!r} is no override: write section.key=value, as training.max_steps=10")
        try:
            value = yaml.load(text, _Loader)
        except yaml.YAMLError as error:
            raise RequestError(f"{assignment!r}: the value is not YAML: {error}") from None
        parsed.append((tuple(key.split(".")), value))
    touched: set[Path] = set()
    for keys, value in parsed:
        for prefix, rest in _targets(data, keys):
            path = (*prefix, *rest)
            if rest[-2:] == ("data", "path"):
                also = {other[-1] for other, _ in parsed if other[:-1] == keys[:-1]}
                _forget(data, path[:-1], set(OF_THE_PATH) - also)
            _assign(data, path, value)
            touched.add(path)
        if keys == ("data", "path") and isinstance(value, str) and files.Path(value).is_file():
            for prefix in [("eval",), *(prefix for prefix, kind, _ in _stages(data) if kind == "eval")]:
                body = _at(data, (*prefix, "data"))
                if body and "path" not in body:  # a single file is one split, whatever the old data had
                    _forget(data, (*prefix, "data"), {"name", "split", "revision"})
    return touched


def _targets(data: dict[str, Any], keys: tuple[str, ...]) -> list[tuple[Path, tuple[str, ...]]]:
    """The places that an override reaches: (prefix, rest of the path)."""
    bodies = list(_stages(data))
    named = [prefix for prefix, kind, body in bodies if keys[0] in (kind, body.get("name"))]
    if keys[0] in SHARED or not named or (keys[0] == "eval" and not bodies):
        places: list[tuple[Path, tuple[str, ...]]] = [((), keys)]
        places += [(prefix, keys) for prefix, _, body in bodies if _has(body, keys)]
        if keys[-2:] == ("data", "path") and _has(data, ("eval", *keys)):
            places.append((("eval",), keys))
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
        if isinstance(data, list):
            key = _entry(data, key, written)
        elif not isinstance(data, dict):
            said = ".".join(map(str, path[:depth]))
            raise RequestError(f"override {written}: {said} is {data!r}, not a section")
        if depth == len(path) - 1:
            data[key] = value
            return
        if isinstance(data, dict) and data.get(key) is None:
            data[key] = {}
        data = data[key]
        if isinstance(data, dict) and len(data) == 1 and path[depth] in data and isinstance(key, int):
            data = _settings(data, str(path[depth]))


def _entry(items: list[Any], key: str | int, written: str) -> int:
    """The index that a key means in a list: a number, or the name of a reward."""
    if str(key).isdigit() and int(key) < len(items):
        return int(key)
    for index, item in enumerate(items):
        if item == key:
            items[index] = {key: {}}
        if isinstance(items[index], dict) and key in items[index]:
            return index
    raise RequestError(f"override {written}: the list has no entry {key!r}; it has {len(items)}, counted from 0")


def _settings(item: dict[str, Any], name: str) -> dict[str, Any]:
    if item[name] is None:
        item[name] = {}
    return item[name]


def _forget(data: Any, path: Path, keys: set[str]) -> None:
    section = _at(data, path)
    for key in keys:
        if isinstance(section, dict):
            section.pop(key, None)
