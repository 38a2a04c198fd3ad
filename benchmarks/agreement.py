"""Rewards against labelled answers: python benchmarks/agreement.py [--only math gsm8k] [--disagreements]

One table of agreement with the labels, ours beside TRL's accuracy_reward in the same process, each with its bar, then
the speed. Exit 1 where a bar is missed. The data lies in ../shared/data, or where $RLKIT_DATA says. MENDED are labels
that a look at the completion showed to be wrong: they count as they stand, and set right in the columns called mended.
QUIRKS are what a source wants that is not followed; they count against us.
"""

import argparse
import gzip
import itertools
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from rlkit import plugins
from rlkit.scoring import RewardStack

DATA = Path(os.environ.get("RLKIT_DATA", Path(__file__).parents[2] / "shared" / "data"))
FIVE = ("xmlcount", "soft_format", "strict_format", "int", "correctness")
_SPELLED = "the label does not know the gold answer in another spelling"
_CUT = "right at the end of the text, from which the label took something else"
_OPEN = "the label took an answer from thinking that ran out of tokens"
MENDED = {
    "math/gemma-2-27b-it": {
        8: _SPELLED, 74: _SPELLED, 85: _SPELLED, 198: _SPELLED, 277: _SPELLED, 284: _SPELLED, 313: _SPELLED, 218: _CUT,
        290: "two values where one is asked for", 293: "an open interval where the gold one is half open",
    },
    "math/qwen2.5-14b-instruct": {
        184: "a closed end where the gold one is open", 198: _SPELLED, 217: _SPELLED, 284: _SPELLED,
    },
    "math/qwen2.5-math-7b": {198: _SPELLED, 296: _SPELLED},
    "math/sky-t1-math-correct-5k-27b": {
        284: _SPELLED, 28: _CUT, 73: _CUT, 122: _CUT, 144: _CUT, 179: _CUT, 207: _CUT, 218: _CUT, 227: _CUT, 278: _CUT,
        279: _CUT, 313: _CUT, 338: _CUT, 57: _OPEN, 88: _OPEN, 163: _OPEN, 332: _OPEN,
        25: "the solution breaks off before its answer, which stands in the thinking alone",
    },
}  # fmt: skip
"""Set -> row -> why its label is wrong."""
_CHAIN = "of sides that contradict each other the last counts"
_ROUNDED = "a gold decimal of three or four places equals the exact value"
QUIRKS = {
    "math/gemma-2-27b-it": {179: "the same plane, with coefficients that the question wants reduced"},
    "pairs handwritten": {
        6: "1,22 is the decimal 1.22, though it may be a list", 15: "0,111 is the decimal 0.111, as above",
        94: _CHAIN, 96: _CHAIN, 109: _CHAIN, 29: "a formula over several lines in \\( \\) is no formula", 104: _CHAIN,
        209: "W(n) = 1 equals W(x) = 1", 252: "1 - 1/e equals 1 + 1/e", 260: _ROUNDED, 269: _ROUNDED, 270: _ROUNDED,
        292: "a closed interval equals a column vector", 293: _ROUNDED,
        298: "2^(1/2^1000) equals 1",
    },
    "pairs of real models": {27: "arithmetic that is not carried out counts as its value (parameter unfinished)"},
}  # fmt: skip
"""Set -> row -> what its source wants."""


class Row(NamedTuple):
    """A completion, the columns that the reward needs, its label, its number, and the parameters that it wants."""

    completion: str
    columns: dict[str, Any]
    label: bool
    number: int
    parameters: tuple[tuple[str, Any], ...] = ()


class Set(NamedTuple):
    """Labelled completions, the reward for them, and the agreement that is asked for."""

    name: str
    reward: str
    bar: float
    rows: list[Row]


def read(path: str) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    file = DATA / path
    with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines:
        return [json.loads(line) for line in lines]


