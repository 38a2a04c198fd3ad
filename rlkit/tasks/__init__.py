"""The supervised tasks: each warms models up (SFT), rewards them (GRPO), measures them, and has a classic pipeline."""

import importlib
import inspect
from typing import Any

from pydantic import ValidationError

from rlkit import names
from rlkit.errors import RequestError
from rlkit.tasks.task import Example, Role, Task

TASKS = {
    "text-classification": "text_classification:TextClassification",
    "token-classification": "token_classification:TokenClassification",
    "masked-lm": "masked_lm:MaskedLM",
    "causal-lm": "causal_lm:CausalLM",
    "question-answering": "question_answering:QuestionAnswering",
    "translation": "translation:Translation",
    "summarization": "summarization:Summarization",
    "sft": "chat:Chat",
}

__all__ = ["TASKS", "Example", "Role", "Task", "described", "find", "make", "summary"]


def find(name: str) -> type[Task]:
    """A task's class.

    Raises:
        RequestError: There is none of that name.
    """
    if name not in TASKS:
        raise RequestError(names.unknown("task", name, TASKS, "see `rlkit ls tasks`"))
    module, _, attribute = TASKS[name].partition(":")
    return getattr(importlib.import_module(f"rlkit.tasks.{module}"), attribute)


def summary(name: str) -> str:
    """What a task is, in a line."""
    return (find(name).__doc__ or "").strip().split("\n")[0]


def described(name: str) -> dict[str, Any]:
    """A task whole: columns and their usual names, parameters with their defaults, what it is, where it stands."""
    kind = find(name)
    roles = {f"{role} (optional)" if usual.optional else role: list(usual.names) for role, usual in kind.roles.items()}
    return {
        "kind": "task",
        "name": name,
        "columns": roles,
        "parameters": {key: field.default for key, field in kind.model_fields.items()},
        "metric": kind.metric,
        "reward": kind.reward[0] if kind.reward else None,
        "doc": inspect.cleandoc(kind.__doc__ or ""),
        "source": inspect.getsourcefile(kind),
    }


def make(entry: str | dict[str, Any]) -> Task:
    """The task that a recipe names: a name, or {name: {parameter: value}}.

    Raises:
        RequestError: There is no such task, or it has no such parameter.
    """
    if isinstance(entry, dict) and len(entry) != 1:
        raise RequestError(f"a task is a name, or {{name: {{parameter: value}}}}, and this is {entry!r}")
    name, parameters = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
    kind = find(name)
    try:
        return kind.model_validate(parameters or {})
    except ValidationError as error:
        said = [_said(kind, problem) for problem in error.errors()]
        raise RequestError("\n".join(f"task {name}: {line}" for line in said)) from None


def _said(kind: type[Task], problem: Any) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return names.unknown("parameter", path, kind.model_fields)
    return f"{path}: {problem['msg'].removeprefix('Value error, ')}" if path else str(problem["msg"])
