"""Held-out prompts that stand in the training data, word for word or nearly: what an accuracy on them is not worth.

Prompts are compared by content, by what the user says in them: the system prompt and the constant text of a template do
not count. A held-out prompt is a near copy where most of its word 8-grams stand in one training prompt; n-gram overlap
is how GPT-3 (arXiv 2005.14165, appendix C) and its successors looked for contamination.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rlkit.data import fill
from rlkit.overlap import near, short, words
from rlkit.prompts import system_prompt
from rlkit.recipe.recipe import Stage

if TYPE_CHECKING:
    from datasets import Dataset

TEMPLATE = 20
"""Different prompts from which on what all of them begin or end with is a template's text."""
MOST = 10_000_000
"""Characters of a stage that `rlkit train` looks at: two seconds or so. Above it, rows are taken evenly."""

KINDS = ("sft", "grpo", "eval")
"""Stages that have prompts."""


class Pair(NamedTuple):
    """A held-out prompt and a training prompt that holds it."""

    row: int
    training_row: int
    share: float
    """Of the held-out prompt's pieces that stand in the training prompt; 1.0 where the two are the same."""
    prompt: str
    training_prompt: str


@dataclass
class Prompts:
    """What the users of one or more stages say, as words."""

    stages: list[str]
    total: int
    """Rows that there are; those without a text only where not all were looked at."""
    rows: list[int]
    """Row of each text. Conversations of several turns have one text a turn besides the whole."""
    texts: list[str]
    words: list[list[str]]
    parts: list[list[str]]
    """The words without what a template puts before and after them."""

    @property
    def looked_at(self) -> int:
        """Rows that were looked at."""
        return len(set(self.rows))


@dataclass
class Leak:
    """The prompts of an evaluation that stand in the data of a training stage."""

    held_out: Prompts
    training: Prompts
    exact: list[Pair]
    """The same but for case, white space and punctuation; one pair a held-out row, in their order."""
    near: list[Pair]
    """Others of which most stands in one training prompt, the nearest first; one pair a held-out row."""

    @property
    def share(self) -> float:
        """Share of the held-out rows that are touched, in 0..1."""
        return (len(self.exact) + len(self.near)) / max(1, self.held_out.looked_at)

    def __str__(self) -> str:
        """One sentence: how many, of which data, and what was looked at where that is not all."""
        count, evaluated = len(self.exact) or len(self.near), self.held_out.looked_at
        how = "stand" if self.exact else "stand nearly" if self.near else "stand"
        more = f", {len(self.near):,} more nearly" if self.exact and self.near else ""
        said = f"{count:,} of {evaluated:,} prompts ({count / max(1, evaluated):.1%}) {how} in the training data of "
        parts = [
            f"{prompts.looked_at:,} of {prompts.total:,} {what} prompts"
            for prompts, what in ((self.held_out, "held-out"), (self.training, "training"))
            if prompts.looked_at < prompts.total
        ]
        looked = f" (looked at {' and '.join(parts)})" if parts else ""
        stages = f"stage{'s' * (len(self.held_out.stages) > 1)} {_listed(self.held_out.stages)}"
        return f"{stages}: {said}{_listed(self.training.stages)}{more}{looked}"

    def __bool__(self) -> bool:
        return bool(self.exact or self.near)

    def warning(self) -> str:
        """The same with an example, and what to do."""
        example = shortened((self.exact or self.near)[0].prompt)
        mend = "; it measures what was trained on: set eval.data" if self.share == 1.0 else ""
        return f"{self}, as {example!r}{mend}; rlkit validate RECIPE --leaks lists them"

    def lines(self) -> list[str]:
        """Every pair, one a line."""
        held, trained = "/".join(self.held_out.stages), "/".join(self.training.stages)
        return [
            f"{held} row {pair.row} {f'~ ({pair.share:.0%})' if near else '='} {trained} row {pair.training_row}: "
            + shortened(pair.prompt)
            for near, pairs in ((False, self.exact), (True, self.near))
            for pair in pairs
        ]

    def as_json(self) -> dict[str, Any]:
        """One JSON object."""
        return {
            "stages": self.held_out.stages,
            "training": self.training.stages,
            "prompts": self.held_out.looked_at,
            "training_prompts": self.training.looked_at,
            "share": self.share,
            "exact": [pair._asdict() for pair in self.exact],
            "near": [pair._asdict() for pair in self.near],
        }


def find(stages: Iterable[tuple[Stage, "Dataset"]], prepared: bool = False, most: int | None = None) -> list[Leak]:
    """Compare every evaluation with every training stage; stages of the same prompts are compared once.

    Args:
        stages: Each with its rows.
        prepared: The rows are those of `rlkit.data`; else they are as they were read.
        most: Characters of a stage to look at; None for all.

    Returns:
        One object for each two that were compared, those without a leak too.
    """
    held_out: list[Prompts] = []
    training: list[Prompts] = []
    for stage, dataset in stages:
        if stage.kind not in KINDS or not _columns(_asked(stage, prepared), dataset):
            continue  # a task's classic pipeline has examples, not prompts
        known, found = (held_out if stage.kind == "eval" else training), read(stage, dataset, prepared, most)
        same = next((other for other in known if other.words == found.words and other.parts == found.parts), None)
        if same:
            same.stages += found.stages
        else:
            known.append(found)
    return [compare(one, other) for one in held_out for other in training]