def mathematics() -> Iterable[Set]:
    """MATH-500 answers of four models, GSM8K answers of four systems, pairs of answers."""
    for file in sorted((DATA / "completions").glob("math500_*.jsonl")):
        rows = read(f"completions/{file.name}")
        made = [Row(r["completion"], {"answer": r["gold_raw"]}, r["is_correct"], r["math500_row"]) for r in rows]
        yield Set(f"math/{rows[0]['model']}", "accuracy", 0.99, made)
    rows = read("completions/gsm8k_gpt3_solutions_first1000.jsonl")
    for system in [key for key, value in rows[0].items() if isinstance(value, dict)]:
        golds = [row["ground_truth"].rpartition("A: ")[2] for row in rows]
        found = [row[system] for row in rows]
        made = [
            Row(f["solution"], {"answer": g}, f["is_correct"], i)
            for i, (f, g) in enumerate(zip(found, golds, strict=True))
        ]
        yield Set(f"gsm8k/{system}", "accuracy", 1.0, made)
    made = [
        Row(f"\\boxed{{{r['pred']}}}", {"answer": r["gold"]}, r["expected"], i)
        for i, r in enumerate(read("equivalence/pairs_real_models.jsonl"))
    ]
    yield Set("pairs of real models", "accuracy", 0.995, made)
    made = []
    for r in read("equivalence/pairs_handwritten_70.jsonl"):
        wanted: dict[str, Any] = {"precision": r["options"].get("precision", 6)}
        wanted["relations"] = r["options"].get("allow_set_relation_comp", False)
        made.append(Row(r["pred"], {"answer": r["gold"]}, r["expected"], r["id"], tuple(wanted.items())))
    yield Set("pairs handwritten", "accuracy", 0.92, made)


def game24() -> Iterable[Set]:
    """Answers of GPT-4 to the Game of 24."""
    rows = read("completions/game24_gpt4_cot.jsonl")
    made = [
        Row(r["completion"], {"numbers": r["numbers"], "target": r["target"]}, r["is_correct"], i)
        for i, r in enumerate(rows)
    ]
    yield Set("game24", "game24", 1.0, made)


def code() -> Iterable[Set]:
    """Programs of models with verified labels, and the reference solutions of HumanEval and MBPP."""

    def columns(row: dict[str, Any]) -> dict[str, Any]:
        return {name: row.get(name) for name in ("test", "entry_point", "prompt")}

    rows = read("completions/code_humaneval_mbpp.jsonl")
    made = [Row(r["completion"], columns(r), r["verified_passes"], i) for i, r in enumerate(rows)]
    yield Set("code of models", "code", 1.0, made)
    rows = read("code/HumanEval.jsonl.gz")
    yield Set(
        "HumanEval references",
        "code",
        1.0,
        [Row(r["canonical_solution"], columns(r), True, i) for i, r in enumerate(rows)],
    )
    made = []
    for i, r in enumerate(read("code/mbpp.jsonl")):
        test = "\n".join([*r["test_setup_code"].splitlines(), *r["test_list"]])
        made.append(Row(r["code"], columns({"test": test}), True, i))
    yield Set("MBPP references", "code", 1.0, made)


SETS: dict[str, Callable[[], Iterable[Set]]] = {"math": mathematics, "game24": game24, "code": code}


def score(name: str, rows: list[Row]) -> list[float | None]:
    """The values of one of our rewards, as a training run gets them, in two processes where it has a time limit."""
    values: dict[int, float | None] = {}
    numbered = sorted(enumerate(rows), key=lambda pair: pair[1].parameters)
    for parameters, group in itertools.groupby(numbered, key=lambda pair: pair[1].parameters):
        places, some = zip(*group, strict=True)
        stack = RewardStack([(plugins.find(name).configure(**dict(parameters)), 1.0)], max_error_rate=1.0, processes=2)
        columns = {column: [row.columns[column] for row in some] for column in some[0].columns}
        scores = stack.score(completions=[row.completion for row in some], **columns)[name]
        values.update(zip(places, scores, strict=True))
    return [values[i] for i in range(len(rows))]


