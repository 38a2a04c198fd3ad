"""What the signature of a reward function says.

Before the `*` stands data: `completions` (or `completion`, for one sample at a time), `prompts`,
`completion_ids` or any column of the dataset; data without a default is required. After the `*`
stand parameters: typed, set in the recipe, checked before anything loads.

A function that takes no data at all is a factory: all its arguments are parameters, and it returns
the function that scores. A class is a factory too: `__init__` takes the parameters, `__call__` the data.
"""

import functools
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_type_hints

BATCH = ("prompts", "completions", "completion_ids")
"""Data that the trainer makes, one entry for each completion of the batch."""
PER_SAMPLE = {"prompt": "prompts", "completion": "completions"}
"""Singular names: the function is called once a sample."""
RUNTIME = ("trainer_state", "log_extra", "log_metric", "environments")
"""What TRL hands over besides columns; passed on to a function that names it."""

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class Parameter:
    """A setting of a reward: its name, its type and its default (`REQUIRED` where it has none)."""

    name: str
    annotation: Any
    default: Any

    def __str__(self) -> str:
        kind = getattr(self.annotation, "__name__", None) if isinstance(self.annotation, type) else None
        text = self.name if self.annotation is REQUIRED else f"{self.name}: {kind or self.annotation}"
        return text if self.default is REQUIRED else f"{text} = {self.default!r}"

    def check(self, value: Any) -> Any:
        """The value as the annotation has it.

        Raises:
            ValidationError: It is of another type.
        """
        if self.annotation is REQUIRED:
            return value
        from pydantic import ConfigDict, TypeAdapter

        try:
            adapter = TypeAdapter(self.annotation, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
        except Exception:  # no type that pydantic knows, or it brings a config of its own
            return value
        try:  # as JSON, so that a list can be a tuple or a text a path, but no text a number
            text = json.dumps(value)
        except TypeError:
            return adapter.validate_python(value)
        return adapter.validate_json(text)


@dataclass(frozen=True)
class Signature:
    """What a reward takes."""

    data: tuple[str, ...] = ()
    """Every data argument, in order."""
    required: tuple[str, ...] = ()
    """Dataset columns without which it cannot run."""
    needs: tuple[str, ...] = ()
    """What the trainer makes (`BATCH`) without which it cannot run."""
    parameters: dict[str, Parameter] = field(default_factory=dict)
    any_column: bool = False
    """Takes `**kwargs`, so gets every column, as in TRL."""
    per_sample: bool = False
    is_async: bool = False
    is_factory: bool = False
    wants_messages: bool = False
    """`completions` is annotated as lists of messages, as in TRL's own rewards."""


def read(function: Callable[..., Any], plain: bool = False) -> Signature:
    """Read the signature of a function, a class, or an object with `__call__`.

    Args:
        function: The reward as its author wrote it.
        plain: It was written for TRL, without the `*` convention: an argument with a default may
            then be set as a parameter too.

    Raises:
        TypeError: It mixes one sample (`completion`) with the batch (`completions`).
    """
    if inspect.isclass(function):
        inner = read(function.__call__, plain)
        made = _parameters(function.__init__, skip_self=True)
        return Signature(
            **{**vars(inner), "parameters": {p.name: p for p in made}, "is_factory": True},
        )
    plain_call = inspect.isroutine(function) or isinstance(function, functools.partial)
    target = function if plain_call else getattr(function, "__call__", function)  # noqa: B004
    arguments = list(inspect.signature(target).parameters.values())
    if arguments and arguments[0].name == "self":
        arguments = arguments[1:]
    hints = _hints(target)
    positional = [a for a in arguments if a.kind in (a.POSITIONAL_ONLY, a.POSITIONAL_OR_KEYWORD)]
    names = [a.name for a in positional]
    any_column = any(a.kind is a.VAR_KEYWORD for a in arguments)
    names += [a.name for a in arguments if a.kind is a.KEYWORD_ONLY and a.name in (*BATCH, *PER_SAMPLE)]
    takes_data = any(name in (*BATCH, *PER_SAMPLE) for name in names) or (any_column and not names)
    if not takes_data:
        everything = {p.name: p for p in _parameters(target)}
        return Signature(parameters=everything, is_factory=True)
    per_sample = "completion" in names
    if per_sample and "completions" in names:
        raise TypeError("takes both 'completion' and 'completions': one sample at a time, or the batch, not both")
    parameters = {
        a.name: Parameter(a.name, hints.get(a.name, a.annotation), a.default)
        for a in arguments
        if (a.kind is a.KEYWORD_ONLY or (plain and a in positional and a.default is not REQUIRED))
        and a.name not in (*RUNTIME, *BATCH, *PER_SAMPLE)
    }
    given = (*BATCH, *PER_SAMPLE, *RUNTIME)
    return Signature(
        data=tuple(names),
        required=tuple(a.name for a in positional if a.default is REQUIRED and a.name not in given),
        needs=tuple(a.name for a in positional if a.default is REQUIRED and a.name in BATCH),
        parameters=parameters,
        any_column=any_column,
        per_sample=per_sample,
        is_async=inspect.iscoroutinefunction(target),
        wants_messages="dict" in str(hints.get("completions", "")),
    )


def _parameters(function: Callable[..., Any], skip_self: bool = False) -> list[Parameter]:
    if function is object.__init__:
        return []
    hints = _hints(function)
    arguments = list(inspect.signature(function).parameters.values())[1 if skip_self else 0 :]
    return [
        Parameter(a.name, hints.get(a.name, a.annotation), a.default)
        for a in arguments
        if a.kind not in (a.VAR_KEYWORD, a.VAR_POSITIONAL)
    ]


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except Exception:  # an annotation may name what is imported for type checkers only
        return dict(getattr(function, "__annotations__", {}))