def read(stage: Stage, dataset: "Dataset", prepared: bool = False, most: int | None = None) -> Prompts:
    """What the users of a stage say, row by row; rows without a text are left out. See `find`."""
    section, asked = stage.data, _asked(stage, prepared)
    total = len(dataset)
    step = 1
    if most:
        probe = [sum(map(len, _said(dataset[row], asked))) for row in range(0, total, max(1, total // 100))]
        step = max(1, -(-sum(probe) * total // (len(probe) * most)))
    prefix = f"{system_prompt(section.system)}\n\n" if section.system else ""
    texts: list[str] = []
    rows: list[int] = []
    taken = 0
    chosen = dataset.select_columns(_columns(asked, dataset)).select(range(0, total, step))
    for row, value in zip(range(0, total, step), chosen, strict=True):
        said = [text.removeprefix(prefix) for text in _said(value, asked)]
        if not "".join(said).strip():
            continue
        whole = [said[0]] if len(said) == 1 else ["\n".join(said)]
        turns = [*whole, *said] if len(said) > 1 and stage.kind != "eval" else whole
        texts += turns
        rows += [row] * len(turns)
        taken += 1
        if taken == section.limit and not prepared:
            break
    split = [words(text) for text in texts]
    return Prompts([stage.name], total if step > 1 else taken, rows, texts, split, _variable(split, section.prompt))


def compare(held_out: Prompts, training: Prompts, threshold: float = 0.8) -> Leak:
    """Held-out prompts that stand in training prompts.

    Those with few words, as "2 + 3", count only where they are the same; see `rlkit.overlap` for what is near, and what
    it costs.

    Args:
        held_out: Of the evaluation.
        training: Of the training stage.
        threshold: Share of a held-out prompt's pieces that makes a near copy, in 0..1.
    """
    whole: dict[str, int] = {}
    part: dict[str, int] = {}
    for at, (full, core) in enumerate(zip(training.words, training.parts, strict=True)):
        whole.setdefault(" ".join(full), at)
        part.setdefault(" ".join(full), at)
        part.setdefault(" ".join(core), at)
    found: dict[int, int] = {}
    left: dict[str, list[int]] = defaultdict(list)
    for at, (full, core) in enumerate(zip(held_out.words, held_out.parts, strict=True)):
        key, core_key = " ".join(full), " ".join(core)
        twin = whole.get(key)
        if twin is None and not short(core):
            twin = part.get(key, part.get(core_key))
            if twin is None:
                left[core_key].append(at)
        if twin is not None:
            found[at] = twin
    close = near([held_out.parts[places[0]] for places in left.values()], training.words, threshold)

    def pair(at: int, other: int, share: float) -> Pair:
        return Pair(held_out.rows[at], training.rows[other], share, held_out.texts[at], training.texts[other])

    nearly = [pair(at, *close[i]) for i, places in enumerate(left.values()) if i in close for at in places]
    exact = [pair(at, other, 1.0) for at, other in found.items()]
    return Leak(held_out, training, exact, sorted(nearly, key=lambda pair: (-pair.share, pair.row)))


def shortened(text: str, length: int = 80) -> str:
    """A text on one line, its end left out where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def _variable(texts: list[list[str]], template: str) -> list[list[str]]:
    """The texts without what a template writes around them; of a column, without what all begin and end with."""
    if "{" in template:
        before, rest = template.split("{", 1)
        opening, closing = words(before), words(rest.rpartition("}")[2])
        cut = [text[len(opening) :] if _begins(text, opening) else text for text in texts]
        return [text[: len(text) - len(closing)] if _begins(text[::-1], closing[::-1]) else text for text in cut]
    if len({" ".join(text) for text in texts}) < TEMPLATE:
        return texts
    start = _common(texts)
    cut = [text[start:] for text in texts]
    end = _common([text[::-1] for text in cut])
    return [text[: len(text) - end] for text in cut]


def _begins(text: list[str], start: list[str]) -> bool:
    return text[: len(start)] == start


def _common(texts: list[list[str]]) -> int:
    """How many words all texts begin with: what the first and the last of them in order begin with."""
    first, last = min(texts), max(texts)
    return next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))


def _asked(stage: Stage, prepared: bool) -> str:
    """The column or template of a stage's prompts."""
    messages = stage.data.messages if stage.kind == "sft" else None
    if prepared:
        return "messages" if messages else "prompt"
    return messages or stage.data.prompt


def _columns(asked: str, dataset: "Dataset") -> list[str]:
    """Those of a dataset that a column or template names."""
    return [name for name in dataset.column_names if name == asked or f"{{{name}" in asked]


def _said(row: dict[str, Any], asked: str) -> list[str]:
    """What the user says in a row, turn by turn."""
    value = row.get(asked)
    if isinstance(value, list):
        turns = [message.get("content") or "" for message in value if message.get("role") == "user"]
        return [turn if isinstance(turn, str) else "\n".join(part.get("text") or "" for part in turn) for turn in turns]
    return [fill(asked, row)]


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names))
