"""The process in which the tests run: it alone knows what is expected, and it alone says what passed.

It calls the candidate's code in the other process and gets plain data back (`codec`), or stand-ins (`Remote`) for
what is no plain data. So the candidate can answer, and do nothing else: what it does to its own process
changes nothing here.
"""

import ast
import builtins
import collections.abc
import functools
import importlib
import json
import operator
import os
import sys
import types
from contextlib import suppress
from typing import Any

from . import arrays, codec, source
from .asserts import Asserts, free, standard, under_test
from .cases import UnmetError, cases
from .peer import GoneError, Peer
from .remote import Remote

ALIASES = {"np": "numpy", "pd": "pandas"}
NAME = "tests"


CALLABLE = (types.FunctionType, types.MethodType, types.BuiltinMethodType, functools.partial, type)
"""What the candidate may call where the tests pass it."""


class DoneError(BaseException):
    """The verdict is known."""


class UnpassableError(TypeError):
    """The tests pass what cannot go to another process."""


class Exam:
    """Runs the tests of one candidate.

    Attributes:
        passed: The assert statements that held, by their number.
        failed: Those that did not, at least once.
        fault: What the tests want and this exam cannot do.
        gone: The candidate's process ended early.
        error: What an assert statement may raise.
        calls: How often the tests used anything of the candidate.
        given: What the candidate has of the names that the tests use.
    """

    error = Exception

    def __init__(self, told: dict[str, Any]):
        self.told = told
        self.passed: set[int] = set()
        self.failed: set[int] = set()
        self.fault = ""
        self.gone = False
        self.calls = 0
        self.given: list[Any] = []
        module = sys.modules[NAME] = types.ModuleType(NAME)
        solution: Any = types.ModuleType("solution")  # tests may import from it
        sys.modules["solution"], solution.__getattr__ = solution, self._get
        self.names = vars(module)
        self.names["__exam__"] = self
        codec.READERS["array"] = arrays.read
        operations: dict[str, Any] = {
            "call": self._call,
            "next": self._next,
            "field": self._field,
            "set_field": self._set_field,
        }
        self.peer = Peer(told["sockets"][0], operations, self._lend, lambda how: Remote(self.use))

    def use(self, operation: str, *arguments: Any, **named: Any) -> Any:
        """Use something of the candidate."""
        self.calls += 1
        try:
            return self.peer.ask(operation, *arguments, **named)
        except UnpassableError as error:
            self.fault = str(error)
            raise
        except GoneError:
            self.gone = True  # also where the tests catch what they should not
            raise

    def note(self, number: int, value: object) -> None:
        """Hear what an assert statement found; `number` is negative where it finds the same for every candidate."""
        holds = bool(value)
        (self.passed if holds else self.failed).add(number)
        if not holds and self.told["mode"] == "all":
            raise DoneError

    def run(self, tests: ast.Module) -> None:
        """Run the tests, to their end or to the first error."""
        entry = self.told["entry"] or under_test(tests)
        base = entry.split("(")[0].split(".")[0]
        helpers = source.besides(source.code_of(self.told["prompt"]), base)
        with suppress(Exception):  # what the prompt defines besides: the candidate's own may lie
            exec(compile(helpers, "<prompt>", "exec", dont_inherit=True), self.names)
        self.peer.ask("load")
        for name in sorted(free(tests) - {base}):
            self._find(name)
        arrays.guard(tests)
        tested = None
        if entry:
            try:
                tested = self._get(entry)
            except NameError:
                if self.told["entry"] or not hasattr(builtins, entry):
                    raise
            else:
                self.names[base] = tested if base == entry else self._get(base)
        try:
            exec(compile(tests, "<tests>", "exec"), self.names)
        except ImportError as error:
            self.fault = "" if self.calls else str(error)
            raise
        if self.passed or self.failed:
            return
        if callable(self.names.get("check")) and not self.calls:
            if not entry:
                self.fault = "the tests define check(candidate), and no entry_point says what the candidate is"
                raise DoneError
            self.names["check"](tested)
            return
        found = cases(self.names, NAME)
        while True:
            try:
                case = next(found)
            except StopIteration:
                return
            except UnmetError as error:
                self.fault = str(error)
                raise
            case()

    def _find(self, name: str) -> None:
        """Give the tests a name that they use and do not define."""
        if name in self.names or hasattr(builtins, name):
            return
        if name in ALIASES or name in sys.stdlib_module_names:
            self.names[name] = importlib.import_module(ALIASES.get(name, name))
            return
        with suppress(NameError):
            found, known = self._get(name), standard(name)
            self.names[name] = found if known is None else known

    def _get(self, expression: str) -> Any:
        """Something of the candidate, by its name."""
        if expression.startswith("__"):
            raise AttributeError(expression)
        try:
            found = self.peer.ask("name", expression)
        except Exception as error:  # whatever it says: an ImportError of its own is no fault of the tests
            raise NameError(str(error)) from None
        self.given.append(found)
        if isinstance(found, Remote) and expression[:1].isupper():
            object.__setattr__(found, "_Remote__is_class", True)
        return found

    def _lend(self, value: Any) -> list[Any]:
        """How the candidate may use what is passed to it and is no plain value."""
        module = getattr(getattr(value, "__objclass__", value), "__module__", None)
        name = getattr(value, "__qualname__", None)
        if module in sys.stdlib_module_names and isinstance(name, str) and sys.modules.get(str(module)):
            with suppress(AttributeError):
                if operator.attrgetter(name)(sys.modules[module]) is value:
                    return ["standard", module, name]
        if isinstance(value, CALLABLE):
            return ["call", str(name)]
        if isinstance(value, collections.abc.Iterator):
            return ["next"]
        if type(value).__module__ == NAME:
            return ["object", type(value).__name__]
        raise UnpassableError(f"the tests pass a {type(value).__name__}, which cannot be passed to another process")

    def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        if self._lend(function)[0] != "call":
            raise TypeError("not callable")
        return function(*arguments, **named)

    def _next(self, iterator: Any) -> Any:
        if not isinstance(iterator, collections.abc.Iterator):
            raise TypeError("not an iterator")
        return next(iterator)

    def _field(self, owner: Any, name: str) -> Any:
        if type(owner).__module__ == NAME and name in vars(owner):
            return vars(owner)[name]
        method = getattr(type(owner), name, None) if not name.startswith("_") else None
        if isinstance(method, types.FunctionType):
            return types.MethodType(method, owner)
        raise AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}")

    def _set_field(self, owner: Any, name: str, value: Any) -> None:
        if type(owner).__module__ != NAME or hasattr(type(owner), name):
            raise AttributeError(f"cannot set {name!r}")
        vars(owner)[name] = value


