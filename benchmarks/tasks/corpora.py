"""The real data of the tasks' benchmark, each split into `train` and `held_out`, as recipes name it: corpora:pairs.

The files are those that ../shared/data has, or $RLKIT_DATA. `copies` and `cloze` make further training rows out of
training rows alone.
"""

import csv
import json
import os
import random
import re
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from rlkit import formats

DATA = Path(os.environ.get("RLKIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
Split = Literal["train", "held_out"]
Row = dict[str, Any]


def intents(split: Split, held_out: int = 1000) -> list[Row]:
    """What customers of a bank ask, and which of 77 intents each has (BANKING77)."""
    with (DATA / "classification" / "banking77_train.csv").open(newline="") as file:
        rows = [{"text": row["text"], "label": row["category"]} for row in csv.DictReader(file)]
    return _part(rows, split, held_out)


def entities(split: Split) -> list[dict[str, list[str]]]:
    """Posts with emerging entities (WNUT-17): its training and its development set."""
    return formats.conll(DATA / "ner" / f"wnut17_{'train' if split == 'train' else 'dev'}.conll")


def web(split: Split, held_out: int = 30) -> list[Row]:
    """Pages of the web (C4)."""
    rows = json.loads((DATA / "lm" / "c4_demo.json").read_text())
    return _part([{"text": row["text"]} for row in rows], split, held_out)


def code(split: Split, held_out: int = 20) -> list[Row]:
    """Modules of the interpreter's standard library, those of 2 to 60 kB."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [file.read_text(errors="ignore") for file in files if 2_000 < file.stat().st_size < 60_000]
    return _part([{"text": text} for text in texts], split, held_out)


def pairs(split: Split, held_out: int = 400) -> list[Row]:
    """Python's documentation in English and French, a segment a row."""
    return _part([{"source": row["en"], "target": row["fr"]} for row in _documentation()], split, held_out)


def copies(words: int = 10) -> list[Row]:
    """The short segments of `pairs`, of both languages, each with itself as its target: how to copy, from scratch."""
    texts = [text for row in pairs("train") for text in row.values() if len(text.split()) <= words]
    return _shuffled([{"source": text, "target": text} for text in texts])


def questions(split: Split, held_out: int = 8) -> Iterator[Row]:
    """Questions on articles (SQuAD v1.1); whole articles are held out."""
    rows = formats.squad(DATA / "qa" / "squad_v1_dev_xquad_en_first38.json") or []
    kept = set(_part(sorted({row["title"] for row in rows}), split, held_out))
    return (row for row in rows if row["title"] in kept)


def cloze(n: int = 16_000) -> list[Row]:
    """Questions without anyone's work: a sentence of a text, some of its words, and "what" for the answer.

    The texts are the training contexts of `questions` and the training pages of `web`.
    """
    rng = random.Random(0)
    contexts = sorted({row["context"] for row in questions("train")})
    contexts += [text for page in web("train") for text in _passages(page["text"]) if 200 < len(text) < 900]
    rows: list[Row] = []
    while len(rows) < n:
        context = rng.choice(contexts)
        sentences = [found for found in re.finditer(r"[^.!?]+", context) if len(found.group().split()) >= 6]
        sentence = rng.choice(sentences) if sentences else None
        spans = list(SPAN.finditer(context, sentence.start(), sentence.end())) if sentence else []
        if not sentence or not spans:
            continue
        span = rng.choice(spans)
        left = context[sentence.start() : span.start()].split()[-rng.randint(3, 10) :]
        right = context[span.end() : sentence.end()].split()[: rng.randint(3, 10)]
        order = rng.choice(([*left, "what", *right], ["What", *right, *left], [*right, *left, "what"]))
        asked = " ".join(word for word in order if rng.random() > 0.15) + "?"
        answers = {"text": [span.group()], "answer_start": [span.start()]}
        rows.append({"question": asked, "context": context, "answers": answers})
    return rows


SPAN = re.compile(r"\b(?:\d[\d,.]*\d|\d+|[A-Z][\w'-]+(?: (?:of |the )?[A-Z][\w'-]+)*|(?:[a-z]+ ){0,2}[a-z]{4,})\b")
"""What a question may ask for: a number, a name, or a few words."""


def abstracts(split: Split, sentences: int = 2) -> Iterator[Row]:
    """The first sentences of papers' abstracts, and what their authors and reviewers say in one (SciTLDR)."""
    name = f"scitldr_a_{'train' if split == 'train' else 'dev'}.jsonl"
    for line in (DATA / "summarization" / name).read_text().splitlines():
        row = json.loads(line)
        yield {"document": " ".join(row["source"][:sentences]), "summary": row["target"]}


def chats(split: Split, held_out: int = 40) -> list[Row]:
    """Conversations with tool calls (Glaive)."""
    rows = json.loads((DATA / "sft" / "glaive_toolcall_en_demo.json").read_text())
    return _part([{"messages": row["conversations"], "tools": row.get("tools")} for row in rows], split, held_out)


def _documentation() -> list[Row]:
    lines = (DATA / "translation" / "python_docs_en_fr.jsonl").read_text().splitlines()
    return [json.loads(line)["translation"] for line in lines]


def _passages(text: str, sentences: int = 6) -> list[str]:
    cut = re.split(r"(?<=[.!?])\s+", text.replace("\n", " "))
    return [" ".join(cut[i : i + sentences]) for i in range(0, len(cut), sentences)]


def _shuffled(rows: Sequence[Any]) -> list[Any]:
    return random.Random(0).sample(list(rows), len(rows))


def _part(rows: Sequence[Any], split: Split, held_out: int) -> list[Any]:
    rows = _shuffled(rows)
    return rows[held_out:] if split == "train" else rows[:held_out]
