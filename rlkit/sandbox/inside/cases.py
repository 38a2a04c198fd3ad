"""The test functions and classes of a module, found as pytest and unittest find them."""

import inspect
import itertools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any


class UnmetError(Exception):
    """A test wants an argument that nothing gives; no name that the candidate could raise."""


def cases(names: dict[str, Any], module: str) -> Iterator[Callable[[], Any]]:
    """What to call, one after the other; it raises where a test fails.

    Args:
        names: What the module holds.
        module: Its name: classes that it imports are not its tests.
    """
    unittest: Any = sys.modules.get("unittest")  # without it there is no class of its kind
    for name, value in list(names.items()):
        if isinstance(value, types.FunctionType) and name.startswith("test"):
            yield from _calls(value)
        elif not isinstance(value, type) or value.__module__ != module:
            continue
        elif unittest and issubclass(value, unittest.TestCase):
            yield unittest.defaultTestLoader.loadTestsFromTestCase(value).debug
        elif name.startswith("Test"):
            for title in [title for title in vars(value) if title.startswith("test")]:
                instance = value()
                getattr(instance, "setup_method", lambda: None)()
                yield from _calls(getattr(instance, title))


def _calls(function: Callable[..., Any]) -> Iterator[Callable[[], Any]]:
    """One call for each combination of what `pytest.mark.parametrize` gives.

    Raises:
        UnmetError: It wants an argument that nothing gives.
    """
    rows: list[list[dict[str, Any]]] = []
    for mark in getattr(function, "pytestmark", []):
        if mark.name == "parametrize":
            names, given = mark.args[:2]
            several = (isinstance(names, str) and "," in names) or not isinstance(names, str)
            titles = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
            values = [getattr(one, "values", one if several else (one,)) for one in given]
            rows.append([dict(zip(titles, one, strict=True)) for one in values])
    for parts in itertools.product(*rows):
        arguments = {name: value for part in parts for name, value in part.items()}
        try:
            inspect.signature(function).bind(**arguments)
        except TypeError as error:
            raise UnmetError(f"{function.__name__}: {error}") from None
        yield lambda arguments=arguments: function(**arguments)  # type: ignore[misc]