def trl(rows: list[Row], bare: bool = False) -> list[float | None]:
    """TRL's values, one completion after the other as its trainer asks; bare answers are put in a box for it."""
    from trl.rewards import accuracy_reward

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    golds = [str(row.columns["answer"]) for row in rows]
    golds = [gold if re.search(r"\$|\\\(|boxed", gold) else f"${gold}$" for gold in golds]
    texts = [row.completion for row in rows]
    if bare:
        texts = [t if "boxed" in t or len(t) > 150 else f"\\boxed{{{t.strip('$ ')}}}" for t in texts]
    return accuracy_reward([[{"role": "assistant", "content": text}] for text in texts], golds)


def differing(rows: list[Row], values: list[float | None]) -> list[Row]:
    """The rows whose label says something else than the value."""
    return [row for row, value in zip(rows, values, strict=True) if (value is not None and value >= 1.0) != row.label]


def shares(wrong: list[Row], labelled: Set, known: dict[int, str]) -> tuple[float, float]:
    """The share of rows that agree with the labels as they stand, and as they are mended."""
    n = len(labelled.rows)
    numbers = {row.number for row in wrong}
    return 1 - len(wrong) / n, 1 - len(numbers ^ known.keys()) / n


def course(n: int = 100_000) -> float:
    """Seconds that the five course rewards take for n completions."""
    rows = read("gsm8k/test_first1000.jsonl")
    parts = [row["answer"].split("\n#### ") for row in rows]
    texts = [f"<reasoning>\n{steps}\n</reasoning>\n<answer>\n{answer}\n</answer>\n" for steps, answer in parts]
    times = -(-n // len(rows))
    stack = RewardStack([(plugins.find(name), 1.0) for name in FIVE])
    start = time.perf_counter()
    stack.score(completions=(texts * times)[:n], answer=([answer for _, answer in parts] * times)[:n])
    return time.perf_counter() - start


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*SETS, "speed"], default=[*SETS, "speed"])
    parser.add_argument("--disagreements", action="store_true", help="list each row that is not as labelled, and why")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"there is no data at {DATA}: set RLKIT_DATA to the folder that holds it")
    missed, listed, seconds = False, [], {"ours": 0.0, "TRL": 0.0}
    print("| set | n | TRL | TRL, mended | ours | ours, mended | bar |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name in [name for name in arguments.only if name in SETS]:
        for labelled in SETS[name]():
            known = MENDED.get(labelled.name, {})
            start = time.perf_counter()
            wrong = differing(labelled.rows, score(labelled.reward, labelled.rows))
            ours = time.perf_counter() - start
            agreed, mended = shares(wrong, labelled, known)
            theirs = "none | none"
            if labelled.reward == "accuracy":
                start = time.perf_counter()
                theirs = "{:.1%} | {:.1%}".format(
                    *shares(
                        differing(labelled.rows, trl(labelled.rows, labelled.name == "pairs handwritten")),
                        labelled,
                        known,
                    )
                )
                if labelled.name.startswith("math/"):
                    seconds["ours"] += ours
                    seconds["TRL"] += time.perf_counter() - start
            missed |= mended < labelled.bar
            n, bar = len(labelled.rows), labelled.bar
            print(f"| {labelled.name} | {n} | {theirs} | {agreed:.1%} | {mended:.1%} | {bar:.1%} |", flush=True)
            reasons = known | QUIRKS.get(labelled.name, {})
            listed += [
                f"| {labelled.name} | {row.number} | {'right' if row.label else 'wrong'} "
                f"| {reasons.get(row.number, 'not explained')} |"
                for row in wrong
            ]
    if "speed" in arguments.only:
        print("\n| speed | seconds | bar |\n| --- | --- | --- |")
        if seconds["TRL"]:
            print(f"| 1,400 MATH-500 answers, TRL | {seconds['TRL']:.1f} | |")
            print(f"| the same, ours in 2 processes | {seconds['ours']:.1f} | {seconds['TRL'] / 3:.1f} |")
            missed |= seconds["ours"] > seconds["TRL"] / 3
        five = course()
        print(f"| 100,000 completions, the five course rewards | {five:.1f} | 10.0 |")
        missed |= five > 10.0
    if arguments.disagreements:
        print("\n| set | row | label | why ours differs |\n| --- | --- | --- | --- |")
        print("\n".join(listed))
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
