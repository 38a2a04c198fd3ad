"""What lm-evaluation-harness found, in rlkit's own form: flat figures with intervals, one sample a document."""

import math
from collections.abc import Sequence
from typing import Any

from rlkit.intervals import Z
from rlkit.measurement import Measurement, rounded

SHARES = {"acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "em", "f1"}
"""Metrics between 0 and 1 that may come of values for each document which are not 0 or 1."""


def measurement(found: dict[str, Any], members: dict[str, list[str]], version: str) -> Measurement:
    """The figures and samples of `lm_eval.evaluate`; `rlkit.harness.measure` says what they are called.

    Args:
        found: What it returned, with samples.
        members: Group -> every task under it.
        version: Of lm_eval.
    """
    tasks, results = found["samples"], found["results"]
    sizes = {name: found["n-samples"][name]["effective"] for name in tasks}
    groups = {name: sum(sizes[task] for task in members[name]) for name in found.get("groups", {})}
    shares = {name: _shares(logged) for name, logged in tasks.items()}
    metrics: dict[str, Any] = {"n": sum(sizes.values())}
    for name, n in {**dict(reversed(groups.items())), **sizes}.items():
        if len(tasks) > 1:
            metrics[f"{name}/n"] = n
        for key, value in results[name].items():
            metric, comma, by = key.partition(",")
            if not comma or metric.endswith("_stderr") or not _is_number(value):
                continue
            of = [shares[task] for task in members.get(name, [name]) if key in results[task]]
            error = results[name].get(f"{metric}_stderr,{by}")
            metrics |= _figure(f"{name}/{called(metric, by)}", value, error, all(key in each for each in of))
    about = {
        name: {
            "version": found["versions"].get(name),
            "n": n,
            "num_fewshot": found["n-shot"].get(name),
            "higher_is_better": found["higher_is_better"].get(name, {}),
        }
        for name, n in {**groups, **sizes}.items()
    }
    metrics["harness"] = {"lm_eval": version, "tasks": plain(about)}
    return Measurement(rounded(metrics), rows(tasks))


def called(metric: str, by: str) -> str:
    """A metric with the filter that made the answers behind it: METRIC/FILTER, or METRIC where it is none."""
    return metric if by == "none" else f"{metric}/{by}"


def rows(logged: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row a document, with its metrics under every filter; all of it JSON."""
    made: list[dict[str, Any]] = []
    for task, entries in logged.items():
        documents: dict[Any, list[dict[str, Any]]] = {}
        for entry in entries:
            documents.setdefault(entry["doc_id"], []).append(entry)
        judge = _judge(entries)
        for doc_id, same in documents.items():
            metrics = {
                called(metric, entry["filter"]): plain(entry[metric]) for entry in same for metric in entry["metrics"]
            }
            row = {"group": len(made), "task": task, "doc_id": doc_id, **_said(same[0]), "metrics": metrics}
            if any(entry["filter"] != "none" for entry in same):
                row["read"] = {entry["filter"]: plain(_only(entry["filtered_resps"])) for entry in same}
            made.append({**row, "correct": None if judge is None else bool(metrics[judge])})
    if all(row["correct"] is None for row in made):
        for row in made:
            del row["correct"]
    return made


def plain(value: Any) -> Any:
    """A value as JSON holds it: numbers of numpy as Python's, what is not finite as None, all else as text."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _figure(name: str, value: Any, error: Any, share: bool) -> dict[str, Any]:
    value = float(value)
    if not math.isfinite(value):
        return {name: None}
    if not _is_number(error) or not math.isfinite(error):  # "N/A": it knows none
        return {name: value}
    low, high = value - Z * float(error), value + Z * float(error)
    return {
        name: value,
        f"{name}_low": max(0.0, low) if share else low,
        f"{name}_high": min(1.0, high) if share else high,
    }


def _shares(entries: Sequence[dict[str, Any]]) -> set[str]:
    """The metrics, as lm_eval writes them with their filter, that are shares of the documents."""
    values: dict[str, list[Any]] = {}
    for entry in entries:
        for metric in entry["metrics"]:
            values.setdefault(f"{metric},{entry['filter']}", []).append(entry[metric])
    return {key for key, of in values.items() if key.partition(",")[0] in SHARES or all(map(_is_outcome, of))}


def _judge(entries: Sequence[dict[str, Any]]) -> str | None:
    """The first metric that is 0 or 1 for every document: it says what is correct."""
    for first in entries:
        if first["filter"] != entries[0]["filter"]:
            break
        for metric in first["metrics"]:
            same = [entry.get(metric) for entry in entries if entry["filter"] == first["filter"]]
            if all(map(_is_outcome, same)):
                return called(metric, first["filter"])
        break
    return None


def _said(entry: dict[str, Any]) -> dict[str, Any]:
    """What a document asked, what is right, and what the model made of it."""
    asked, given, target = entry["arguments"], [each[0] for each in entry["resps"]], entry["target"]
    prompts = [request[0] for request in asked]
    made: dict[str, Any] = {"prompt": plain(prompts[0])}
    if isinstance(given[0], str):
        answers = plain(entry["resps"][0])  # several where the task has repeats
        return {**made, "answer": plain(target), "completion": answers[0] if len(answers) == 1 else answers}
    if not isinstance(given[0], list | tuple):  # the log-likelihood of a whole text
        return {**made, "answer": plain(target), "loglikelihoods": plain(given)}
    same = [i for i, prompt in enumerate(prompts) if prompt == prompts[0]]
    if len(same) == 1 and len(prompts) > 1:  # one ending after several beginnings
        same, choices = list(range(len(prompts))), ["".join(request) for request in asked]
    else:  # more are there where a choice is scored without its question too
        choices = [asked[i][1] for i in same]
    scores = [float(given[i][0]) for i in same]
    answer = choices[target] if isinstance(target, int) and 0 <= target < len(choices) else target
    made |= {"answer": plain(answer), "choices": plain(choices), "loglikelihoods": plain(scores)}
    return {**made, "completion": choices[max(range(len(scores)), key=scores.__getitem__)]} if len(scores) > 1 else made


def _only(values: Any) -> Any:
    return values[0] if isinstance(values, list) and len(values) == 1 else values


def _is_number(value: Any) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, str)


def _is_outcome(value: Any) -> bool:
    return _is_number(value) and float(value) in (0.0, 1.0)
