"""The process in which the model's code runs: it serves calls to it, and knows nothing of what is expected.

Nothing here has to withstand the model's code, which has this process to itself: the examiner takes plain data alone.
"""

import importlib
import operator
import os
import sys
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from . import source
from .peer import GoneError, Peer

OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda *arguments, **named: arguments[0](*arguments[1:], **named),
    "getattr": getattr, "setattr": setattr, "iter": iter, "next": next, "len": len, "bool": bool, "int": int,
    "float": float, "index": operator.index, "str": str, "repr": repr, "getitem": operator.getitem,
    "setitem": operator.setitem,
}  # fmt: skip


def main(told: dict[str, Any]) -> None:
    """Run the program, then serve the examiner."""
    module = sys.modules["solution"] = types.ModuleType("solution")
    namespace = vars(module)
    sys.setrecursionlimit(10_000)
    for descriptor in (1, 2):
        os.dup2(0, descriptor)  # what it prints is of no account
    peer = Peer(told["sockets"][0], {}, lambda value: [], lambda how: _stand_in(peer, namespace, how))

    def load() -> None:
        *before, program = source.assemble(told["program"], told["prompt"], told["entry"])
        for text in before:
            with suppress(Exception):  # a prompt's own fault
                exec(compile(text, "<prompt>", "exec", dont_inherit=True), namespace)
        exec(compile(program, "<program>", "exec", dont_inherit=True), namespace)
        sys.setrecursionlimit(max(sys.getrecursionlimit(), 10_000))

    def name(expression: str) -> Any:
        if expression.isidentifier() and expression not in namespace:
            raise NameError(f"name {expression!r} is not defined")
        return eval(expression, namespace)

    peer.operations = {**OPERATIONS, "ready": lambda: True, "load": load, "name": name}
    try:
        peer.serve()
    except GoneError:
        os._exit(0)


def _stand_in(peer: Peer, namespace: dict[str, Any], how: list[Any]) -> Any:
    """What the program gets for an argument that is no plain value."""
    match how:
        case ["standard", module, title]:
            return operator.attrgetter(title)(importlib.import_module(module))
        case ["call", title]:

            def function(*arguments: Any, **named: Any) -> Any:
                return peer.ask("call", function, *arguments, **named)

            function.__name__ = title
            return function
        case ["next"]:
            methods = {"__iter__": lambda self: self, "__next__": lambda self: peer.ask("next", self)}
            return type("iterator", (), methods)()
        case ["object", title]:  # of a class of the tests; the program may have a class of that name, with methods
            base = namespace.get(title)
            fields = {
                "__getattr__": lambda self, field: peer.ask("field", self, field),
                "__setattr__": lambda self, field, value: peer.ask("set_field", self, field, value),
            }
            kind: Any = type(title, (base,) if isinstance(base, type) else (), fields)
            return object.__new__(kind)
    raise TypeError(how)
