"""Completions that were saved: scored again, in a stream; a million rows take no more memory than a thousand."""

import gzip
import json
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from rlkit import answers, groups, names
from rlkit.completion import text_of
from rlkit.errors import RequestError
from rlkit.groups import Spread
from rlkit.runs import is_run
from rlkit.scoring import RewardStack
from rlkit.signature import RUNTIME

CHUNK = 4_096
"""Rows that are scored at a time; a group, whose rows stand together, is not cut."""
SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")


class Flip(NamedTuple):
    """A completion whose advantage in its group changed its sign from one stack to another."""

    row: int
    completion: str
    before: float
    after: float


@dataclass
class Summary:
    """What scoring came to: per reward its mean, spread, failures; over the groups, how many teach nothing."""

    rows: int = 0
    groups: int = 0
    rewards: dict[str, Spread] = field(default_factory=dict)
    total: Spread = field(default_factory=Spread)
    errors: dict[str, int] = field(default_factory=dict)
    timeouts: dict[str, int] = field(default_factory=dict)
    rules: Counter[str] = field(default_factory=Counter)
    """Rule of answer extraction -> completions from which it took the answer."""
    compared: bool = False
    errors_against: dict[str, int] = field(default_factory=dict)
    """Of the stack that it is compared with."""
    flips: int = 0
    examples: list[Flip] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """One JSON object."""
        rewards = {
            name: {**spread.as_json(), "errors": self.errors[name], "timeouts": self.timeouts[name]}
            for name, spread in self.rewards.items()
        }
        made = {"rows": self.rows, "groups": self.groups, "reward": self.total.as_json(), "rewards": rewards}
        if self.rules:
            made["rules"] = dict(self.rules.most_common())
        if self.compared:
            made |= {
                "errors_against": self.errors_against,
                "sign_changes": self.flips,
                "examples": [flip._asdict() for flip in self.examples],
            }
        return made


def score(
    path: Path,
    stack: RewardStack,
    *,
    columns: dict[str, str] | None = None,
    against: RewardStack | None = None,
    tokenizer: Any = None,
    explain: Callable[[int, "answers.Answer | None"], None] | None = None,
    write: Callable[[dict[str, Any]], None] | None = None,
    done: Callable[[int], None] | None = None,
) -> Summary:
    """Score the rows of a file with a stack of rewards, in their order.

    Args:
        path: .jsonl, .jsonl.gz or .parquet, or a folder of them such as a run's; each row has `completion` and the
            columns that the rewards need.
        stack: The rewards.
        columns: Name that a reward asks for -> name in the file.
        against: Another stack; what changes the sign of its advantage between the two is counted.
        tokenizer: Gives `completion_ids` where the file has none, for rewards that count tokens.
        explain: Hears of each row, by its number from 1, which answer was extracted from it.
        write: Gets each row with `rewards` (name -> value), `reward` (their weighted sum) and, where rows have a
            prompt, its `advantage` (the reward less its group's mean).
        done: Hears how many rows are scored.

    Raises:
        RequestError: The file cannot be read, or lacks a column.
    """
    needed = {column for made in (stack, against) if made for reward in made.rewards for column in reward.columns}
    renamed = columns or {}
    # As the rewards extract it, where they do in an order of their own.
    rules = next((r.parameters["rules"] for r in stack.rewards if r.parameters.get("rules")), None)
    summary = Summary(rewards={name: Spread() for name in stack.names}, compared=against is not None)
    for chunk in _all_chunks(path, renamed, needed):
        batch = _batch(chunk, tokenizer)
        scores = stack.score(**batch)
        totals = stack.total(scores, prompts=batch.get("prompts"))
        split = groups.split(batch["prompts"]) if "prompts" in batch else []
        if against and not split:
            raise RequestError(f"{path}: rows without `prompt` are in no group; map it with --column prompt=ITS_NAME")
        for name, spread in summary.rewards.items():
            spread.add(scores[name], split)
        summary.total.add(totals, split)
        summary.groups += len(split)
        advantages = groups.centred(totals, split)
        if against:
            others = groups.centred(against.total(against.score(**batch), prompts=batch["prompts"]), split)
            _compare(summary, chunk, others, advantages)
        for i, row in enumerate(chunk):
            if explain:
                found = answers.extract(text_of(row.completion), rules)
                summary.rules[found.rule if found else "none"] += 1
                explain(row.number, found)
            if write:
                rewards = {name: values[i] for name, values in scores.items()}
                advantage = {"advantage": advantages[i]} if split else {}
                write({**row.original, "rewards": rewards, "reward": totals[i], **advantage})
        summary.rows += len(chunk)
        if done:
            done(summary.rows)
    if not summary.rows:
        raise RequestError(f"{path} has no rows")
    summary.errors, summary.timeouts = dict(stack.errors), dict(stack.timeouts)
    summary.errors_against = dict(against.errors) if against else {}
    return summary


