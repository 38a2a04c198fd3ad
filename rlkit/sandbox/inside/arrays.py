"""Arrays of the candidate, in the process that examines it.

NumPy stretches an array of no elements over one of any length: what is compared with it is nothing, and all of
nothing is true. Here such an array has nothing in common with one that holds something.
"""

import ast
import functools
from collections.abc import Callable
from typing import Any

from .codec import Decoder, read_array

COMPARE = ("allclose", "isclose", "array_equal", "array_equiv")


def read(decode: Decoder, data: list[Any]) -> Any:
    """Read an array of numbers, as one that guards itself where it is empty."""
    made = read_array(decode, data)
    return made if made.size else made.view(_empty())


def guard(tests: ast.Module) -> None:
    """Make NumPy's own comparisons say no of the empty and the not empty, lists too, where tests use NumPy."""
    names = {node.id for node in ast.walk(tests) if isinstance(node, ast.Name)}
    for node in ast.walk(tests):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.name.split(".")[0] for alias in node.names} | {getattr(node, "module", None) or ""}
    if not names & {"numpy", "np"}:
        return
    import numpy

    for name in COMPARE:
        setattr(numpy, name, _guarded(getattr(numpy, name)))


def _guarded(compare: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(compare)
    def guarded(*arguments: Any, **named: Any) -> Any:
        import numpy

        both = [*arguments, *(named[name] for name in ("a", "a1", "b", "a2") if name in named)][:2]
        if len({numpy.size(one) == 0 for one in both}) > 1:
            return numpy.False_
        plain = [numpy.asarray(one) if isinstance(one, _empty()) else one for one in arguments]
        return compare(*plain, **named)

    return guarded


@functools.cache
def _empty() -> Any:
    import numpy

    class Empty(numpy.ndarray[Any, Any]):
        def __array_ufunc__(self, function: Any, method: Any, *inputs: Any, **named: Any) -> Any:  # type: ignore[override]
            if method in ("__call__", "outer") and any(numpy.size(one) for one in inputs):
                raise ValueError("an empty array meets one that is not empty")
            plain = [numpy.asarray(one) if isinstance(one, Empty) else one for one in inputs]
            made = getattr(function, method)(*plain, **named)
            return made.view(Empty) if isinstance(made, numpy.ndarray) and not made.size else made

    return Empty
