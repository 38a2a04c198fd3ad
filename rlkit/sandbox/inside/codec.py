"""Values as plain data: what may pass between code that is trusted and code that is not.

A value is written as JSON. What comes out on the other side is of exactly the built-in types (and a few of the standard
library's), whatever went in: a subclass arrives as its base, a number of NumPy's as Python's, so nothing that
arrives brings behaviour of its own. Whatever is no such value, the owner of the codec turns into a reference.
"""

import collections
import functools
import importlib
from collections.abc import Callable
from typing import Any

MUTABLE = {"list": list, "dict": dict, "set": set, "deque": collections.deque}
"""What keeps its identity on the way: changes can be carried back."""

TYPES = (
    object, bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, type(None),
)  # fmt: skip
NAMED: dict[str, type] = {kind.__name__: kind for kind in TYPES}
"""Types that are values themselves."""

VERDICTS = {name for kind in (str, bytes, set, float) for name in dir(kind) if name.startswith("is")}
VERDICTS |= {"startswith", "endswith", "equals", "all", "any"}
"""Methods of plain values that say yes or no."""

Refer = Callable[[Any], list[Any]]
Resolve = Callable[[list[Any]], Any]


class Encoder:
    """Writes values; one that occurs twice, or within itself, is written once.

    Args:
        refer: Writes what is no plain value.
        known: Mutable values that the other side has already, in the order of their numbers.
    """

    def __init__(self, refer: Refer, known: list[Any] | None = None):
        self.refer = refer
        self.kept = known if known is not None else []
        self.numbers = {id(value): number for number, value in enumerate(self.kept)}

    def __call__(self, value: Any) -> Any:
        """Write a value."""
        kind = type(value)
        if value is None or kind is bool or kind is str or kind is float:
            return value
        if kind is int:
            return value if -(2**1000) < value < 2**1000 else ["int", hex(value)]
        for base in kind.__mro__:
            if MUTABLE.get(base.__name__) is base:
                return self._mutable(base.__name__, value)
            write = WRITERS.get((base.__module__, base.__name__))
            if write is not None:
                return write(self, value)
        return self.refer(value)

    def _mutable(self, name: str, value: Any) -> list[Any]:
        number = self.numbers.get(id(value))
        if number is not None:
            return ["same", number]
        self.numbers[id(value)] = number = len(self.kept)
        self.kept.append(value)
        return [name, number, self.content(value)]

    def content(self, value: Any) -> list[Any]:
        """What a mutable value holds."""
        if isinstance(value, dict):
            return [[self(key), self(item)] for key, item in dict.items(value)]
        held = [self(item) for item in value]
        return [value.maxlen, *held] if isinstance(value, collections.deque) else held


class Decoder:
    """Reads what an `Encoder` wrote.

    Args:
        resolve: Reads what is no plain value.
        known: Mutable values that both sides have.
    """

    def __init__(self, resolve: Resolve, known: list[Any] | None = None):
        self.resolve = resolve
        self.kept = known if known is not None else []

    def __call__(self, data: Any) -> Any:
        """Read a value."""
        if not isinstance(data, list):
            if isinstance(data, dict):
                raise ValueError("no value")
            return data
        tag = data[0]
        if tag == "same":
            return self.kept[data[1]]
        if tag in MUTABLE:
            value = collections.deque(maxlen=data[2][0]) if tag == "deque" else MUTABLE[tag]()
            self.kept.append(value)
            self.fill(value, data[2])
            return value
        read = READERS.get(tag)
        return self.resolve(data) if read is None else read(self, data[1])

    def fill(self, value: Any, content: list[Any]) -> None:
        """Give a mutable value what it holds, and nothing else."""
        if isinstance(value, dict):
            held: Any = {self(key): self(item) for key, item in content}
        else:
            held = [self(item) for item in (content[1:] if isinstance(value, collections.deque) else content)]
        value.clear()
        (value.extend if isinstance(value, list | collections.deque) else value.update)(held)


def _write_range(_: Encoder, value: Any) -> list[Any]:
    return ["range", [hex(value.start), hex(value.stop), hex(value.step)]]


def _write_array(_: Encoder, value: Any) -> list[Any]:
    if value.dtype.kind not in "biufc":
        raise TypeError(f"an array of {value.dtype} is no plain value")
    import numpy

    return ["array", [value.dtype.str, list(value.shape), numpy.ascontiguousarray(value).tobytes().hex()]]


def _write_tuple(encode: Encoder, value: Any) -> list[Any]:
    items = [encode(item) for item in tuple.__iter__(value)]
    names = getattr(type(value), "_fields", None)
    if type(value) is tuple or not isinstance(names, tuple) or len(names) != len(items) or not items:
        return ["tuple", items]
    names = tuple(map(str, names))
    title = type(value).__name__
    return (
        ["fields", [title, names, items]] if title.isidentifier() and all(map(_is_field, names)) else ["tuple", items]
    )


