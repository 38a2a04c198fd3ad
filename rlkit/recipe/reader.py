"""Reads YAML with the line of every key."""

import re
from typing import Any

import yaml

from rlkit.errors import RequestError

Path = tuple[str | int, ...]
"""Where a value stands in a recipe."""


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


def value(text: str) -> Any:
    """A single value, read as recipes are.

    Raises:
        RequestError: It is no YAML.
    """
    try:
        return yaml.load(text, _Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise RequestError(f"the value is not YAML: {error}") from None


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
