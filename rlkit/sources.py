"""Where rows come from: a hub id, a local file or folder, or a Python generator."""

import glob
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rlkit import formats, hub, names, plugins
from rlkit.errors import RequestError
from rlkit.recipe.data import DataSection

if TYPE_CHECKING:
    from datasets import Dataset

FORMATS = {
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".txt": "text",
    ".conll": "conll",
    ".iob2": "conll",
    ".bio": "conll",
}
"""What the name of a file ends in, and the loader that reads it; a .json file may hold SQuAD's format too."""


def load(section: DataSection, folder: Path | None = None) -> "Dataset":
    """The rows of a dataset as they stand there.

    Args:
        section: `data:` of a recipe; its `path` is a hub id, a local file or folder, or a generator.
        folder: The recipe's folder, where a generator's module may stand.

    Raises:
        RequestError: It does not exist, has no such split or configuration, cannot be read, or is empty.
    """
    path = section.path or ""
    if section.args and not _is_generator(path):
        raise RequestError(f"data {path}: data.args are for a generator (package.module:function), and this is none")
    dataset = _generate(path, section, folder) if _is_generator(path) else _load_path(path, section)
    if not len(dataset):
        raise RequestError(f"data {path} (split {section.split}) is empty")
    return dataset


def columns(section: DataSection, folder: Path | None = None) -> list[str] | None:
    """The columns of a dataset; None where it is on a hub that cannot be reached."""
    path = section.path or ""
    if _is_generator(path) or not hub.is_hub_id(path):
        return load(section, folder).column_names
    if not hub.reachable():
        return None
    import datasets

    try:
        builder = datasets.load_dataset_builder(path, section.name, revision=section.revision)
    except Exception as error:
        raise _cannot_load(path, section, error) from error
    split = section.split.partition("[")[0]
    if builder.info.splits and split not in builder.info.splits:
        raise RequestError(f"data {path}: {names.unknown('split', split, builder.info.splits)}")
    return list(builder.info.features) if builder.info.features else None


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of datasets, for what takes a moment; downloads keep theirs."""
    import datasets

    hidden = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not hidden:
            datasets.enable_progress_bars()


def _is_generator(path: str) -> bool:
    """A dotted path, as package.module:function; not a file, a folder or a hub id."""
    if "/" in path or Path(path).exists() or _format(path):
        return False
    return bool(re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*[.:]\w+", path))


def _generate(path: str, section: DataSection, folder: Path | None) -> "Dataset":
    from datasets import Dataset

    if section.split.partition("[")[0] != "train":
        raise RequestError(
            f"data {path}: a generator has no split {section.split!r}; pass what it needs under data.args"
        )
    try:
        function = plugins.resolve(path, "data", folder)
    except RequestError as error:
        raise RequestError(f"{error}" if ":" in path else f"data {path}: no such file, and {error}") from None
    try:
        rows = [dict(row) for row in function(**section.args)]
        columns = dict.fromkeys(key for row in rows for key in row)
        dataset = Dataset.from_dict({key: [row.get(key) for row in rows] for key in columns})
    except Exception as error:
        raise RequestError(f"data {path}: the generator failed: {type(error).__name__}: {error}") from error
    return _slice(dataset, section.split)


def _slice(dataset: "Dataset", split: str) -> "Dataset":
    """The rows that a split names, of a dataset that is train: all, or a slice as train[:100] or train[:10%]."""
    from datasets import ReadInstruction

    try:
        parts = ReadInstruction.from_spec(split).to_absolute({"train": len(dataset)})
    except (ValueError, AssertionError) as error:
        if split.partition("[")[0] != "train":
            raise
        raise RequestError(f"data.split {split!r}: write train, or a slice of rows as train[:100]") from error
    ranges = [range(part.from_, part.to) for part in parts]
    return dataset.select(ranges[0] if len(ranges) == 1 else list(itertools.chain(*ranges)))


def _parsed(path: Path, file_format: str) -> "Dataset | None":
    """The rows of a file in a format of `rlkit.formats`; None where it is in another."""
    from datasets import Dataset, Features, Sequence, Value

    text, texts = Value("string"), Sequence(Value("string"))
    if file_format == "conll":
        columns = Features({"tokens": texts, "tags": texts})
        sentences = formats.conll(path)
        return Dataset.from_dict({name: [row[name] for row in sentences] for name in columns}, features=columns)
    rows = formats.squad(path) if file_format == "json" else None
    if rows is None:
        return None
    named = dict.fromkeys(("id", "title", "context", "question"), text)
    answers = {"text": texts, "answer_start": Sequence(Value("int32"))}
    columns = Features({**named, "answers": answers})
    return Dataset.from_dict({name: [row[name] for row in rows] for name in columns}, features=columns)


def _format(path: str) -> str | None:
    suffixes = [s for s in Path(path).suffixes if s not in (".gz", ".bz2", ".xz", ".zip")]
    return FORMATS.get(suffixes[-1].lower()) if suffixes else None


def _load_path(path: str, section: DataSection) -> "Dataset":
    local = Path(path).expanduser()
    file_format = _format(path)
    if not local.exists() and (file_format or not hub.is_hub_id(path)):
        raise RequestError(f"data {path}: there is no such file or folder (from {Path.cwd()})")
    if local.is_file() and file_format is None:
        raise RequestError(f"data {path}: the name should end in {', '.join(FORMATS)}")
    if local.is_file() and local.stat().st_size == 0:
        raise RequestError(f"data {path} is empty")
    if not local.exists():
        hub.reachable()
    import datasets

    try:
        if local.is_file():
            parsed = _parsed(local, str(file_format))
            if parsed is not None:
                return _slice(parsed, section.split)
            extra = {"delimiter": "\t"} if ".tsv" in local.suffixes else {}
            files = {"train": glob.escape(str(local))}
            with quiet():
                return datasets.load_dataset(str(file_format), data_files=files, split=section.split, **extra)
        if (local / "state.json").exists():
            saved = datasets.load_from_disk(str(local))
            return _slice(saved, section.split)
        if (local / "dataset_dict.json").exists():
            saved, (name, bracket, rest) = datasets.load_from_disk(str(local)), section.split.partition("[")
            if name not in saved:
                raise RequestError(f"data {path}: {names.unknown('split', name, saved)}")
            return _slice(saved[name], "train" + bracket + rest)
        where = str(local) if local.exists() else path
        return datasets.load_dataset(where, section.name, split=section.split, revision=section.revision)
    except RequestError as error:
        raise error if str(error).startswith(("data ", "data.")) else RequestError(f"data {path}: {error}") from None
    except Exception as error:
        raise _cannot_load(path, section, error) from error


def _cannot_load(path: str, section: DataSection, error: Exception) -> RequestError:
    while error.__cause__ is not None or error.__context__ is not None:  # datasets wraps what was wrong twice over
        inner = error.__cause__ or error.__context__
        if not isinstance(inner, Exception) or isinstance(error, ConnectionError):
            break
        error = inner
    said = str(error).split("\n")[0] or type(error).__name__
    if hub.is_hub_id(path) and not hub.reachable():
        said = "the model hub cannot be reached and the dataset is not in the cache; give a local file"
    elif Path(path).expanduser().is_file() and "split" in said.lower():
        said = f"no split {section.split!r}: a single file has the split train alone; leave data.split out"
    elif "split" in said.lower():
        said = f"no split {section.split!r}: {said}"
    return RequestError(f"data {path}: {said}")