def main(told: dict[str, Any]) -> None:
    """Examine the candidate and write the verdict: {share, fault, why}."""
    verdict = os.fdopen(os.dup(1), "w")
    for descriptor in (1, 2):
        os.dup2(0, descriptor)  # what the tests print is of no account
    print("begun", file=verdict, flush=True)
    sys.setrecursionlimit(10_000)
    exam, asserts, complete, why = Exam(told), Asserts(), False, ""
    try:
        try:
            exam.peer.ask("ready")
            tests = ast.fix_missing_locations(asserts.visit(ast.parse(told["test"])))
        except GoneError:
            exam.fault = "the candidate's process did not start"
            raise
        except (SyntaxError, ValueError) as error:
            exam.fault = f"the tests are no Python: {error}"
            raise
        exam.run(tests)
        complete = True
    except BaseException as error:
        why = f"{type(error).__name__}: {error}"
    share = _share(exam, asserts.count, complete and not exam.gone) if exam.given else 0.0
    used = exam.calls or any(type(one) is not Remote for one in exam.given)
    if complete and not (exam.passed or exam.failed or used):
        exam.fault = exam.fault or "the tests check nothing"
    print(json.dumps({"share": share, "fault": exam.fault, "why": why}), file=verdict, flush=True)
    os._exit(0)


def _share(exam: Exam, count: int, complete: bool) -> float:
    """The share of assert statements that hold: of those that ran, or of all where the tests broke off."""
    held = {number for number in exam.passed - exam.failed if number >= 0}
    ran = {number for number in exam.passed if number >= 0} | exam.failed
    if complete and not count:
        return float(not exam.failed)  # tests that raise errors of their own
    if exam.told["mode"] == "all":
        return float(complete and bool(held) and not exam.failed)
    total = len(ran) if complete else count
    return len(held) / total if total else 0.0
