"""A reward function with its parameters set: what TRL's `GRPOTrainer(reward_funcs=[...])` takes.

A `Reward` works in plain TRL as it is; a function written for TRL works here unchanged. See `rlkit.signature` for what
a signature says.
"""

import copy
import functools
import inspect
import json
import math
from collections.abc import Awaitable, Callable, Sequence
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
        try:
            self.signature = signature.read(function, plain)
        except (TypeError, ValueError) as error:
            raise RequestError(f"reward {name!r}: {error}") from error
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
        if self.signature.is_factory and not inspect.isclass(self.function) and self.missing:
            return ()
        return self._inner.required

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
                if key in self.signature.data:
                    said = f"{key!r} stands before the *, so it is a column: put * before it"
                else:
                    said = names.unknown("parameter", key, known)
                problems.append(f"reward {self.name!r}: {said}")
                continue
            try:
                checked[key] = _check(known[key].annotation, value)
            except ValidationError as error:
                said = error.errors()[0]["msg"].lower()
                problems.append(f"reward {self.name!r}: parameter {key} = {value!r}: {said} (it is {known[key]})")
        configured = copy.copy(self)
        for cached in ("_scorer", "_inner"):
            configured.__dict__.pop(cached, None)
        configured.parameters = checked
        if configured.missing:
            said = f"reward {self.name!r} needs the parameter {', '.join(map(repr, configured.missing))}"
            if self.signature.is_factory and not inspect.isclass(self.function):
                said += "; as it takes no completion, it counts as a factory (call its first argument completion)"
            problems.append(said)
        if problems:
            raise RequestError("\n".join(problems))
        configured.name = configured.__name__ = name or self.name
        try:
            made = configured._scorer  # a factory may refuse what its annotations allow
        except (TypeError, ValueError) as error:
            raise RequestError(f"reward {self.name!r}: {error}") from error
        if not callable(made):
            raise RequestError(f"reward {self.name!r} takes no completions and returned {made!r}, not a function")
        return configured

    def unset(self) -> "Reward":
        """A copy with no parameter set: the one that the gold cases speak of."""
        return make(self.name, self.function, self.gold, self.plain)

    @functools.cached_property
    def _scorer(self) -> Callable[..., Any]:
        """The function that takes the data alone: parameters bound, factory called."""
        return self.function(**self.parameters) if self.signature.is_factory else self.function

    def __call__(self, *args: Any, **columns: Any) -> Any:
        """Score a batch as TRL asks for it, or one sample (`completion="..."`) as a person would.

        A person may set parameters in the same breath; TRL passes every column, which may be called like one.
        """
        columns |= dict(zip(self._inner.data, args, strict=False))
        if "trainer_state" in columns:
            return self.score(columns)
        parameters = {key: columns.pop(key) for key in list(columns) if key in self.signature.parameters}
        for key, value in columns.items():
            if not isinstance(value, list | tuple) and key not in (*self._inner.data, *signature.RUNTIME, "completion"):
                raise TypeError(f"reward {self.name!r}: " + names.unknown("parameter", key, self.signature.parameters))
        configured = self.configure(self.name, **parameters) if parameters else self
        if "completion" not in columns or isinstance(columns["completion"], list):
            return configured.score(columns)
        result = configured.score({signature.PER_SAMPLE.get(key, key): [value] for key, value in columns.items()})
        return _first(result) if inspect.isawaitable(result) else result[0]

    def score(self, columns: dict[str, Any], failed: Callable[[Exception], None] | None = None) -> Any:
        """Score a batch given as TRL gives it; columns that are called like a parameter do not reach the function.

        Args:
            columns: Lists, one entry a completion, and what else TRL passes.
            failed: Hears of each sample on which a per-sample function raises; the sample gets None.
        """
        inner = self._inner
        self._require(columns)
        completions = columns["completions" if "completions" in columns else "completion_ids"]
        bound = {} if self.signature.is_factory else self.parameters
        call = functools.partial(self._scorer, **bound)
        if inner.per_sample:
            samples = self._samples(columns, len(completions))
            result: Any = [self._attempt(call, sample, failed) for sample in samples]
            if any(inspect.isawaitable(value) for value in result):
                result = self._gather(result, failed)
        else:
            result = call(**self._batch(columns))
        if not inspect.isawaitable(result):
            return floats(result, len(completions), self.name)
        later = self._later(result, len(completions))
        return later if isinstance(self, AsyncReward) else now(later)

    @functools.cached_property
    def _inner(self) -> signature.Signature:
        """The signature of what scores: a factory's own says its parameters alone."""
        if not self.signature.is_factory or inspect.isclass(self.function):
            return self.signature
        return signature.read(self._scorer, self.plain)

    def _require(self, columns: dict[str, Any]) -> None:
        lacking = [name for name in (*self._inner.required, *self._inner.needs) if name not in columns]
        if lacking or not ("completions" in columns or "completion_ids" in columns):
            has = ", ".join(sorted(set(columns) - set(signature.RUNTIME))) or "nothing"
            wants = ", ".join(lacking) or "completions"
            raise RewardError(f"reward {self.name!r} needs {wants}, and the data has {has}")

    def _passes(self, key: str) -> bool:
        """Whether the function gets a column: it names it, or takes them all and has no parameter of that name."""
        inner = self._inner
        if key in inner.data:
            return key not in self.parameters
        return inner.any_column and key not in inner.parameters

    def _batch(self, columns: dict[str, Any]) -> dict[str, Any]:
        given = {key: value for key, value in columns.items() if self._passes(key)}
        convert = (_as_messages if self._inner.wants_messages else None) if self.plain else text_of
        if convert and "completions" in given:
            given["completions"] = [convert(completion) for completion in given["completions"]]
        return given

    def _samples(self, columns: dict[str, Any], n: int) -> list[dict[str, Any]]:
        one = {plural: singular for singular, plural in signature.PER_SAMPLE.items()}
        given = {
            one.get(key, key): [values] * n if key in signature.RUNTIME else values
            for key, values in columns.items()
            if self._passes(one.get(key, key)) and (key in self._inner.data or key not in signature.RUNTIME)
        }
        given["completion"] = [text_of(completion) for completion in columns["completions"]]
        return [{key: values[i] for key, values in given.items()} for i in range(n)]

    def _attempt(self, call: Callable[..., Any], sample: dict[str, Any], failed: Callable[..., None] | None) -> Any:
        """One sample; what it gives is checked here, so that a bad value is that sample's failure alone."""
        try:
            value = call(**sample)
            return value if inspect.isawaitable(value) else floats([value], 1, self.name)[0]
        except Exception as error:
            if failed is None:
                raise
            failed(error)
            return None

    async def _gather(self, values: list[Any], failed: Callable[..., None] | None) -> list[Any]:
        import asyncio

        async def one(value: Any) -> Any:
            try:
                return floats([await value], 1, self.name)[0] if inspect.isawaitable(value) else value
            except Exception as error:
                if failed is None:
                    raise
                failed(error)
                return None

        return list(await asyncio.gather(*map(one, values)))

    async def _later(self, result: Any, n: int) -> list[float | None]:
        return floats(await result, n, self.name)


