"""A GGUF file, loaded again as those who receive it will: by llama.cpp, through llama-cpp-python."""

import weakref
from pathlib import Path
from typing import Any

from rlkit.errors import MissingExtraError, RunError
from rlkit.export.gguf.library import complaints, template

ROOM = 512
"""Tokens of context to begin with; a longer text makes more."""
BATCH = 512
"""Tokens that are computed at once."""


class GgufCopy:
    """What the parity gate asks of a copy, asked of a .gguf file. Keys and values are kept in float32.

    Args:
        file: The GGUF file.
        threads: How many compute; None: as llama.cpp likes.

    Raises:
        MissingExtraError: llama-cpp-python is not installed.
        RunError: llama.cpp cannot load the file.
    """

    def __init__(self, file: Path, threads: int | None = None):
        try:
            import llama_cpp
        except ImportError:
            raise MissingExtraError(f"loading {file.name}", "llama-cpp-python", "gguf") from None
        self.file = file
        self.threads = threads
        self._library = llama_cpp
        self._room = 0
        self._llama: Any = None
        self._closing: weakref.finalize[Any, Any] | None = None
        self._load(ROOM)

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself, as text."""
        return dict(self._llama.metadata)

    def tokens(self, text: str) -> list[int]:
        """Token ids of a text, special tokens in it read as such, none added."""
        return [int(n) for n in self._llama.tokenize(text.encode(), add_bos=False, special=True)] if text else []

    def render(self, messages: list[dict[str, str]]) -> str | None:
        """Messages by the chat template in the file, ready for the assistant's turn; None: there is none."""
        formatter = template(self._llama)
        if formatter is None:
            return None
        chat: Any = messages
        return str(formatter(messages=chat).prompt)

    def logits(self, ids: list[int]) -> Any:
        """What follows each token.

        Args:
            ids: At least one token.

        Returns:
            A numpy array, float32, (tokens, vocabulary): row i is of what follows token i.

        Raises:
            RunError: llama.cpp could not compute it.
        """
        import numpy

        if len(ids) > self._room:
            self._load(-(-len(ids) // ROOM) * ROOM)
        library, context = self._library, self._llama.ctx
        vocabulary = self._llama.n_vocab()
        memory = library.llama_get_memory(context)
        if memory is not None:
            library.llama_memory_clear(memory, True)
        rows = numpy.empty((len(ids), vocabulary), dtype=numpy.float32)
        batch = library.llama_batch_init(BATCH, 0, 1)
        try:
            for start in range(0, len(ids), BATCH):
                part = ids[start : start + BATCH]
                batch.n_tokens = len(part)
                for n, token in enumerate(part):
                    batch.token[n], batch.pos[n], batch.logits[n] = token, start + n, 1
                    batch.n_seq_id[n], batch.seq_id[n][0] = 1, 0
                code = library.llama_decode(context, batch)
                if code:
                    raise RunError(f"{self.file}: llama.cpp could not compute {len(ids)} tokens (its code is {code})")
                made = library.llama_get_logits(context)
                rows[start : start + len(part)] = numpy.ctypeslib.as_array(made, shape=(len(part), vocabulary))
        finally:
            library.llama_batch_free(batch)
        return rows

    def close(self) -> None:
        """Give its memory back."""
        if self._closing is not None:
            self._closing()

    def _load(self, room: int) -> None:
        library = self._library
        self.close()
        with complaints() as heard:
            try:
                self._llama = library.Llama(
                    model_path=str(self.file),
                    n_ctx=room,
                    n_batch=BATCH,
                    n_threads=self.threads,
                    n_threads_batch=self.threads,
                    type_k=library.GGML_TYPE_F32,
                    type_v=library.GGML_TYPE_F32,
                    verbose=False,
                )
            except (ValueError, RuntimeError, AssertionError) as error:
                # What comes first is the cause, the rest is what followed from it.
                why = next((line for line in heard if line), str(error))
                raise RunError(f"llama.cpp cannot load {self.file}: {why}") from None
        # Not left to the end of the interpreter, when what closing needs is gone.
        self._closing = weakref.finalize(self, self._llama.close)
        self._room = room
