"""Conversations: the assistant's last turn is learnt, and compared with."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from rlkit.tasks.task import Example, Role, Task
from rlkit.tasks.token_f1 import token_f1

Message = dict[str, str]

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "function_response": "tool",
    "ipython": "tool",
}
"""What datasets call who speaks (OpenAI's names, ShareGPT's), and whom they mean."""
CALLS = ("function_call", "tool_call")
"""Turns whose whole text is the JSON of a call, or of several."""


class Chat(Task):
    """What does the assistant say next? Learnt by TRL's SFTTrainer, on whole conversations or their answers alone.

    There is no head of its own and so no `features`: a stage trains on the rows of `messages`. Tools, calls and what
    came of them are written as text, in the form that Qwen's and Hermes' templates give them, so that every chat
    template takes them, and a column of conversations holds nothing but texts.
    """

    name: ClassVar[str] = "sft"
    head: ClassVar[str] = "causal-lm"
    metric: ClassVar[str] = "token_f1"
    roles: ClassVar[dict[str, Role]] = {
        "messages": Role(("messages", "conversations", "conversation")),
        "tools": Role(("tools", "functions"), optional=True),
    }
    reward: ClassVar[tuple[str, dict[str, Any]]] = ("token_f1", {})
    classic: ClassVar[bool] = False

    call: str = "<tool_call>\n{call}\n</tool_call>"
    """How a call of a tool is written; {call} stands for its JSON, {"name": ..., "arguments": {...}}."""
    response: str = "<tool_response>\n{response}\n</tool_response>"
    """How what a tool returned is written, in a turn of the user."""
    instruction: str = (
        "These tools can be called:\n{tools}\nTo call one, answer with its name and arguments as JSON:\n{call}"
    )
    """What the system message says where a conversation has tools: {tools} stands for their descriptions, a line each,
    {call} for the form of a call."""

    def read(self, example: Example) -> Example | str:
        """The conversation up to the assistant's last turn, as messages {role, content}, of texts alone."""
        turns = _json(example["messages"])
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            return "without a conversation"
        messages = []
        for turn in turns:
            read = self._message(turn)
            if isinstance(read, str):
                return read
            messages.append(read)
        answers = [i for i, message in enumerate(messages) if message["role"] == "assistant" and message["content"]]
        if not answers:
            return "without an answer of the assistant"
        messages = messages[: answers[-1] + 1]
        if not any(message["role"] == "user" for message in messages):
            return "in which nobody asks"
        tools = _tools(_json(example.get("tools")))
        if isinstance(tools, str):
            return tools
        return {"messages": self._with_tools(messages, tools) if tools else messages}

    def texts(self, example: Example) -> list[str]:
        """What was said."""
        return [message["content"] for message in example["messages"]]

    def messages(self, example: Example) -> list[Message]:
        """The whole conversation: a row of what SFTTrainer takes as `messages`."""
        return [{"role": message["role"], "content": message["content"]} for message in example["messages"]]

    def prompt(self, example: Example) -> list[Message]:
        """All messages before the last. Unlike other tasks' prompts this is a list: a conversation, not a text."""
        return self.messages(example)[:-1]

    def target(self, example: Example) -> str:
        """The assistant's last turn; calls of tools as `call` writes them."""
        return str(example["messages"][-1]["content"])

    def parse(self, completion: str, example: Example) -> str | None:
        """The completion."""
        return completion.strip() or None

    def unread(self, example: Example) -> str:
        """Nothing said."""
        return ""

    def measure(self, predictions: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        """The mean token F1 with the assistant's own words."""
        return {"token_f1": sum(self.scores(predictions, examples)) / max(len(examples), 1)}

    def scores(self, predictions: Sequence[Any], examples: Sequence[Example]) -> list[float]:
        """The token F1 of each."""
        return token_f1(predictions, [self.target(example) for example in examples])

    def baseline(self, training: Sequence[Example], examples: Sequence[Example]) -> tuple[str, list[Any]]:
        """The commonest last turn of the training data."""
        commonest = Counter(self.target(example) for example in training).most_common(1)[0][0]
        return "commonest answer", [commonest] * len(examples)

    def _message(self, turn: dict[str, Any]) -> Message | str:
        """A turn as a message, or why the conversation is left out."""
        said = str(turn.get("role") or turn.get("from") or "").lower()
        if said not in ROLES:
            return "with a turn of an unknown role"
        role, content = ROLES[said], _text(turn["content"] if "content" in turn else turn.get("value"))
        calls = turn.get("tool_calls") or ([turn["function_call"]] if turn.get("function_call") else [])
        if said in CALLS:
            calls, content = _json(content), ""
        calls = _json(calls)
        written = [_call(call) for call in (calls if isinstance(calls, list) else [calls])]
        if None in written:
            return "with a tool call that cannot be read"
        parts = [content] if content else []
        parts += [self.call.replace("{call}", call) for call in written if call]
        content = "\n".join(parts)
        if role == "tool":  # few templates know this role, and those of Qwen write it so
            return {"role": "user", "content": self.response.replace("{response}", content)}
        return {"role": role, "content": content}

    def _with_tools(self, messages: list[Message], tools: list[Any]) -> list[Message]:
        form = self.call.replace("{call}", '{"name": ..., "arguments": {...}}')
        listed = "\n".join(_dumped(tool) for tool in tools)
        text = self.instruction.replace("{call}", form).replace("{tools}", listed)
        if messages[0]["role"] != "system":
            return [{"role": "system", "content": text}, *messages]
        first = {"role": "system", "content": "\n\n".join(filter(None, (messages[0]["content"], text)))}
        return [first, *messages[1:]]


def _json(value: Any) -> Any:
    """What a text holds as JSON, where it does; other values as they are."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _text(content: Any) -> str:
    """A message's text; of several parts, those that are text."""
    if isinstance(content, list):
        return "\n".join(part.get("text") or "" if isinstance(part, dict) else str(part) for part in content).strip()
    if isinstance(content, dict):
        return _dumped(content)
    return "" if content is None else str(content)


def _call(call: Any) -> str | None:
    """The JSON of a call, {"name", "arguments"}; None where it is none."""
    inner = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        return None
    arguments = _json(inner.get("arguments", inner.get("parameters")))
    if arguments is not None and not isinstance(arguments, dict):
        return None
    return _dumped({"name": inner["name"], "arguments": arguments or {}})


def _tools(tools: Any) -> list[Any] | str:
    """The tools' descriptions, or why the conversation is left out."""
    if not tools:
        return []
    listed = tools if isinstance(tools, list) else [tools]
    listed = [_json(tool) for tool in listed]
    return listed if all(isinstance(tool, dict) for tool in listed) else "with tools that cannot be read"


def _dumped(value: Any) -> str:
    return json.dumps(_without_nothing(value), ensure_ascii=False)


def _without_nothing(value: Any) -> Any:
    """Without keys that have no value: a table gives each object the keys of all others."""
    if isinstance(value, dict):
        return {key: _without_nothing(inner) for key, inner in value.items() if inner is not None}
    return [_without_nothing(inner) for inner in value] if isinstance(value, list) else value
