"""Fewer bits a weight: llama.cpp's quantization, by the extra `gguf` or by the user's llama-quantize.

In a process of its own, since llama.cpp ends the process in which something goes wrong.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

from rlkit.errors import MissingExtraError, RunError
from rlkit.export.gguf.convert import environment, telling

PROGRAM = "llama-quantize"
FALLBACK = re.compile(r"required fallback quantization|falling back to +(\S+)")


def program(llama_cpp_dir: Path | None) -> Path | None:
    """The user's llama-quantize: of the folder that was given, else on the PATH; None: there is none."""
    if llama_cpp_dir is not None:
        for place in ("build/bin", "bin", "."):
            file = llama_cpp_dir / place / PROGRAM
            if file.is_file():
                return file.resolve()
    found = shutil.which(PROGRAM)
    return Path(found) if found else None


def installed() -> bool:
    """Whether the package llama_cpp is there."""
    return importlib.util.find_spec("llama_cpp") is not None


def check(kind: str, llama_cpp_dir: Path | None) -> None:
    """Hold a request to what is installed.

    Raises:
        MissingExtraError: Neither llama-cpp-python nor llama-quantize is there.
    """
    if not installed() and program(llama_cpp_dir) is None:
        raise MissingExtraError(f"GGUF of type {kind} (or {PROGRAM} on the PATH)", "llama-cpp-python", "gguf")


def run(source: Path, target: Path, kind: str, number: int, llama_cpp_dir: Path | None, log: Path) -> str | None:
    """Write a file with fewer bits a weight.

    Args:
        source: A GGUF file of 16 or 32 bits.
        target: File to write.
        kind: As llama.cpp calls it: q4_k_m.
        number: llama.cpp's number of it (its enum llama_ftype).
        llama_cpp_dir: The user's llama.cpp, whose llama-quantize comes first where it has one.
        log: File that what llama.cpp says is added to.

    Returns:
        What came out otherwise than asked, as a line; None: nothing.

    Raises:
        RunError: It failed.
    """
    own = program(llama_cpp_dir)
    if own is not None and (llama_cpp_dir is not None or not installed()):
        command = [str(own), str(source), str(target), kind]
    else:
        command = [sys.executable, "-P", "-m", "rlkit.export.gguf.quantize", str(source), str(target), str(number)]
    before = log.stat().st_size if log.exists() else 0
    with log.open("a") as written:
        code = subprocess.run(command, stdout=written, stderr=subprocess.STDOUT, env=environment()).returncode
    if code or not target.is_file():
        raise RunError(f"llama.cpp failed to make {kind}: {telling(log)}; all that it said is in {log}")
    with log.open("rb") as opened:
        opened.seek(before)
        return fallbacks(opened.read().decode(errors="replace"), kind)


def fallbacks(said: str, kind: str) -> str | None:
    """What llama.cpp said of tensors that it could not give the type that was asked for, as a line."""
    others = [found.group(1) for found in FALLBACK.finditer(said) if found.group(1)]
    if not others:
        return None
    counted = ", ".join(f"{others.count(other)} as {other}" for other in sorted(set(others)))
    return f"{kind}: tensors whose rows are no multiple of its blocks (256) have another type: {counted}"


def main(source: str, target: str, number: int) -> int:
    """Quantize inside the process that `run` starts; llama.cpp's answer, 0 for done."""
    import ctypes
    import logging

    import llama_cpp

    # Its levels are not those of llama.cpp: at any other, errors are swallowed.
    logging.getLogger("llama-cpp-python").setLevel(logging.DEBUG)
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = number
    return int(llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
