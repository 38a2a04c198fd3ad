"""A GGUF file, run by llama.cpp (llama-cpp-python)."""

import ctypes
import importlib.util
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlkit.engines import Sampling
from rlkit.errors import MissingExtraError, RunError
from rlkit.export.gguf.library import complaints, template
from rlkit.serving.prompt import template_refuses
from rlkit.serving.served import Messages

WINDOW = 8_192
"""Tokens of context at the most: llama.cpp takes the memory for all of them at once."""
SEEDS = 2**32 - 1  # the last one means a random seed to llama.cpp


class GgufModel:
    """A model in a .gguf file, with the tokenizer and the chat template that the file holds.

    Samples are drawn by llama.cpp's sampler, which cuts by top-k, top-p and min-p first and applies the temperature to
    what is left. Of a file in float32 the attention cache is in float32 too, else in float16.

    Args:
        file: The file.
        name: What a person called it.

    Raises:
        MissingExtraError: llama-cpp-python is not installed.
        RunError: llama.cpp does not load the file; the message says why.
    """

    def __init__(self, file: Path, name: str):
        if importlib.util.find_spec("llama_cpp") is None:
            raise MissingExtraError(f"model {name}", "llama-cpp-python", "gguf")
        import llama_cpp

        self.name, self.notes = name, []
        self._library = llama_cpp
        self._llama: Any = None
        settings: dict[str, Any] = {"model_path": str(file), "n_gpu_layers": -1, "verbose": False}
        with complaints() as heard:
            try:
                looked = llama_cpp.Llama(**settings, vocab_only=True)
                metadata = looked.metadata
                looked.close()
                trained = int(metadata.get(f"{metadata.get('general.architecture')}.context_length", WINDOW))
                if metadata.get("general.file_type") == "0":
                    settings |= {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}
                self._llama = llama_cpp.Llama(**settings, n_ctx=min(trained, WINDOW))
            except (ValueError, AssertionError, RuntimeError) as error:
                raise RunError(
                    f"model {name}: llama.cpp does not load it: {next(filter(None, heard), error)}"
                ) from None
        self._vocabulary = llama_cpp.llama_model_get_vocab(self._llama.model)
        self._limit = min(trained, WINDOW)
        if trained > WINDOW:
            self.notes.append(f"context: {WINDOW:,} of the {trained:,} tokens that the model can see")
        self._formatter = template(self._llama)
        spaced = metadata.get("tokenizer.ggml.add_space_prefix", "true") != "false"
        self._leading_space = metadata.get("tokenizer.ggml.model") == "llama" and spaced

    @property
    def has_template(self) -> bool:
        """Whether the file holds a chat template."""
        return self._formatter is not None

    @property
    def context(self) -> int:
        """As many tokens as memory was taken for."""
        return self._limit

    def render(self, messages: Messages) -> str:
        """A conversation by the file's chat template, up to where the assistant's turn begins.

        Raises:
            RequestError: The template refuses it.
        """
        import jinja2

        assert self._formatter is not None
        try:
            return str(self._formatter(messages=messages).prompt)
        except (jinja2.TemplateError, ValueError, TypeError, KeyError) as error:
            raise template_refuses(error) from None

    def tokens(self, text: str, rendered: bool) -> list[int]:
        """The tokens of a text; see `Served.tokens`."""
        return list(self._llama.tokenize(text.encode(), add_bos=not rendered, special=True))

    def decode(self, ids: list[int]) -> str:
        """The text of tokens; special ones are left out, and so is the space that SentencePiece begins a text with."""
        text = b"".join(map(self._piece, ids)).decode(errors="replace")
        return text.removeprefix(" ") if self._leading_space else text

    def ends(self, token: int) -> bool:
        """Whether a token ends a completion."""
        return bool(self._library.llama_vocab_is_eog(self._vocabulary, token))

    def generate(
        self, prompts: list[list[int]], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> list[list[int]]:
        """Complete each prompt `sampling.n` times, one after another; see `Served.generate`.

        Raises:
            RunError: llama.cpp failed.
        """
        made: list[list[int]] = []
        for prompt in prompts:
            self._llama.reset()  # what was asked before decides nothing, not even a last digit
            for _ in range(sampling.n):
                made.append(list(self._complete(prompt, sampling, len(made))))
                if progress:
                    progress(len(made))
        return made

    def stream(self, prompt: list[int], sampling: Sampling, hear: Callable[[list[int]], None]) -> None:
        """Complete a prompt once; what it has in common with the one before is not read again."""
        for token in self._complete(prompt, sampling, 0):
            hear([token])

    def close(self) -> None:
        """Free the model."""
        llama, self._llama = self._llama, None
        if llama is not None:
            llama.close()

    def _piece(self, token: int) -> bytes:
        """The bytes of a token; llama-cpp-python's own `detokenize` drops a token of more than 32 without a word."""
        size = 32
        while True:
            buffer = ctypes.create_string_buffer(size)
            written = self._library.llama_token_to_piece(self._vocabulary, token, buffer, size, 0, False)
            if written >= 0:
                return buffer.raw[:written]
            size = -written

    def _complete(self, prompt: list[int], sampling: Sampling, number: int) -> Iterator[int]:
        room = min(sampling.max_completion_length, self.context - len(prompt))
        seed = random.randrange(SEEDS) if sampling.seed is None else sampling.seed + number
        self._llama.set_seed(seed % SEEDS)
        tokens = self._llama.generate(
            prompt,
            temp=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p or 0.0,
            repeat_penalty=sampling.repetition_penalty,
        )
        try:
            for _, token in zip(range(room), tokens, strict=False):
                yield int(token)
                if self.ends(token):
                    return
        except (RuntimeError, ValueError) as error:
            raise RunError(f"model {self.name}: llama.cpp failed: {error}") from error
