"""A reward function with its parameters set: what TRL's `GRPOTrainer(reward_funcs=[...])` takes.

A `Reward` works in plain TRL as it is; a function written for TRL works here unchanged. See `rlkit.signature` for what
a signature says.
"""

import copy
import functools
import importlib.util
import inspect
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from rlkit import names, signature, worker
from rlkit.completion import messages_of, text_of
from rlkit.errors import RequestError, RewardError
from rlkit.isolation import Failed, Isolated
from rlkit.values import ENDS, awaited, failure, floats, gather, now
from rlkit.workers import CrashError, TimeLimitError

logger = logging.getLogger(__name__)

MADE = ("_scorer", "_inner", "_isolated")
"""What a reward makes of its settings when it is first needed."""
ONE = {plural: singular for singular, plural in signature.PER_SAMPLE.items()}
MANY = 2_000
"""Completions from which on `processes` share them where there is no time limit."""

RESERVED = ("weight", "name", "timeout", "on_error", "gate", "clip")
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
        timeout: Seconds that one sample may take; where set, the function runs in a process that is killed after them.
        processes: How many score, where there is a time limit or a batch is large; the cores at hand where None.
        requires: A module that it imports, and what to tell pip to install where that is missing.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        gold: Sequence[Any] = (),
        plain: bool = False,
        timeout: float | None = None,
        requires: tuple[str, str] | None = None,
    ):
        self.name = self.__name__ = name
        self.function = function
        self.gold = [Gold(*case) for case in gold]
        self.plain = plain
        self.timeout = timeout
        self.processes: int | None = None
        self.requires = requires
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
        """The dataset columns that it needs, with the parameters that are set.

        A class may say in an attribute `columns` what it needs besides what its `__call__` names.
        """
        if self.signature.is_factory and not inspect.isclass(self.function) and self.missing:
            return ()
        own: tuple[str, ...] = ()
        if self.signature.is_factory and not self.missing:
            with suppress(ValueError, TypeError):  # its settings are not all there yet
                own = getattr(self._scorer, "columns", ())
        return tuple(dict.fromkeys((*self._inner.required, *own)))

    @property
    def per_sample(self) -> bool:
        """Whether the function takes one completion at a time."""
        return self._inner.per_sample

    @property
    def missing(self) -> list[str]:
        """Parameters that have no default and are not set."""
        known = self.signature.parameters
        return [n for n, p in known.items() if p.default is signature.REQUIRED and n not in self.parameters]

    def configure(self, name: str | None = None, **parameters: Any) -> "Reward":
        """A copy with parameters set, each checked against its annotation; `timeout` may be set for any reward.

        Raises:
            RequestError: A parameter is unknown, missing or of the wrong type.
        """
        from pydantic import ValidationError

        if self.requires and importlib.util.find_spec(self.requires[0]) is None:
            module, package = self.requires
            raise RequestError(f"reward {self.name!r} needs {module}, which is not installed: pip install '{package}'")
        known, problems, checked = self.signature.parameters, [], dict(self.parameters)
        timeout = parameters.pop("timeout", self.timeout)
        if timeout is not None and (
            isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0
        ):
            problems.append(f"reward {self.name!r}: timeout is {timeout!r}, not seconds above 0 (or null: no limit)")
        for key, value in parameters.items():
            if key not in known:
                if key in self.signature.data:
                    said = f"{key!r} stands before the *, so it is a column: put * before it"
                else:
                    said = names.unknown("parameter", key, known)
                problems.append(f"reward {self.name!r}: {said}")
                continue
            try:
                checked[key] = known[key].check(value)
            except ValidationError as error:
                said = error.errors()[0]["msg"].lower()
                problems.append(f"reward {self.name!r}: parameter {key} = {value!r}: {said} (it is {known[key]})")
        configured = copy.copy(self)
        for cached in MADE:
            configured.__dict__.pop(cached, None)
        configured.parameters = checked
        configured.timeout = timeout
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
        return make(self.name, self.function, self.gold, self.plain, self.timeout, self.requires)

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
            return self.score(columns, self._told)
        parameters = {key: columns.pop(key) for key in list(columns) if key in self.signature.parameters}
        configured = self.configure(self.name, **parameters) if parameters else self
        known = (*self._inner.data, *configured.columns, *signature.RUNTIME, "completion")
        for key, value in columns.items():
            if not isinstance(value, list | tuple | dict) and key not in known:
                raise TypeError(f"reward {self.name!r}: " + names.unknown("parameter", key, self.signature.parameters))
        if "completion" not in columns or isinstance(columns["completion"], list):
            return configured.score(columns)
        result = configured.score({signature.PER_SAMPLE.get(key, key): [value] for key, value in columns.items()})
        return _first(result) if inspect.isawaitable(result) else result[0]

    def _told(self, index: int, error: Exception) -> None:
        """In plain TRL, a sample at the time limit is None and the run goes on; any other error ends it, as there."""
        if not isinstance(error, TimeLimitError | CrashError):
            raise error
        logger.warning("reward %r gives None for a sample: %s", self.name, error)

    def score(self, columns: dict[str, Any], failed: Failed | None = None) -> Any:
        """Score a batch given as TRL gives it; columns that are called like a parameter do not reach the function.

        Where the reward has a time limit, this is done in other processes (`rlkit.workers`).

        Args:
            columns: Lists, one entry a completion, and what else TRL passes.
            failed: Hears of each sample on which a per-sample function raises; the sample gets None.
        """
        inner = self._inner
        self._require(columns)
        completions = columns["completions" if "completions" in columns else "completion_ids"]
        if self._is_isolated(len(completions)):
            return self._isolated.score(self, columns, len(completions), failed)
        bound = {} if self.signature.is_factory else self.parameters
        call = functools.partial(self._scorer, **bound)
        if inner.per_sample:
            samples = self._samples(columns, len(completions))
            result: Any = [self._attempt(call, sample, i, failed) for i, sample in enumerate(samples)]
            if any(inspect.isawaitable(value) for value in result):
                result = gather(result, self.name, self.timeout, failed)
        else:
            result = call(**self._batch(columns))
        if not inspect.isawaitable(result):
            return floats(result, len(completions), self.name)
        later = awaited(result, len(completions), self.name, self.timeout)
        return later if isinstance(self, AsyncReward) else now(later)

    def __getstate__(self) -> dict[str, Any]:
        """All but what belongs to this process."""
        return {key: value for key, value in self.__dict__.items() if key not in MADE}

    @property
    def waits(self) -> bool:
        """Whether scoring is waiting, for other processes or for a server."""
        return self.timeout is not None or self._inner.is_async

    def _is_isolated(self, n: int) -> bool:
        if worker.inside or self._inner.is_async:
            return False
        return self.timeout is not None or (self.processes is not None and self.per_sample and n >= MANY)

    def close(self) -> None:
        """End its processes; it starts others when it scores again."""
        self._isolated.close()

    @functools.cached_property
    def _isolated(self) -> Isolated:
        return Isolated()

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

    def takes(self, key: str) -> bool:
        """Whether the function gets what a batch has under that name.

        It names it (`prompts` as `prompt`, where it takes one sample), or takes all columns and has no parameter of
        that name.
        """
        inner = self._inner
        if inner.per_sample:
            key = ONE.get(key, key)
        if key in inner.data:
            return key not in self.parameters
        return inner.any_column and key not in inner.parameters and not (inner.per_sample and key in signature.RUNTIME)

    def _batch(self, columns: dict[str, Any]) -> dict[str, Any]:
        given = {k: list(v) if isinstance(v, list) else v for k, v in columns.items() if self.takes(k)}
        convert = (messages_of if self._inner.wants_messages else None) if self.plain else text_of
        if convert and "completions" in given:
            given["completions"] = [convert(completion) for completion in given["completions"]]
        return given

    def _samples(self, columns: dict[str, Any], n: int) -> list[dict[str, Any]]:
        given = {
            ONE.get(key, key): [values] * n if key in signature.RUNTIME else values
            for key, values in columns.items()
            if self.takes(key)
        }
        given["completion"] = [text_of(completion) for completion in columns["completions"]]
        return [{key: values[i] for key, values in given.items()} for i in range(n)]

    def _attempt(self, call: Callable[..., Any], sample: dict[str, Any], index: int, failed: Failed | None) -> Any:
        """One sample; what it gives is checked here, so that a bad value is that sample's failure alone."""
        try:
            value = call(**sample)
            return value if inspect.isawaitable(value) else floats([value], 1, self.name)[0]
        except ENDS as error:
            if failed is None:
                raise failure(error) from error
            failed(index, failure(error))
            return None


class AsyncReward(Reward):
    """A reward whose function is async, which TRL sees by its `__call__`."""

    async def __call__(self, *args: Any, **columns: Any) -> Any:
        """Score a batch as TRL asks for it."""
        result = super().__call__(*args, **columns)
        return await result if inspect.isawaitable(result) else result


def make(
    name: str,
    function: Callable[..., Any],
    gold: Sequence[Any] = (),
    plain: bool = False,
    timeout: float | None = None,
    requires: tuple[str, str] | None = None,
) -> Reward:
    """A reward that is in no registry, async where its function is."""
    kind = AsyncReward if signature.read(function, plain).is_async else Reward
    return kind(name, function, gold, plain, timeout, requires)


async def _first(result: Any) -> float | None:
    return (await result)[0]
