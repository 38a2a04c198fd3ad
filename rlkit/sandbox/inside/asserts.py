"""What tests say before they run: their assert statements, the names that they use, the function under test."""

import ast
import builtins
import importlib
from typing import Any

COMMON = ("math", "collections", "itertools", "functools", "typing", "operator", "copy", "random", "string", "re")
"""Modules whose names tests may use without importing them; what has such a name is not the candidate's."""


class Asserts(ast.NodeTransformer):
    """Makes each assert statement tell the exam what it found and go on."""

    def __init__(self) -> None:
        self.count = 0
        self.constant = 0

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        """Turn `assert x` into a note of x, and of False where x cannot be had."""
        if isinstance(node.test, ast.Constant):
            self.constant += 1
            number = -self.constant
        else:
            number = self.count
            self.count += 1
        template = f"try:\n __exam__.note({number}, None)\nexcept __exam__.error:\n __exam__.note({number}, False)"
        made = ast.parse(template).body[0]
        made.body[0].value.args[1] = node.test  # type: ignore[attr-defined]
        return ast.copy_location(made, node)


def free(tests: ast.Module) -> set[str]:
    """The names that tests use and do not bind anywhere."""
    used: set[str] = set()
    bound: set[str] = set()
    for node in ast.walk(tests):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return used - bound - {"__exam__"}


def under_test(tests: ast.Module) -> str:
    """The function that tests call, where no column says it: the first that is not Python's, else one of its name."""
    unbound = free(tests)
    calls = (node.func for node in ast.walk(tests) if isinstance(node, ast.Call))
    called = [node.id for node in calls if isinstance(node, ast.Name) and node.id in unbound]
    own = [name for name in called if not hasattr(builtins, name)]
    if len(set(own)) > 1:
        own = [name for name in own if standard(name) is None] or own
    functions = [name for name in called if not isinstance(getattr(builtins, name, None), type)]
    return (own or functions or [""])[0]


def standard(name: str) -> Any:
    """What has this name in the standard library, or None."""
    held = (getattr(importlib.import_module(module), name, None) for module in COMMON)
    return next((value for value in held if value is not None), None)