class AsyncReward(Reward):
    """A reward whose function is async, which TRL sees by its `__call__`."""

    async def __call__(self, *args: Any, **columns: Any) -> Any:
        """Score a batch as TRL asks for it."""
        result = super().__call__(*args, **columns)
        return await result if inspect.isawaitable(result) else result


def make(name: str, function: Callable[..., Any], gold: Sequence[Any] = (), plain: bool = False) -> Reward:
    """A reward that is in no registry, async where its function is."""
    kind = AsyncReward if signature.read(function, plain).is_async else Reward
    return kind(name, function, gold, plain)


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

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    from concurrent.futures import ThreadPoolExecutor  # in a notebook a loop runs already: wait in another thread

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, wait()).result()


def floats(result: Any, n: int, name: str) -> list[float | None]:
    """The values of a reward as floats: numbers of any library and bools are converted, None and NaN become None.

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
            number = math.inf if isinstance(value, str) else math.nan if value is None else float(value)
        except (TypeError, ValueError):
            number = math.inf
        if math.isinf(number):
            raise RewardError(f"reward {name!r} returned {value!r} for completion {index}: not a finite number or None")
        converted.append(None if math.isnan(number) else number)
    return converted


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
    try:  # as JSON, so that a list can be a tuple or a text a path, but no text a number
        text = json.dumps(value)
    except TypeError:
        return adapter.validate_python(value)
    return adapter.validate_json(text)


async def _first(result: Any) -> float | None:
    return (await result)[0]