def _is_field(name: str) -> bool:
    """Whether a name hides nothing that plain values can do, nor is one by which they say yes or no."""
    return not (name.startswith("_") or name in VERDICTS or hasattr(tuple, name))


@functools.lru_cache
def _fields(title: str, names: tuple[str, ...]) -> Any:
    """The class of a tuple whose items have names as well."""
    if not all(map(_is_field, names)):
        raise ValueError("no names of fields")
    return collections.namedtuple(title, names)


def read_array(_: Decoder, data: list[Any]) -> Any:
    """Read an array of numbers."""
    import numpy

    kind = numpy.dtype(str(data[0]))
    if kind.kind not in "biufc":
        raise ValueError("no array of numbers")
    return numpy.frombuffer(bytes.fromhex(data[2]), kind).reshape(data[1]).copy()


def _write_class(encoder: Encoder, value: Any) -> list[Any]:
    named = NAMED.get(value.__name__) is value
    return ["type", value.__name__] if named else encoder.refer(value)


def _several(name: str) -> Callable[[Encoder, Any], list[Any]]:
    return lambda encoder, value: [name, [encoder(item) for item in value]]


def _standard(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)  # imported where one comes, for what starts has to be small


def _moment(name: str) -> Callable[[Decoder, Any], Any]:
    return lambda _, data: _standard("datetime", name).fromisoformat(data)


WRITERS: dict[tuple[str, str], Callable[[Encoder, Any], Any]] = {
    ("builtins", "int"): lambda encode, value: encode(int.__int__(value)),
    ("builtins", "float"): lambda encode, value: float.__float__(value),
    ("builtins", "str"): lambda encode, value: str.__str__(value),
    ("builtins", "complex"): lambda encode, value: ["complex", [value.real, value.imag]],
    ("builtins", "bytes"): lambda encode, value: ["bytes", bytes.hex(value)],
    ("builtins", "bytearray"): lambda encode, value: ["bytearray", bytearray.hex(value)],
    ("builtins", "tuple"): _write_tuple,
    ("builtins", "frozenset"): _several("frozenset"),
    ("builtins", "dict_keys"): _several("keys"),
    ("builtins", "dict_items"): _several("items"),
    ("builtins", "range"): _write_range,
    ("builtins", "ellipsis"): lambda encode, value: ["ellipsis", None],
    ("builtins", "type"): _write_class,
    ("collections", "Counter"): lambda encode, value: ["Counter", [[encode(k), encode(v)] for k, v in value.items()]],
    ("decimal", "Decimal"): lambda encode, value: ["Decimal", str(value)],
    ("fractions", "Fraction"): lambda encode, value: ["Fraction", [hex(value.numerator), hex(value.denominator)]],
    ("datetime", "datetime"): lambda encode, value: ["datetime", value.isoformat()],
    ("datetime", "date"): lambda encode, value: ["date", value.isoformat()],
    ("datetime", "time"): lambda encode, value: ["time", value.isoformat()],
    ("datetime", "timedelta"): lambda encode, value: ["timedelta", [value.days, value.seconds, value.microseconds]],
    ("numpy", "generic"): lambda encode, value: encode(value.item()),
    ("numpy", "ndarray"): _write_array,
}
"""How a value of a type, or of a type under it, is written; types by name, so that none has to be imported."""

READERS: dict[str, Callable[[Decoder, Any], Any]] = {
    "int": lambda decode, data: int(data, 16),
    "complex": lambda decode, data: complex(*data),
    "bytes": lambda decode, data: bytes.fromhex(data),
    "bytearray": lambda decode, data: bytearray.fromhex(data),
    "tuple": lambda decode, data: tuple([decode(item) for item in data]),
    "fields": lambda decode, data: _fields(str(data[0]), tuple(map(str, data[1])))(*map(decode, data[2])),
    "frozenset": lambda decode, data: frozenset([decode(item) for item in data]),
    "keys": lambda decode, data: dict.fromkeys([decode(item) for item in data]).keys(),
    "items": lambda decode, data: dict([decode(item) for item in data]).items(),
    "range": lambda decode, data: range(*(int(number, 16) for number in data)),
    "ellipsis": lambda decode, data: ...,
    "type": lambda decode, data: NAMED[data],
    "Counter": lambda decode, data: collections.Counter({decode(key): decode(count) for key, count in data}),
    "Decimal": lambda decode, data: _standard("decimal", "Decimal")(data),
    "Fraction": lambda decode, data: _standard("fractions", "Fraction")(*(int(number, 16) for number in data)),
    "datetime": _moment("datetime"),
    "date": _moment("date"),
    "time": _moment("time"),
    "timedelta": lambda decode, data: _standard("datetime", "timedelta")(*data),
    "array": read_array,
}
