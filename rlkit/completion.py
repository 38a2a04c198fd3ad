"""A completion, which TRL gives as a text or as a list of messages."""

from typing import Any


def text_of(completion: Any) -> str:
    """Its plain text: what the assistant wrote."""
    if isinstance(completion, str):
        return completion
    parts = []
    for message in completion:
        if message.get("role", "assistant") == "assistant":
            content = message.get("content") or ""
            parts += [content] if isinstance(content, str) else [part.get("text", "") for part in content]
    return "".join(parts)


def messages_of(completion: Any) -> Any:
    """Its messages: a text is what the assistant wrote."""
    return [{"role": "assistant", "content": completion}] if isinstance(completion, str) else completion


def prefilled(completion: Any, prefill: str) -> Any:
    """With what the chat template wrote of it (`<think>`) in front."""
    if not prefill:
        return completion
    if isinstance(completion, str):
        return prefill + completion
    return [{**completion[0], "content": prefill + (completion[0].get("content") or "")}, *completion[1:]]
