"""Completions that were recorded, of whatever system: measured as those that a model writes, and no model is loaded."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rlkit import names, saved
from rlkit.completion import text_of
from rlkit.errors import RequestError
from rlkit.measurement import Measurement, figures, judged
from rlkit.scoring import RewardStack
from rlkit.signature import RUNTIME

IDENTITY = ("prompt", "question")
"""The columns that say which prompt a completion is of; the first that all rows have."""


@dataclass(frozen=True)
class Recorded:
    """The rows of a file, under the names that the rewards ask for."""

    path: Path
    rows: list[dict[str, Any]]
    columns: frozenset[str]
    """Those that every row has."""

    def keys(self, column: str | None) -> list[str]:
        """Which prompt each row is of: equal where prompt and answer are; without a column each is of its own."""
        if column is None:
            return [f"row {i}" for i in range(len(self.rows))]
        return [json.dumps([row[column], row.get("answer")], sort_keys=True, default=str) for row in self.rows]

    @property
    def identity(self) -> str | None:
        """The column that says which prompt a row is of; None where there is none."""
        return next((name for name in IDENTITY if name in self.columns), None)

    def only(self, places: Sequence[int]) -> "Recorded":
        """Some of the rows, in the order given."""
        return Recorded(self.path, [self.rows[i] for i in places], self.columns)


class Matched(NamedTuple):
    """The rows of two files that are of the same prompts, in the same order of prompts."""

    one: Recorded
    other: Recorded
    groups: tuple[list[int], list[int]]
    """The number of the prompt of each row, in either file."""
    by: str
    """`prompt` or `question`; or `order`: the rows do not say which prompt they are of."""
    left_out: tuple[int, int]
    """Rows of prompts that only the one file has."""


def read(path: Path, needed: Sequence[str] = (), columns: dict[str, str] | None = None) -> Recorded:
    """Read the rows of a file, or of all files in a folder or a run.

    Args:
        path: .jsonl, .jsonl.gz, .parquet, or a folder with such files.
        needed: Columns that the rewards need, or that are asked for, besides `completion`.
        columns: Name that a reward asks for -> name in the file.

    Raises:
        RequestError: A file cannot be read, has no rows, or a row lacks a column.
    """
    renamed, rows, shared = columns or {}, [], None
    for file in saved.files(path):
        for number, row in enumerate(saved.read(file), start=1):
            for name in dict.fromkeys((*renamed, "completion", *needed)):
                there = renamed.get(name, name)
                if there not in row:
                    said = names.unknown("column", there, row)
                    raise RequestError(f"{file}, row {number}: {said}\n  (map it with --column {name}=ITS_NAME)")
            data = row | {name: row[there] for name, there in renamed.items()}
            completion = data["completion"]
            if not (isinstance(completion, str) or _is_messages(completion)):
                raise RequestError(f"{file}, row {number}: completion is {completion!r:.80}, no text and no messages")
            has = {name for name, value in data.items() if value is not None}
            shared = has if shared is None else shared & has
            rows.append(data)
    if not rows:
        raise RequestError(f"{path} has no rows")
    return Recorded(path, rows, frozenset(shared or ()))


def measure(
    recorded: Recorded,
    stack: RewardStack,
    *,
    accuracy: str | None = None,
    ks: Sequence[int] | None = None,
    by: str | None = None,
    groups: Sequence[int] | None = None,
) -> Measurement:
    """Score the rows and work out the figures. Each prompt counts once, however many completions of it there are.

    Args:
        recorded: From `read`.
        stack: The rewards.
        accuracy: The reward that says what is correct, where it is not accuracy or correctness.
        ks: Which pass@k and maj@k; where None, 1 and as many as every prompt has completions.
        by: A column by whose values accuracy and reward are told apart.
        groups: The number of the prompt of each row, where that is known; else as `Recorded.identity` tells.

    Raises:
        RequestError: A k is above the number of completions of some prompt; no reward is called `accuracy`.
    """
    if accuracy is not None and accuracy not in stack.names:
        raise RequestError(f"accuracy is {accuracy!r}, and the rewards are {', '.join(stack.names)}")
    rows = recorded.rows
    numbers = list(groups) if groups is not None else _numbered(recorded.keys(recorded.identity))
    _enough(recorded, numbers, ks)
    batch, before = _batch(recorded), dict(stack.errors)
    scores = stack.score(**batch)
    totals = stack.total(scores, prompts=[str(number) for number in numbers])
    verdicts = judged(batch["completions"], scores, totals, stack, accuracy)
    samples = [
        {**row, "group": number, "completion": text_of(row["completion"]), **verdict}
        for row, number, verdict in zip(rows, numbers, verdicts, strict=True)
    ]
    metrics = figures(samples, stack.names, ks, by, [row[by] for row in rows] if by else ())
    tables = {"by": metrics.pop("by")} if by else {}
    if len(rows) > metrics["n"]:
        metrics["completions"] = len(rows)
    for name, column, take in FIGURES:
        if column in recorded.columns:
            metrics[name] = round(sum(take(row[column]) for row in rows) / len(rows), 6)
    errors = {name: count - before[name] for name, count in stack.errors.items() if count > before[name]}
    if errors:
        metrics["reward_errors"] = errors
    return Measurement(metrics | tables, samples)


def match(one: Recorded, other: Recorded) -> Matched:
    """Find the rows of two files that are of the same prompts: by prompt or question, else by their order.

    Raises:
        RequestError: They share no prompt and are not of the same number, or are not of the same answers.
    """
    for column in IDENTITY:
        if column in one.columns and column in other.columns:
            keys = one.keys(column), other.keys(column)
            shared = dict.fromkeys(key for key in keys[0] if key in set(keys[1]))
            if shared:
                return _matched(one, other, keys, {key: i for i, key in enumerate(shared)}, column)
    numbers = [_numbered(file.keys(file.identity)) for file in (one, other)]
    prompts = [1 + max(of) for of in numbers]
    if prompts[0] != prompts[1]:
        raise RequestError(
            f"{one.path} and {other.path} cannot be compared: no row of one has the prompt (and answer) of a row of "
            f"the other, and they are of {prompts[0]:,} and {prompts[1]:,} prompts; "
            f"name the column that tells the prompt with --column prompt=ITS_NAME"
        )
    given = [dict(zip(of, file.rows, strict=True)) for of, file in zip(numbers, (one, other), strict=True)]
    for number in range(prompts[0]):
        a, b = given[0][number].get("answer"), given[1][number].get("answer")
        if a is not None and b is not None and str(a) != str(b):
            raise RequestError(
                f"{one.path} and {other.path} cannot be compared by the order of their rows: number {number + 1} has "
                f"the answer {a!r:.60} in one and {b!r:.60} in the other"
            )
    return Matched(one, other, (numbers[0], numbers[1]), "order", (0, 0))


def _matched(
    one: Recorded, other: Recorded, keys: tuple[list[str], list[str]], places: dict[str, int], column: str
) -> Matched:
    kept = [sorted((i for i, key in enumerate(of) if key in places), key=lambda i: places[of[i]]) for of in keys]
    groups = [[places[of[i]] for i in chosen] for of, chosen in zip(keys, kept, strict=True)]
    left = len(one.rows) - len(kept[0]), len(other.rows) - len(kept[1])
    return Matched(one.only(kept[0]), other.only(kept[1]), (groups[0], groups[1]), column, left)


FIGURES: tuple[tuple[str, str, Callable[[Any], float]], ...] = (
    ("clipped", "clipped", float),
    ("mean_length", "tokens", float),
)
"""Figure, the column that it is the mean of, where the rows have it: those that `rlkit eval -o` wrote do."""


def _numbered(keys: Sequence[str]) -> list[int]:
    numbers: dict[str, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _enough(recorded: Recorded, numbers: Sequence[int], ks: Sequence[int] | None) -> None:
    """Raise where a prompt has fewer completions than some k: to leave it out would change what is measured."""
    counts: dict[int, int] = {}
    for number in numbers:
        counts[number] = counts.get(number, 0) + 1
    short = sum(count < max(ks or [1]) for count in counts.values())
    if short:
        least = min(counts.values())
        told = "" if recorded.identity else "; the rows have no column prompt, map it with --column prompt=ITS_NAME"
        raise RequestError(
            f"pass@{max(ks or [1])} needs as many completions of each prompt, and {short:,} of {len(counts):,} prompts "
            f"of {recorded.path} have fewer, one of them {least}: k is at most {least}{told}"
        )


def _batch(recorded: Recorded) -> dict[str, Any]:
    """A batch as TRL gives it; what a row lacks is None."""
    plural = {"completion": "completions", "prompt": "prompts"}
    aside = ("completions", "prompts", *RUNTIME)
    keys = [key for key in dict.fromkeys(key for row in recorded.rows for key in row) if key not in aside]
    return {plural.get(key, key): [row.get(key) for row in recorded.rows] for key in keys}


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(message, dict) for message in value)
