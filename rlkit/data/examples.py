"""Rows of any dataset as examples of a task, and those as text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlkit import names
from rlkit.data.rows import REASON, Prepared, keep
from rlkit.data.templates import columns_in, fill
from rlkit.data.where import speller, unknown, where
from rlkit.errors import RequestError
from rlkit.recipe.data import DataSection
from rlkit.sources import quiet
from rlkit.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset


def roles(task: Task, section: DataSection, has: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Role -> the column or template that it is taken from, and what is wrong, a sentence each.

    Args:
        task: Whose roles.
        section: `data:`; its `columns` come first, then a role's usual names.
        has: Columns of the dataset.
    """
    taken: dict[str, str] = {}
    problems = unknown(section, has)
    for role, (usual, optional) in task.roles.items():
        source = section.columns.get(role) or next((name for name in usual if name in has), None)
        absent = [] if source is None else [name for name in columns_in(source) if name not in has]
        if absent:
            problems.append(f"data.columns.{role}: {names.unknown('column', absent[0], has)}")
        elif source is not None:
            taken[role] = source
        elif not optional:
            problems.append(
                f"{task.name} reads the column {role!r} (or {', '.join(usual)}); the data has {', '.join(has)}: "
                f"set data.columns: {{{role}: ITS_NAME}}"
            )
    return taken, problems


def examples(dataset: "Dataset", section: DataSection, task: Task) -> Prepared:
    """Rows with a task's roles as columns, in the form that the task reads.

    `data.columns` says which column (or template) a role is; else the first of its usual names is taken. Numbers of a
    column of labels become the labels' names.

    Raises:
        RequestError: A role has no column.
    """
    taken, problems = roles(task, section, dataset.column_names)
    if problems:
        raise RequestError("\n".join(problems))
    dataset = where(dataset, section)
    spelt = {role: speller(dataset.features.get(source)) for role, source in taken.items()}

    def prepare(row: dict[str, Any]) -> dict[str, Any]:
        made = {role: row[source] if source in row else fill(source, row) for role, source in taken.items()}
        made = {role: spelt[role](value) for role, value in made.items()}
        read = task.read(made)
        return {REASON: read} if isinstance(read, str) else {**read, REASON: ""}

    return keep(dataset, section, prepare, remove=dataset.column_names)


def as_text(prepared: Prepared, task: Task) -> "Dataset":
    """Examples of a task as rows with `prompt`, `completion` and what its reward needs, its roles kept beside them."""

    def write(example: dict[str, Any]) -> dict[str, Any]:
        return {**task.columns(example), "prompt": task.prompt(example), "completion": task.target(example)}

    with quiet():
        return prepared.dataset.map(write, load_from_cache_file=False)


AS_TEXT: dict[str, Any] = {
    "prompt": "prompt",
    "completion": "completion",
    "messages": None,
    "answer": None,
    "columns": {},
    "where": {},
}
"""Fields of `data:` for the rows of `as_text`."""
