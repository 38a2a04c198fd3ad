"""llama-cpp-python where it falls short: its log, and the chat template in a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ERROR = 4
"""llama.cpp's level of log lines that tell of a failure (its GGML_LOG_LEVEL_ERROR)."""


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Keep llama.cpp from writing to stderr, and collect the errors that it would write there."""
    import ctypes

    import llama_cpp
    from llama_cpp._logger import llama_log_callback

    heard: list[str] = []

    @llama_cpp.llama_log_callback
    def hear(level: int, text: bytes, _: Any) -> None:
        if level == ERROR:
            heard.append(text.decode(errors="replace").strip())

    llama_cpp.llama_log_set(hear, ctypes.c_void_p(0))
    try:
        yield heard
    finally:
        llama_cpp.llama_log_set(llama_log_callback, ctypes.c_void_p(0))


def template(llama: Any) -> Any:
    """What writes conversations by the template in a file, with its special tokens; None: the file holds none.

    Args:
        llama: A `llama_cpp.Llama`.
    """
    found = llama.metadata.get("tokenizer.chat_template")
    if not found:
        return None
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    begins, ends = (_token(llama, f"tokenizer.ggml.{which}_token_id") for which in ("bos", "eos"))
    return Jinja2ChatFormatter(template=found, bos_token=begins, eos_token=ends, add_generation_prompt=True)


def _token(llama: Any, key: str) -> str:
    """The token that the file names, as text; nothing where it names none (llama.cpp takes any one then)."""
    import llama_cpp

    number = llama.metadata.get(key)
    if not number:
        return ""
    found = llama_cpp.llama_vocab_get_text(llama_cpp.llama_model_get_vocab(llama.model), int(number))
    return found.decode() if found else ""
