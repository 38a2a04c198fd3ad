"""From what a person calls a model to the model, ready to answer."""

from pathlib import Path

from rlkit.errors import RequestError
from rlkit.runs import RunDirectory, is_run
from rlkit.serving.origin import Origin, origin
from rlkit.serving.served import Served

MAGIC = b"GGUF"
"""What a GGUF file begins with."""


def open_model(path: str, engine: str = "auto") -> tuple[Served, Origin]:
    """Load a model to be served, and what its run says of how it is asked.

    Args:
        path: A run (its last model), the folder of a model or an adapter, a hub id, a .gguf file, or a folder with one.
        engine: What generates: auto, transformers or vllm; a GGUF file is run by llama.cpp.

    Raises:
        RequestError: There is no such model, or it cannot be served so.
        RunError: It does not load.
    """
    given = Path(path).expanduser()
    if given.is_dir() and is_run(given):
        given = RunDirectory(given).model()
    file = _gguf(given)
    if file is not None:
        if engine != "auto":
            raise RequestError(f"--engine {engine}: {path} is a GGUF file, which llama.cpp runs; leave out --engine")
        from rlkit.serving.gguf_model import GgufModel

        return GgufModel(file, path), origin(file.parent)
    found = origin(given) if given.is_dir() else Origin()
    from rlkit.serving.engine_model import load

    return load(str(given) if given.is_dir() else path, found.loading, engine), found


def _gguf(path: Path) -> Path | None:
    """The GGUF file that a path means; None where it means no such file.

    Raises:
        RequestError: A folder has several, or the file is none.
    """
    if path.is_dir():
        files = sorted(path.glob("*.gguf"))
        if len(files) > 1:
            raise RequestError(
                f"model {path}: the folder has several GGUF files; name one: {', '.join(map(str, files))}"
            )
        return files[0] if files and not (path / "config.json").exists() else None
    if path.is_file():
        with path.open("rb") as opened:
            if opened.read(len(MAGIC)) != MAGIC:
                raise RequestError(f"model {path}: a file, and no GGUF file; other models are folders, or hub ids")
        return path
    if path.suffix == ".gguf":
        raise RequestError(f"model {path}: there is no such file (from {Path.cwd()})")
    return None
