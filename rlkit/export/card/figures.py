"""What a run measured, as rows of tables: rewards at the first and last step, the model before and after, copies."""

import json
from typing import Any, NamedTuple

from rlkit.export.card import metadata, scrub
from rlkit.export.card.provenance import Done, Provenance

NOTHING = "–"


class Table(NamedTuple):
    """A table of a card: Markdown, cell by cell."""

    title: str
    header: list[str]
    rows: list[list[str]]


def rewards(model: Provenance) -> list[Table]:
    """A table a GRPO stage: each reward with its parameters, its weight, and its mean at the first and last step."""
    tables = []
    for done in model.trained:
        if done.stage.kind != "grpo" or not done.stage.rewards:
            continue
        rows = [row for row in done.rows if isinstance(row.get("reward"), int | float)]
        ends = [rows[0], rows[-1]] if rows else []
        names = _logged(done)
        header = ["reward", "parameters", "weight", *(f"mean at step {row['step']}" for row in ends)]
        table = [
            [
                f"`{scrub.words(name)}`",
                _parameters(entry.parameters),
                _weight(entry.settings),
                *(number(row.get(f"rewards/{name}/mean")) for row in ends),
            ]
            for name, entry in zip(names, done.stage.rewards, strict=True)
        ]
        if ends:
            table.append(["all together", "", "", *(number(row["reward"]) for row in ends)])
        tables.append(Table(done.stage.name, header, table))
    return tables


def measured(model: Provenance) -> Table | None:
    """Each measurement a column, each figure a row with its 95% interval; None where nothing was measured."""
    evals = [done for done in model.measured if done.metrics]
    if not evals:
        return None
    this = "the trained model" if model.is_copy else "this model"
    header = ["", *(f"`{done.stage.name}`: {this if done.own else subject(done)}" for done in evals)]
    rows = [
        ["data", *(f"{metadata.data_words(done)}, n = {done.metrics.get('n')}" for done in evals)],
        ["completions", *(metadata.sampling(done) for done in evals)],
    ]
    names = dict.fromkeys(name for done in evals for name in metadata.figures(done))
    for name in (*names, "mean_length", "clipped"):
        shown = [_figure(done.metrics, name) for done in evals]
        if any(text != NOTHING for text in shown):
            label = {"mean_length": "mean length, in tokens", "clipped": "share cut off at the limit"}.get(name)
            rows.append([label or f"`{name}`", *shown])
    return Table("measured", header, rows)


def checks(model: Provenance) -> Table | None:
    """How the copy was compared with the trained model; None where it was not."""
    if model.artifact is None or not model.artifact.checks:
        return None
    rows = [
        [
            "all files" if check.file == "." else f"`{check.file}`",
            check.name,
            f"{check.value:.3g}",
            f"{check.bound:.3g}",
            ("passed" if check.passed else "FAILED") + (f": {scrub.words(check.detail)}" if check.detail else ""),
        ]
        for check in model.artifact.checks
    ]
    return Table("checks", ["file", "what", "measured", "at most", ""], rows)


def subject(done: Done) -> str:
    """What a measurement or a stage started from, in words."""
    return scrub.base_name(done.of) if scrub.is_path(done.of) else done.of


def number(value: Any) -> str:
    """A figure in three digits; a dash where there is none."""
    return f"{value:.3g}" if isinstance(value, int | float) else NOTHING


def _logged(done: Done) -> list[str]:
    """What each reward of a stage is called in its log: its alias, its name, or the function's."""
    known = {key[len("rewards/") : -len("/mean")] for row in done.rows for key in row if key.endswith("/mean")}
    taken: list[str] = []
    for entry in done.stage.rewards:
        function = entry.reward.replace(":", ".").rpartition(".")[2]
        said = ",".join(f"{key}={value}" for key, value in entry.parameters.items())
        names = (
            [entry.name] if entry.name else [entry.reward, function, f"{entry.reward}[{said}]", f"{function}[{said}]"]
        )
        taken.append(next((n for n in names if n in known and n not in taken), entry.name or entry.reward))
    return taken


def _parameters(parameters: dict[str, Any]) -> str:
    shown = scrub.settings(parameters)
    return ", ".join(f"`{key}={json.dumps(value, ensure_ascii=False)}`" for key, value in shown.items()) or "defaults"


def _weight(settings: dict[str, Any]) -> str:
    """The weight, and what else decides how much a reward counts."""
    weight = settings.get("weight", 1.0)
    if isinstance(weight, dict):
        shape = weight.get("shape", "linear")
        words = [f"{weight['from']} to {weight['to']} over {weight['over']} steps ({shape})"]
    else:
        words = [f"{weight:g}"]
    if settings.get("clip"):
        words.append("clipped to [{}, {}]".format(*settings["clip"]))
    gate = settings.get("gate")
    if gate:
        name, above = next(iter(gate.items())) if isinstance(gate, dict) else (gate, 0)
        words.append(f"where `{name}` is above {above}")
    return ", ".join(words)


def _figure(metrics: dict[str, Any], name: str) -> str:
    value, none = metrics.get(name), metrics.get(f"{name}_none")
    if value is None and not none:
        return NOTHING
    text = number(value)
    if f"{name}_low" in metrics:
        text += f" [{number(metrics[f'{name}_low'])}, {number(metrics[f'{name}_high'])}]"
    return text + (f" ({none} without a value)" if none else "")