def to_file(path: Path, stack: RewardStack, output: Path | None, **settings: Any) -> Summary:
    """Score as `score` does, and write the rows to a file, which stands there only when it is whole."""
    if output is None:
        return score(path, stack, **settings)
    if not output.name.endswith((".jsonl", ".jsonl.gz")):
        raise RequestError(f"-o {output}: rows are written as .jsonl or .jsonl.gz")
    partial = output.with_name(f".{output.name}.partial")
    try:
        with gzip.open(partial, "wt") if output.suffix == ".gz" else partial.open("w", encoding="utf-8") as file:
            summary = score(path, stack, write=lambda row: print(json.dumps(row, default=str), file=file), **settings)
        partial.rename(output)
    finally:
        partial.unlink(missing_ok=True)
    return summary


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file, one at a time.

    Raises:
        RequestError: It is missing, of another format, or a line is no JSON object; with the line's number.
    """
    if not path.is_file():
        raise RequestError(f"there is no file {path}")
    if path.name.endswith(".parquet"):
        yield from _parquet(path)
        return
    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        raise RequestError(f"{path}: rows are read from {', '.join(SUFFIXES)}")
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        lines, number = iter(file), 0
        while True:
            number += 1
            try:
                line = next(lines, None)
                row = json.loads(line) if line and line.strip() else None
            except (EOFError, OSError, zlib.error) as error:
                raise RequestError(f"{path}, line {number}: cannot be read ({error})") from None
            except ValueError as error:
                raise RequestError(f"{path}, line {number}: not JSON ({error})") from None
            if line is None:
                return
            if not line.strip():
                continue
            if not isinstance(row, dict):
                raise RequestError(f"{path}, line {number}: a {type(row).__name__}, not an object with a completion")
            yield row


def files(path: Path) -> list[Path]:
    """The files with rows: the one, or all in a folder, by name; of a run, those of its completions.

    Raises:
        RequestError: There is none.
    """
    if not path.is_dir():
        return [path]
    folder = path / "completions" if is_run(path) else path
    found = sorted(file for file in folder.rglob("*") if file.name.endswith(SUFFIXES))
    if not found:
        raise RequestError(f"{folder} holds no {', '.join(SUFFIXES)}")
    return found


def count(path: Path) -> int | None:
    """How many rows there are, for the progress bar; None where that is as long as reading them."""
    if path.is_dir():
        counts = [count(file) for file in files(path)]
        return None if None in counts else sum(n or 0 for n in counts)
    if path.name.endswith(".parquet"):
        return int(_open_parquet(path).metadata.num_rows)
    if path.suffix != ".jsonl" or not path.is_file():
        return None
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


class _Row(NamedTuple):
    number: int
    original: dict[str, Any]
    data: dict[str, Any]

    @property
    def completion(self) -> Any:
        return self.data["completion"]


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    for batch in _open_parquet(path).iter_batches(CHUNK):
        yield from batch.to_pylist()


def _open_parquet(path: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise RequestError(f"{path} is no parquet file: {error}") from None


def _mapped(rows: Iterator[dict[str, Any]], renamed: dict[str, str], needed: set[str], path: Path) -> Iterator[_Row]:
    """Rows under the names that the rewards ask for; each has all that they need."""
    for number, row in enumerate(rows, start=1):
        for name in (*renamed, "completion", *sorted(needed)):
            there = renamed.get(name, name)
            if there not in row:
                said = names.unknown("column", there, row)
                raise RequestError(f"{path}, row {number}: {said}\n  (map it with --column {name}=ITS_NAME)")
        data = {name: value for name, value in row.items() if name not in ("completions", "prompts", *RUNTIME)}
        data |= {name: row[there] for name, there in renamed.items()}
        if not _is_completion(data["completion"]):
            raise RequestError(
                f"{path}, row {number}: completion is {data['completion']!r:.80}, no text and no messages"
            )
        yield _Row(number, row, data)


def _is_completion(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(message, dict) for message in value))


def _all_chunks(path: Path, renamed: dict[str, str], needed: set[str]) -> Iterator[list[_Row]]:
    """The chunks of every file; a group does not go on in the next file, which may be another step."""
    before = 0
    for file in files(path):
        last = 0
        for chunk in _chunks(_mapped(read(file), renamed, needed, file)):
            yield [row._replace(number=before + row.number) for row in chunk]
            last = chunk[-1].number
        before += last


def _chunks(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    """Rows by the thousand, cut where a group ends."""
    chunk: list[_Row] = []
    for row in rows:
        full = len(chunk) >= CHUNK
        ends = full and ("prompt" not in row.data or row.data["prompt"] != chunk[-1].data.get("prompt"))
        if ends or len(chunk) >= 16 * CHUNK:
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk


def _batch(chunk: list[_Row], tokenizer: Any) -> dict[str, Any]:
    """A batch as TRL gives it; what a row lacks is None."""
    keys = dict.fromkeys(chain.from_iterable(row.data for row in chunk))
    plural = {"completion": "completions", "prompt": "prompts"}
    batch = {plural.get(key, key): [row.data.get(key) for row in chunk] for key in keys}
    if tokenizer is not None and "completion_ids" not in batch:
        texts = [text_of(row.completion) for row in chunk]
        batch["completion_ids"] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return batch


def _compare(summary: Summary, chunk: list[_Row], before: list[float], after: list[float]) -> None:
    for row, was, now in zip(chunk, before, after, strict=True):
        if _sign(was) != _sign(now):
            summary.flips += 1
            if len(summary.examples) < 10:
                summary.examples.append(Flip(row.number, text_of(row.completion), was, now))


def _sign(advantage: float) -> int:
    return 0 if math.isclose(advantage, 0.0, abs_tol=1e-9) else int(math.copysign(1, advantage))
