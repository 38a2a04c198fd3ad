"""`data.where`: the rows whose columns have the values that are asked for."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from rlkit import names
from rlkit.errors import RequestError
from rlkit.recipe.data import DataSection
from rlkit.sources import quiet

if TYPE_CHECKING:
    from datasets import Dataset

SHOWN = 12
"""Values of a column that an error names at most."""


def where(dataset: "Dataset", section: DataSection) -> "Dataset":
    """The rows that `data.where` asks for; all where it asks for nothing. A class number may be asked for by its name.

    Raises:
        RequestError: There is no such column, or a value stands in no row, or no row has them all.
    """
    asked = section.wanted()
    if problems := unknown(section, dataset.column_names):
        raise RequestError("\n".join(problems))
    keep: set[int] | None = None
    for column, values in asked.items():
        spelt = speller(dataset.features.get(column))
        has = [str(spelt(value)) for value in dataset[column]]
        there = dict.fromkeys(has)
        for value in values:
            if value not in there:
                raise RequestError(f"data.where.{column}: {_absent(column, value, there)}")
        found = {i for i, value in enumerate(has) if value in values}
        keep = found if keep is None else keep & found
    if keep is None:
        return dataset
    if not keep:
        raise RequestError(f"data {section.path}: no row is as data.where asks: {section.where}")
    with quiet():
        return dataset.select(sorted(keep))


def unknown(section: DataSection, has: Iterable[str]) -> list[str]:
    """What is wrong with the columns of `data.where`, a sentence each."""
    has = list(has)
    return [f"data.where: {names.unknown('column', name, has)}" for name in section.where if name not in has]


def speller(feature: Any) -> Callable[[Any], Any]:
    """Spells out what a column of class numbers means; leaves others as they are."""
    inner = getattr(feature, "feature", feature)
    if not hasattr(inner, "int2str"):
        return lambda value: value
    return lambda value: [inner.int2str(v) for v in value] if isinstance(value, list) else inner.int2str(value)


def _absent(column: str, value: str, there: Iterable[str]) -> str:
    known = sorted(there)
    more = f", and {len(known) - SHOWN:,} more" if len(known) > SHOWN else ""
    close = names.nearest(value, known)
    meant = f"did you mean {close!r}? " if close else ""
    return f"no row has {value!r}; {meant}the column has {', '.join(known[:SHOWN])}{more}"
