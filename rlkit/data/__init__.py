"""Rows of any dataset as the prompts, answers, demonstrations and examples that training and evaluation take."""

from rlkit.data.examples import AS_TEXT, as_text, examples, roles
from rlkit.data.rows import Prepared, demonstrations, missing, prefill, prompts, render, texts, uses_chat
from rlkit.data.templates import fill

__all__ = [
    "AS_TEXT",
    "Prepared",
    "as_text",
    "demonstrations",
    "examples",
    "fill",
    "missing",
    "prefill",
    "prompts",
    "render",
    "roles",
    "texts",
    "uses_chat",
]
