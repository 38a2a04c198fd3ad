"""The reward registry: `@reward`, and every reward by its name.

A `Reward` is what TRL's `GRPOTrainer(reward_funcs=[...])` takes, so it works there as it is; a
function written for TRL works here unchanged. See `rlkit.signature` for what a signature says.
"""

import copy
import functools
import inspect
import math
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlkit import names, signature
from rlkit.errors import RequestError, RewardError

RESERVED = ("weight", "name")
"""Settings that a recipe gives to any reward; no parameter may be called so."""


class Gold(NamedTuple):
    """A case whose score is known: the completion, the columns (and parameters) beside it, the score."""

    completion: str
    columns: dict[str, Any]
    expected: float | None


class Reward:
    """A reward function under a name, with its parameters set.

    Calling it follows TRL's convention: keyword arguments `prompts`, `completions`,
    `completion_ids` and one list a dataset column; what the function does not name is left out.
    Completions may be texts or lists of messages: the function gets plain text, unless it was
    written for TRL (`plain`), then it gets what TRL would give it. Returns one float or None for
    each completion.

    Attributes:
        name: Unique within a stack; the column in logs.
        function: The function, class or factory as its author wrote it.
        gold: Cases with a known score.
        parameters: The parameters set so far.
        signature: What it takes.
        plain: It was written for TRL.
    """

    def __init__(self, name: str, function: Callable[..., Any], gold: Sequence[Any] = (), plain: bool = False):
        self.name = self.__name__ = name
        self.function = function
        self.gold = [Gold(*case) for case in gold]
        self.plain = plain
        self.parameters: dict[str, Any] = {}
        self.signature = signature.read(function, plain)
        self.__doc__ = inspect.getdoc(function)
        for reserved in RESERVED:
            if reserved in self.signature.parameters:
                raise TypeError(f"reward {name!r} has a parameter {reserved!r}: recipes use that key themselves")

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.parameters.items())
        return f"<reward {self.name}({settings})>"

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (self.__doc__ or "").strip().split("\n")[0]

    @property
    def source(self) -> tuple[str, int]:
        """File and line where the function stands."""
        function = inspect.unwrap(self.function)
        function = function if inspect.isclass(function) or inspect.isroutine(function) else type(function)
        try:
            return inspect.getsourcefile(function) or "?", inspect.getsourcelines(function)[1]
        except (OSError, TypeError):
            return "?", 0

    @property
    def columns(self) -> tuple[str, ...]:
        """The dataset columns that it needs, with the parameters that are set."""
        if self.signature.is_factory and not inspect.isclass(self.function):
            return signature.read(self._scorer, self.plain).required if not self.missing else ()
        return self.signature.required

    @property
    def missing(self) -> list[str]:
        """Parameters that have no default and are not set."""
        known = self.signature.parameters
        return [n for n, p in known.items() if p.default is signature.REQUIRED and n not in self.parameters]

    def configure(self, name: str | None = None, **parameters: Any) -> "Reward":
        """A copy with parameters set, each checked against its annotation.

        Raises:
            RequestError: A parameter is unknown, missing or of the wrong type.
        """
        from pydantic import ValidationError

        known, problems, checked = self.signature.parameters, [], dict(self.parameters)
        for key, value in parameters.items():
            if key not in known:
                problems.append(f"reward {self.name!r}: " + names.unknown("parameter", key, known))
                continue
            try:
                checked[key] = _check(known[key].annotation, value)
            except ValidationError as error:
                said = error.errors()[0]["msg"].lower()
                problems.append(f"reward {self.name!r}: parameter {key} = {value!r}: {said} (it is {known[key]})")
        configured = copy.copy(self)
        configured.__dict__.pop("_scorer", None)
        configured.parameters = checked
        if configured.missing:
            problems.append(f"reward {self.name!r} needs the parameter {', '.join(map(repr, configured.missing))}")
        if problems:
            raise RequestError("\n".join(problems))
        configured.name = configured.__name__ = name or self.name
        try:
            _ = configured._scorer  # a factory may refuse what its annotations allow
        except (TypeError, ValueError) as error:
            raise RequestError(f"reward {self.name!r}: {error}") from error
        return configured

    def unset(self) -> "Reward":
        """A copy with no parameter set: the one that the gold cases speak of."""
        return make(self.name, self.function, self.gold, self.plain)

    @functools.cached_property
    def _scorer(self) -> Callable[..., Any]:
        """The function that takes the data alone: parameters bound, factory called."""
        return self.function(**self.parameters) if self.signature.is_factory else self.function

    def __call__(self, *args: Any, **columns: Any) -> Any:
        """Score a batch as TRL asks for it, or one sample (`completion="..."`) as a person would."""
        if "completion" in columns and "completions" not in columns:
            return self._call_one(columns)
        inner = signature.read(self._scorer, self.plain) if self.signature.is_factory else self.signature
        columns |= dict(zip(inner.data, args, strict=False))
        # TRL passes every column of the data set, and one may be called like a parameter.
        direct = {} if "trainer_state" in columns else {k: columns.pop(k) for k in inner.parameters if k in columns}
        if direct:
            return self.configure(self.name, **direct)(**columns)
        completions = columns["completions" if "completions" in columns else "completion_ids"]
        call = functools.partial(self._scorer, **({} if self.signature.is_factory else self.parameters))
        if inner.per_sample:
            samples = self._samples(inner, columns, len(completions))
            values = [call(**sample) for sample in samples]
            result: Any = _gather(values) if inner.is_async else values
        else:
            result = call(**self._batch(inner, columns))
        if not inner.is_async:
            return floats(result, len(completions), self.name)
        later = self._later(result, len(completions))
        return later if isinstance(self, AsyncReward) else now(later)

    def _call_one(self, columns: dict[str, Any]) -> Any:
        known = self.signature.parameters
        parameters = {key: columns.pop(key) for key in list(columns) if key in known}
        batch = {signature.PER_SAMPLE.get(key, key): [value] for key, value in columns.items()}
        result = self.configure(self.name, **parameters)(**batch)
        return _first(result) if inspect.isawaitable(result) else result[0]

    def _require(self, inner: signature.Signature, columns: dict[str, Any]) -> None:
        lacking = [name for name in (*inner.required, *inner.needs) if name not in columns]
        if lacking:
            has = ", ".join(sorted(set(columns) - set(signature.RUNTIME)))
            raise RewardError(f"reward {self.name!r} needs {', '.join(lacking)}, and the data has {has}")

    def _batch(self, inner: signature.Signature, columns: dict[str, Any]) -> dict[str, Any]:
        self._require(inner, columns)
        given = {key: value for key, value in columns.items() if inner.any_column or key in inner.data}
        convert = (_as_messages if inner.wants_messages else None) if self.plain else text_of
        if convert and "completions" in given:
            given["completions"] = [convert(completion) for completion in given["completions"]]
        return given

    def _samples(self, inner: signature.Signature, columns: dict[str, Any], n: int) -> list[dict[str, Any]]:
        self._require(inner, columns)
        one = {plural: singular for singular, plural in signature.PER_SAMPLE.items()}
        given = {
            one.get(key, key): [values] * n if key in signature.RUNTIME else values
            for key, values in columns.items()
            if one.get(key, key) in inner.data or (inner.any_column and key not in signature.RUNTIME)
        }
        given["completion"] = [text_of(completion) for completion in columns["completions"]]
        return [{key: values[i] for key, values in given.items()} for i in range(n)]

    async def _later(self, result: Any, n: int) -> list[float | None]:
        return floats(await result, n, self.name)


