"""GGUF files of a model: converted by llama.cpp's own converter, then written with fewer bits a weight."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rlkit.errors import RequestError
from rlkit.export.gguf import convert, llama_cpp, modelfile, quantize
from rlkit.names import unknown
from rlkit.progress import Progress


@dataclass(frozen=True)
class Type:
    """A kind of GGUF file."""

    number: int
    """llama.cpp's number of it (its enum llama_ftype)."""
    converted: bool = False
    """Whether the converter writes it; else it is quantized from a file of 16 or 32 bits."""


_CONVERTED = {"f32": 0, "f16": 1, "bf16": 32, "q8_0": 7}
_LEGACY = {"q4_0": 2, "q4_1": 3, "q5_0": 8, "q5_1": 9}
_K = {"q2_k": 10, "q3_k_s": 11, "q3_k_m": 12, "q3_k_l": 13, "q4_k_s": 14, "q4_k_m": 15, "q5_k_s": 16, "q5_k_m": 17}
_OTHER = {"q6_k": 18, "iq3_s": 26, "iq3_m": 27, "iq4_nl": 25, "iq4_xs": 30, "tq1_0": 36, "tq2_0": 37}
TYPES = {
    **{name: Type(number, converted=True) for name, number in _CONVERTED.items()},
    **{name: Type(number) for name, number in (_LEGACY | _K | _OTHER).items()},
}
"""Name -> what is known of it."""
ALIASES = {"q3_k": "q3_k_m", "q4_k": "q4_k_m", "q5_k": "q5_k_m", "fp16": "f16", "fp32": "f32"}
MEASURED = ("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "iq3_xxs", "iq3_xs", "q2_k_s")
"""Types that llama.cpp makes only with an importance matrix."""
DTYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}


def check(types: list[str], llama_cpp_dir: Path | None) -> None:
    """Hold a request for GGUF files to what there is.

    Args:
        types: As `write` takes them.
        llama_cpp_dir: The user's llama.cpp.

    Raises:
        RequestError: A type does not exist or cannot be made here, or the folder is no llama.cpp.
    """
    wanted = names(types)
    if not wanted:
        raise RequestError("no type of GGUF file was asked for: q8_0 is nearly exact, q4_k_m is small")
    if llama_cpp_dir is not None:
        llama_cpp.check(llama_cpp_dir)
    for kind in wanted:
        if not TYPES[kind].converted:
            quantize.check(kind, llama_cpp_dir)


def names(types: list[str]) -> list[str]:
    """Types as TYPES has them, each once.

    Raises:
        RequestError: There is no such type, or it needs what rlkit does not make.
    """
    found = []
    for given in types:
        kind = given.strip().lower()
        kind = ALIASES.get(kind, kind)
        if kind in MEASURED:
            raise RequestError(
                f"GGUF type {given!r} needs an importance matrix, which rlkit does not measure: take q2_k, iq3_s or "
                "iq4_xs, or make it from the f16 file with llama.cpp's llama-imatrix and llama-quantize"
            )
        if kind not in TYPES:
            raise RequestError(unknown("GGUF type", given, TYPES, f"there are: {', '.join(sorted(TYPES))}"))
        found.append(kind)
    return list(dict.fromkeys(found))


def write(
    model: Path,
    folder: Path,
    name: str,
    types: list[str],
    llama_cpp_dir: Path | None = None,
    progress: Progress | None = None,
    *,
    pre_tokenizer: str | None = None,
    system: str | None = None,
) -> dict[str, Path]:
    """Write a model as GGUF files NAME-TYPE.gguf, with a Modelfile for Ollama beside them.

    Args:
        model: A folder with whole weights of 16 or 32 bits (safetensors), config and tokenizer.
        folder: Where the files go; those of the same name are replaced.
        name: What the model is called.
        types: Of TYPES, in upper or lower case.
        llama_cpp_dir: The user's llama.cpp, instead of the converter that rlkit fetches.
        progress: Is told what is done.
        pre_tokenizer: llama.cpp's name of how the tokenizer splits a text, for one that neither it nor rlkit knows.
        system: The system prompt for the Modelfile.

    Returns:
        Type -> its file.

    Raises:
        RequestError: As `check`, or the name cannot be a file's.
        RunError: The converter or the quantizer failed, or llama.cpp has no equal of the tokenizer.
    """
    check(types, llama_cpp_dir)
    if not name or Path(name).name != name or any(c in name for c in "{}\\\n"):
        raise RequestError(f"the model's name {name!r} cannot be the name of a file")
    progress = progress or Progress(quiet=True)
    wanted = names(types)
    tools = llama_cpp.converter(llama_cpp_dir, progress)
    folder.mkdir(parents=True, exist_ok=True)
    converted = [kind for kind in wanted if TYPES[kind].converted]
    quantized = [kind for kind in wanted if not TYPES[kind].converted]
    whole = _like(model)
    if quantized and whole not in converted:
        converted.append(whole)
    log = _log()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".gguf-") as temporary:
        made = {kind: Path(temporary) / modelfile.file_name(name, kind) for kind in (*converted, *quantized)}
        progress.say(f"  llama.cpp's converter writes {', '.join(converted)}")
        for note in convert.run(tools, model, name, {kind: made[kind] for kind in converted}, pre_tokenizer, log):
            progress.say(f"  {note}")
        for kind in quantized:
            progress.say(f"  llama.cpp makes {kind}")
            other = quantize.run(made[whole], made[kind], kind, TYPES[kind].number, llama_cpp_dir, log)
            if other:
                progress.say(f"  {other}")
        files = {kind: folder / made[kind].name for kind in wanted}
        for kind, file in files.items():
            made[kind].replace(file)
    log.unlink()
    modelfile.write(folder, name, model, wanted, system)
    return files


def _like(model: Path) -> str:
    """The type that holds a model's weights as they are."""
    file = model / "config.json"
    if not file.is_file():
        raise RequestError(f"{model} is no model: there is no config.json")
    config = json.loads(file.read_text())
    inner = config.get("text_config") or {}
    dtype = config.get("dtype") or config.get("torch_dtype") or inner.get("dtype") or "float32"
    return DTYPES.get(str(dtype).removeprefix("torch."), "f32")


def _log() -> Path:
    """A new file for what llama.cpp says; it stays where something fails."""
    with tempfile.NamedTemporaryFile(prefix="rlkit-gguf-", suffix=".log", delete=False) as opened:
        return Path(opened.name)
