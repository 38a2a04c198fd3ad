"""The real data of the tasks' benchmark, each split into `train` and `held_out`, as recipes name it: corpora:pairs.

The files are those that ../shared/data has, or $RLKIT_DATA. `copies`, `twice`, `cloze`, `excerpts` and `extracts`
make further training rows out of training rows alone.
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
    texts = [row["translation"] for row in _jsonl("translation/python_docs_en_fr.jsonl")]
    return _part([{"source": text["en"], "target": text["fr"]} for text in texts], split, held_out)


def copies(words: int = 10) -> list[Row]:
    """The short segments of `pairs`, of both languages, each with itself as its target: how to copy, from scratch."""
    texts = [text for row in pairs("train") for text in row.values() if len(text.split()) <= words]
    return _shuffled([{"source": text, "target": text} for text in texts])


def questions(split: Split, held_out: int = 8) -> Iterator[Row]:
    """Questions on articles (SQuAD v1.1); whole articles are held out."""
    rows = formats.squad(DATA / "qa" / "squad_v1_dev_xquad_en_first38.json") or []
    kept = set(_part(sorted({row["title"] for row in rows}), split, held_out))
    return (row for row in rows if row["title"] in kept)


def twice(n: int = 20_000, words: int = 14) -> list[Row]:
    """Some words of a sentence, then the sentence: where some are masked, the others tell them. So a model matches."""
    rng, texts = random.Random(0), _texts()
    rows: list[Row] = []
    while len(rows) < n:
        sentence = rng.choice(_sentences(rng.choice(texts))).split()
        if 5 <= len(sentence) <= 40:
            at = rng.randrange(max(1, len(sentence) - words))
            rows.append({"text": " ".join([*sentence[at : at + words], "|", *sentence])})
    return rows


def cloze(n: int = 16_000, sentences: int | None = None) -> list[Row]:
    """Questions without anyone's work: a sentence of a text, some of its words, and "who" or "when" for the answer.

    Args:
        n: Questions.
        sentences: Of each text no more than these; else a paragraph.
    """
    rng = random.Random(0)
    texts = [part for text in _texts() for part in (_passages(text, sentences) if sentences else [text])]
    texts = [text for text in texts if len(text) > 60]
    rows: list[Row] = []
    while len(rows) < n:
        context = rng.choice(texts)
        around = rng.choice([found.span() for found in re.finditer(r"[^.!?]+", context)])
        spans = {kind: list(kind.finditer(context, *around)) for kind in ASKED}
        kinds = [kind for kind in ASKED if spans[kind]]
        if not kinds or len(context[slice(*around)].split()) < 6:
            continue
        kind = rng.choice(kinds)
        span, asked = rng.choice(spans[kind]), rng.choice(ASKED[kind])
        left = context[around[0] : span.start()].split()[-rng.randint(3, 12) :]
        right = context[span.end() : around[1]].split()[: rng.randint(3, 12)]
        kept = rng.choice((1.0, 0.85, 0.7, 0.5))
        left, right = ([word for word in words if rng.random() < kept] for words in (left, right))
        first = asked.capitalize()
        order = rng.choice(
            ([*left, asked, *right], [first, *right, *left], [first, *left, *right], [*right, *left, asked])
        )
        answers = {"text": [span.group()], "answer_start": [span.start()]}
        rows.append({"question": " ".join(order) + "?", "context": context, "answers": answers})
    return rows


ASKED = {
    re.compile(r"\b(?:1[5-9]|20)\d\d\b"): ("when", "what year", "in what year"),
    re.compile(r"(?:\$ ?)?\b\d[\d,.]*(?: percent| million| billion|%)?(?!\w)"): ("how many", "how much", "what"),
    re.compile(r"\b[A-Z][\w'-]+(?: (?:of |the |and )?[A-Z][\w'-]+)+\b|(?<=[a-z,] )[A-Z][\w'-]+\b"): (
        "who",
        "what",
        "which",
        "where",
    ),
    re.compile(r"\b(?:[a-z]{3,} )?[a-z]{5,}\b"): ("what", "how", "why"),
}
"""What a question may ask for (a year, a number, a name, some words), and how."""


def abstracts(split: Split) -> list[Row]:
    """Papers' abstracts, and what their authors and reviewers say of each in a sentence (SciTLDR)."""
    return [{"document": " ".join(paper["source"]), "summary": paper["target"]} for paper in _papers(split)]


def excerpts(most: int, words: int = 24, times: int = 10) -> list[Row]:
    """Sentences of a training abstract that follow one another, at most so many, and one of them, cut: to copy."""
    rng = random.Random(0)
    rows: list[Row] = []
    for paper in _papers("train") * times:
        at = rng.randrange(len(paper["source"]))
        part = paper["source"][at : at + rng.randint(1, most)]
        rows.append({"document": " ".join(part), "summary": " ".join(rng.choice(part).split()[:words])})
    return _shuffled(rows)


def extracts() -> list[Row]:
    """Training abstracts, and of each the sentence that says most of what its summaries say (ROUGE)."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeLsum"], use_stemmer=True)
    rows = []
    for paper in _papers("train"):
        said = [scorer.score_multi(paper["target"], each)["rougeLsum"].fmeasure for each in paper["source"]]
        best = paper["source"][said.index(max(said))]
        rows.append({"document": " ".join(paper["source"]), "summary": best})
    return rows


def chats(split: Split, held_out: int = 40) -> list[Row]:
    """Conversations with tool calls (Glaive)."""
    rows = json.loads((DATA / "sft" / "glaive_toolcall_en_demo.json").read_text())
    return _part([{"messages": row["conversations"], "tools": row.get("tools")} for row in rows], split, held_out)


def _papers(split: Split) -> list[Row]:
    return _jsonl(f"summarization/scitldr_a_{'train' if split == 'train' else 'dev'}.jsonl")


def _jsonl(file: str) -> list[Row]:
    return [json.loads(line) for line in (DATA / file).read_text().splitlines()]


def _texts() -> list[str]:
    """The training contexts of `questions`, and passages of the training pages of `web`."""
    contexts = sorted({row["context"] for row in questions("train")})
    return contexts + [text for page in web("train") for text in _passages(page["text"], 6) if 200 < len(text) < 900]


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+", text.replace("\n", " "))


def _passages(text: str, sentences: int) -> list[str]:
    cut = _sentences(text)
    return [" ".join(cut[i : i + sentences]) for i in range(0, len(cut), sentences)]


def _shuffled(rows: Sequence[Any]) -> list[Any]:
    return random.Random(0).sample(list(rows), len(rows))


def _part(rows: Sequence[Any], split: Split, held_out: int) -> list[Any]:
    rows = _shuffled(rows)
    return rows[held_out:] if split == "train" else rows[:held_out]
