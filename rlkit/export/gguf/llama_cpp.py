"""llama.cpp's own converter: where it comes from. None of its code is part of rlkit.

The source distribution of llama-cpp-python carries the whole of llama.cpp. pip fetches it from wherever pip is told to,
its digest is checked, and the few files that the converter needs are kept in the user's cache.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from rlkit import cache
from rlkit.errors import RequestError, RunError
from rlkit.progress import Progress

VERSION = "0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
SDIST = f"llama_cpp_python-{VERSION}.tar.gz"
INSIDE = PurePosixPath(f"llama_cpp_python-{VERSION}/vendor/llama.cpp")
NEEDED = ("convert_hf_to_gguf.py", "LICENSE", "conversion", "gguf-py/gguf", "gguf-py/LICENSE")
"""What the converter is made of, as paths in llama.cpp."""
LARGEST = 64 * 2**20
"""Bytes that all of it may take: it takes less than two million."""
PARTS = ("convert_hf_to_gguf.py", "conversion/__init__.py", "gguf-py/gguf/__init__.py")
"""What a folder must have to be taken for llama.cpp."""


def converter(folder: Path | None, progress: Progress) -> Path:
    """The folder that holds convert_hf_to_gguf.py, conversion/ and gguf-py/.

    Args:
        folder: A copy of llama.cpp that the user has; None: the one in the cache, which is filled where it is empty.
        progress: Is told of the download.

    Raises:
        RequestError: `folder` is no llama.cpp.
        RunError: It could not be downloaded, or is not what it should be.
    """
    if folder is not None:
        check(folder)
        return folder.resolve()
    kept = cache.folder() / f"llama.cpp-{VERSION}"
    if not _missing(kept):
        return kept
    progress.say(f"llama.cpp's converter: fetching the sources of llama-cpp-python {VERSION} (77 MB, once)")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix="llama.cpp-") as temporary:
            whole = Path(temporary) / "whole"
            unpack(download(Path(temporary)), whole)
            # Another process may have been quicker; what it left is the same.
            if _missing(kept):
                shutil.rmtree(kept, ignore_errors=True)
                whole.rename(kept)
    except OSError as error:
        if not _missing(kept):
            return kept
        raise RunError(
            f"llama.cpp's converter cannot be kept in {kept.parent}: {error.strerror or error}; "
            "set XDG_CACHE_HOME to a folder that can be written, or give --llama-cpp-dir"
        ) from None
    return kept


def check(folder: Path) -> None:
    """Hold a user's folder to what the converter needs.

    Raises:
        RequestError: Something is not there.
    """
    missing = _missing(folder)
    if missing:
        hint = "give the folder of a checkout of llama.cpp, or leave --llama-cpp-dir out"
        raise RequestError(f"--llama-cpp-dir {folder}: there is no {missing[0]} in it; {hint}")


def download(folder: Path) -> Path:
    """Have pip fetch the source distribution into a folder.

    Raises:
        RunError: pip is not there, failed, or brought something else.
    """
    otherwise = "or take a checkout of llama.cpp: --llama-cpp-dir FOLDER"
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        raise RunError(
            f"llama.cpp's converter is fetched with pip, and {sys.executable} has none: `python -m ensurepip`, "
            + otherwise
        )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--no-binary", "llama-cpp-python", "--dest", str(folder), f"llama-cpp-python=={VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True)
    file = folder / SDIST
    if done.returncode or not file.is_file():
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise RunError(
            f"pip could not fetch the sources of llama-cpp-python {VERSION}, which carry llama.cpp's converter"
            + (f": {said[-1].removeprefix('ERROR: ')}" if said else "")
            + f"; try `pip download --no-deps --no-binary llama-cpp-python llama-cpp-python=={VERSION}`, {otherwise}"
        )
    return file


def unpack(sdist: Path, folder: Path) -> None:
    """Put what the converter needs of the source distribution into a new folder.

    Only plain files under the paths of `NEEDED` are written, and only below `folder`, whatever the archive says.

    Raises:
        RunError: It is not the file that rlkit was tested with, or lacks a part.
    """
    with sdist.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if digest != SHA256:
        raise RunError(
            f"{sdist.name} has the SHA-256 {digest}, and {SHA256} is right: it is damaged or not what was "
            "published; `pip cache purge` and try again"
        )
    extract(sdist, folder)
    missing = _missing(folder)
    if missing:
        raise RunError(f"{sdist.name} has no {missing[0]}")


def extract(archive: Path, folder: Path) -> None:
    """Write the plain files of an archive that belong to the converter below `folder`.

    Raises:
        RunError: An entry points out of the folder, or there is far more than there should be.
    """
    folder.mkdir()
    left = LARGEST
    with tarfile.open(archive) as opened:
        for member in opened:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts:
                raise RunError(f"{archive.name} holds {member.name!r}, which points out of it; it was not unpacked")
            wanted = any(path.is_relative_to(INSIDE / needed) for needed in NEEDED)
            if not wanted or not member.isfile():
                continue
            left -= member.size
            source = opened.extractfile(member)
            if left < 0 or source is None:
                raise RunError(f"{archive.name} holds more than {LARGEST} bytes for the converter; it was not unpacked")
            target = folder / path.relative_to(INSIDE)
            target.parent.mkdir(parents=True, exist_ok=True)
            with source, target.open("wb") as written:
                shutil.copyfileobj(source, written)


def _missing(folder: Path) -> list[str]:
    return [part for part in PARTS if not (folder / part).is_file()]