class AsyncReward(Reward):
    """A reward whose function is async; TRL runs several of them side by side."""

    async def __call__(self, *args: Any, **columns: Any) -> Any:
        """Score a batch as TRL asks for it."""
        result = super().__call__(*args, **columns)
        return await result if inspect.isawaitable(result) else result


REGISTRY: dict[str, Reward] = {}
"""Every reward that was registered in this process, by name."""


def make(name: str, function: Callable[..., Any], gold: Sequence[Any] = (), plain: bool = False) -> Reward:
    """A reward that is in no registry, async where its function is."""
    kind = AsyncReward if signature.read(function, plain).is_async else Reward
    return kind(name, function, gold, plain)


def reward(name: str, gold: Sequence[Any] = ()) -> Callable[[Callable[..., Any]], Reward]:
    """Register a function, a class or a factory as a reward.

    Args:
        name: What recipes and `rlkit ls` call it.
        gold: Cases (completion, columns, expected) that `rlkit validate` and the tests run. The
            columns may also set parameters.

    Raises:
        RequestError: The name is taken by a function that stands elsewhere.
    """

    def register(function: Callable[..., Any]) -> Reward:
        made = make(name, function, gold)
        taken = REGISTRY.get(name)
        if taken is not None and _home(taken) != _home(made):
            here, there = made.source, taken.source
            raise RequestError(
                f"two rewards are called {name!r}: {there[0]}:{there[1]} and {here[0]}:{here[1]}; rename one of them"
            )
        REGISTRY[name] = made
        return made

    return register


