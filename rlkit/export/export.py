"""`rlkit export`: copies of a trained model that others can run, each held against the model that was trained."""

import gc
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlkit.errors import RequestError, RunError
from rlkit.export import merged, parity
from rlkit.export.artifact import Artifact, Check
from rlkit.export.parity import Reference
from rlkit.export.source import Source, base_of
from rlkit.progress import Progress

PROMPTS = 8
"""Prompts on which a copy is compared."""
DTYPES = ("float32", "bfloat16", "float16")


def to_merged(source: Source, folder: Path, dtype: str | None = None, progress: Progress | None = None) -> Artifact:
    """Merge a model into a folder, load it again, and compare it with the one that was trained.

    Args:
        source: What to export.
        folder: A folder that does not exist yet.
        dtype: Of the weights; None: as the base's are kept.
        progress: Where lines for a person go.

    Raises:
        RequestError: The folder is there already, or the model cannot be loaded.
        RunError: The copy does not answer as the trained model; its files are kept.
    """
    progress = progress or Progress(quiet=True)
    _refuse_existing(folder)
    dtype = _dtype(source, dtype)
    reference = _reference(source, progress)
    with _removed_on_error(folder):
        folder.mkdir(parents=True)
        artifact = _merge(source, folder, dtype, progress)
        gc.collect()
        artifact.checks = reference.compare(parity.Loaded.of(folder), ".", dtype)
        artifact.checks += _quantized(source, reference)
        artifact.prompts = len(reference.ids)
        artifact.write()
    return _judged(artifact, progress)


def to_gguf(
    source: Source,
    folder: Path,
    types: list[str],
    llama_cpp_dir: Path | None = None,
    progress: Progress | None = None,
    pre_tokenizer: str | None = None,
) -> Artifact:
    """Convert a model into GGUF files, load each again, and compare it with the model that was trained.

    Args:
        source: What to export: an adapter is merged first, in a folder that is removed again.
        folder: A folder that does not exist yet.
        types: As llama.cpp calls them: f16, q8_0, q4_k_m and so on.
        llama_cpp_dir: The user's llama.cpp, instead of the converter that rlkit fetches.
        progress: Where lines for a person go.
        pre_tokenizer: How the tokenizer splits a text, as llama.cpp calls it; for one that neither it nor rlkit knows.

    Raises:
        RequestError: A type does not exist, what makes it is not installed, or the folder is there already.
        RunError: A conversion failed, or a copy does not answer as the trained model; its files are kept.
    """
    from rlkit.export.gguf import gguf
    from rlkit.export.gguf.copy import GgufCopy

    progress = progress or Progress(quiet=True)
    _refuse_existing(folder)
    gguf.check(types, llama_cpp_dir)
    dtype = _dtype(source, None)
    reference = _reference(source, progress)
    with _removed_on_error(folder):
        folder.mkdir(parents=True)
        with tempfile.TemporaryDirectory(prefix=".merged-", dir=folder.parent) as made:
            artifact = _merge(source, Path(made), dtype, progress)
            gc.collect()
            how = {"pre_tokenizer": pre_tokenizer, "system": source.system()}
            files = gguf.write(Path(made), folder, source.name, types, llama_cpp_dir, progress, **how)
        artifact.folder, artifact.kind = folder, "gguf"
        for kind, file in files.items():
            progress.say(f"  {file.name}: {file.stat().st_size / 1e6:,.0f} MB; compared with the trained model")
            artifact.checks += reference.compare(GgufCopy(file), file.name, kind)
        artifact.checks += _quantized(source, reference)
        artifact.prompts = len(reference.ids)
        artifact.write()
    return _judged(artifact, progress)


def told(check: Check) -> str:
    """A comparison in a line."""
    mark = "ok  " if check.passed else "FAIL"
    about = f"  {check.detail}" if check.detail else ""
    return f"{mark} {check.file}  {check.name} {check.value:.3g} (at most {check.bound:.3g}){about}"


def _merge(source: Source, folder: Path, dtype: str, progress: Progress) -> Artifact:
    if source.in_4bit:
        progress.say(f"  it was trained over a base in 4 bits; the base is loaded again in {dtype} for the merge")
    saved = merged.write(source.model, folder, dtype, progress)
    base, revision = base_of(saved)
    run, stage = str(source.run) if source.run else None, source.stage
    return Artifact(folder, "merged", source.name, dtype, base, revision, run, stage)


def _reference(source: Source, progress: Progress) -> Reference:
    prompts = source.prompts(PROMPTS)
    progress.say(f"  {source.model} answers {len(prompts)} prompts, to compare with")
    return Reference.of(merged.load(source.model, "float32"), prompts)


def _quantized(source: Source, reference: Reference) -> list[Check]:
    """What leaving the 4 bits behind changes, for a model that was trained over them."""
    return [parity.in_4_bits(reference, source.model)] if source.in_4bit else []


def _dtype(source: Source, asked: str | None) -> str:
    if asked and asked not in DTYPES:
        raise RequestError(f"--dtype {asked}: one of {', '.join(DTYPES)}")
    dtype = asked or merged.stored_dtype(source.model)
    return dtype if dtype in DTYPES else "bfloat16"


def _judged(artifact: Artifact, progress: Progress) -> Artifact:
    for check in artifact.checks:
        progress.say(f"  {told(check)}")
    if artifact.problems:
        raise RunError(
            f"{artifact.folder}: the copy does not answer as the model that was trained; its files are kept, and "
            f"`rlkit push` refuses them:\n  " + "\n  ".join(artifact.problems)
        )
    return artifact


def _refuse_existing(folder: Path) -> None:
    if folder.exists():
        raise RequestError(f"-o {folder} exists; name another folder, or remove it first")


@contextmanager
def _removed_on_error(folder: Path) -> Iterator[None]:
    """Nothing half-made is left behind."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
