"""Measurements as aligned text, for people."""

from collections.abc import Iterable, Sequence
from typing import Any

Row = Sequence[str]


def aligned(rows: Iterable[Row]) -> str:
    """Columns side by side, the first to the left and figures to the right; a column that is empty is left out."""
    rows = [list(row) for row in rows]
    filled = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    widths = {i: max(len(row[i]) for row in rows) for i in filled}
    return "\n".join(
        "  ".join(row[i].ljust(widths[i]) if i == filled[0] else row[i].rjust(widths[i]) for i in filled).rstrip()
        for row in rows
    )


def number(value: Any) -> str:
    """A figure as it is read: four digits."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"


def between(metrics: dict[str, Any], name: str) -> str:
    """The interval of a figure, "" where it has none."""
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    return "" if low is None or high is None else f"[{low:.3g}, {high:.3g}]"


def named(metrics: dict[str, Any]) -> list[str]:
    """The figures that have a line of their own: not what belongs to another, counts aside."""
    return [
        name
        for name, value in metrics.items()
        if name != "n" and not name.endswith(("_low", "_high", "_none", "/n")) and not isinstance(value, dict)
    ]


def measured(metrics: dict[str, Any]) -> str:
    """A measurement: each figure with its interval, n and how many completions had no value; then its categories."""
    rows: list[Row] = [("", "value", "95% interval", "n", "none")]
    for name in named(metrics):
        none = metrics.get(f"{name}_none")
        n = metrics.get(f"{name.split('/')[0]}/n", metrics["n"])  # of one task of several
        rows.append((name, number(metrics[name]), between(metrics, name), number(n), number(none) if none else ""))
    parts = [aligned(rows), *(categories(column, table) for column, table in metrics.get("by", {}).items())]
    if errors := metrics.get("reward_errors"):
        parts.append("failed: " + ", ".join(f"{name} on {count:,}" for name, count in errors.items()))
    return "\n\n".join(parts)


def categories(column: str, table: dict[str, dict[str, Any]]) -> str:
    """The figures of each value of a column."""
    shown = [name for name in ("accuracy", "reward", "unreadable") if any(name in row for row in table.values())]
    heads = [cell for name in shown for cell in ((name,) if name == "unreadable" else (name, "95% interval"))]
    rows: list[Row] = [(column, "n", *heads)]
    for value, metrics in table.items():
        cells = [number(metrics["n"])]
        for name in shown:
            cells.append(number(metrics.get(name)))
            cells += [between(metrics, name)] if name != "unreadable" else []
        rows.append((value, *cells))
    return aligned(rows)


def compared(names: tuple[str, str], metrics: tuple[dict[str, Any], dict[str, Any]], comparison: dict[str, Any]) -> str:
    """Two measurements side by side, then how far they are apart."""
    one, other = metrics
    rows: list[Row] = [("", "A", "95% interval", "B", "95% interval")]
    rows.append(("n", number(one["n"]), "", number(other["n"]), ""))
    for name in dict.fromkeys([*named(one), *named(other)]):
        cells = [cell for of in metrics for cell in (number(of.get(name)), between(of, name))]
        rows.append((name, *cells))
    apart: list[Row] = [("A - B", "difference", "95% interval", "p", "test", "n", "A better", "B better")]
    for name in ("accuracy", "reward"):
        if found := comparison.get(name):
            interval = f"[{found['low']:+.3g}, {found['high']:+.3g}]"
            counts = (number(found[key]) for key in ("n", "better", "worse"))
            apart.append((name, f"{found['difference']:+.4g}", interval, f"{found['p']:.2g}", found["test"], *counts))
    parts = [f"A: {names[0]}\nB: {names[1]}", aligned(rows), aligned(apart)]
    for label, of in zip("AB", metrics, strict=True):
        parts += [f"{label} by " + categories(column, table) for column, table in of.get("by", {}).items()]
    return "\n\n".join(parts)
