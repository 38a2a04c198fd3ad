"""System prompts by name, and whether a chat template takes one."""

from collections.abc import Callable
from typing import Any

from rlkit import names
from rlkit.errors import RequestError

SYSTEM_PROMPTS = {
    "xml": (
        "Work the problem out first, then answer. Write it like this:\n"
        "<reasoning>\n...\n</reasoning>\n<answer>\n...\n</answer>"
    ),
    "think": (
        "Think about the problem first, then answer. Write your thoughts between <think> and </think>, "
        "and after them the answer alone between <answer> and </answer>."
    ),
}


def system_prompt(name_or_text: str | None) -> str | None:
    """The system prompt of that name; a text of several words is itself.

    Raises:
        RequestError: One word, and no prompt is called so.
    """
    if name_or_text is None or name_or_text in SYSTEM_PROMPTS:
        return SYSTEM_PROMPTS[name_or_text] if name_or_text else None
    if len(name_or_text.split()) > 1:
        return name_or_text
    raise RequestError(names.unknown("system prompt", name_or_text, SYSTEM_PROMPTS))


def takes_system(render: Callable[[list[dict[str, Any]]], str]) -> bool:
    """Whether a chat template, as `render` applies it, takes a system message: some refuse it, others drop it."""
    try:
        return "@system@" in render([{"role": "system", "content": "@system@"}, {"role": "user", "content": "?"}])
    except Exception:
        return False