def text_of(completion: Any) -> str:
    """The plain text of a completion, which TRL gives as a text or as a list of messages."""
    if isinstance(completion, str):
        return completion
    parts = []
    for message in completion:
        if message.get("role", "assistant") == "assistant":
            content = message.get("content") or ""
            parts += [content] if isinstance(content, str) else [part.get("text", "") for part in content]
    return "".join(parts)


def now(later: Awaitable[Any]) -> Any:
    """Wait for what an async reward gives."""
    import asyncio

    async def wait() -> Any:
        return await later

    return asyncio.run(wait())


def floats(result: Any, n: int, name: str) -> list[float | None]:
    """The values of a reward as floats: numbers of any library and bools are converted, None stays None.

    Raises:
        RewardError: There are not `n` of them, or one is no finite number.
    """
    try:
        values = list(result)
    except TypeError:
        raise RewardError(f"reward {name!r} returned {type(result).__name__}, not a list with a number each") from None
    if len(values) != n:
        raise RewardError(f"reward {name!r} returned {len(values)} values for {n} completions")
    converted: list[float | None] = []
    for index, value in enumerate(values):
        try:
            number = None if value is None or isinstance(value, str) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if (number is None and value is not None) or (number is not None and not math.isfinite(number)):
            raise RewardError(f"reward {name!r} returned {value!r} for completion {index}: not a finite number or None")
        converted.append(number)
    return converted


def check_gold(reward: Reward) -> list[str]:
    """Run the gold cases; one sentence for each that does not come out as expected."""
    wrong = []
    for case in reward.gold:
        try:
            got = reward(completion=case.completion, **copy.deepcopy(case.columns))
            got = now(got) if inspect.isawaitable(got) else got
        except Exception as error:
            wrong.append(f"reward {reward.name!r} failed on its gold case {case.completion!r}: {error}")
            continue
        if got is None or case.expected is None:
            same = got is case.expected
        else:
            same = math.isclose(got, case.expected, abs_tol=1e-6)
        if not same:
            wrong.append(f"reward {reward.name!r} gave {got} to its gold case {case.completion!r}, not {case.expected}")
    return wrong


def _as_messages(completion: Any) -> Any:
    return [{"role": "assistant", "content": completion}] if isinstance(completion, str) else completion


def _check(annotation: Any, value: Any) -> Any:
    if annotation is signature.REQUIRED:
        return value
    from pydantic import ConfigDict, TypeAdapter

    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
    except Exception:  # no type that pydantic knows, or it brings a config of its own
        return value
    return adapter.validate_python(value)


def _home(reward: Reward) -> tuple[str, str]:
    return str(Path(reward.source[0]).resolve()), getattr(reward.function, "__qualname__", "")


async def _first(result: Any) -> float | None:
    return (await result)[0]


async def _gather(calls: list[Any]) -> list[Any]:
    import asyncio

    return list(await asyncio.gather(*calls))
