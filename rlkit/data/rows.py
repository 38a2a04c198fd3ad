"""Rows of any dataset as the prompts, answers and demonstrations that training and evaluation take.

`rlkit.sources` loads them. A row that cannot be used (empty, too long, no answer in it) is left out and counted,
never crashed on. The chat template is applied in one place, `render`; training gives TRL conversations, and TRL
applies the same.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rlkit import names
from rlkit.answers import THINKING
from rlkit.data.templates import columns_in, fill
from rlkit.data.where import unknown, where
from rlkit.errors import RequestError
from rlkit.prompts import system_prompt, takes_system
from rlkit.recipe.data import DataSection
from rlkit.sources import quiet

if TYPE_CHECKING:
    from datasets import Dataset

RESERVED = ("completion", "completions", "prompts", "completion_ids", "image", "images")
"""Columns that mean something else to the trainer; a dataset's own are left out."""
REASON = "_left_out"


@dataclass
class Prepared:
    """Rows that can be used, and how many could not be, by reason."""

    dataset: "Dataset"
    left_out: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        rows = f"{len(self.dataset):,} rows"
        if not self.left_out:
            return rows
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.most_common())
        return f"{rows}; {sum(self.left_out.values()):,} left out: {reasons}"


def missing(section: DataSection, has: Iterable[str], kind: str, needed: Iterable[str] = ()) -> list[str]:
    """What a stage asks of columns that the data does not have, one sentence each.

    Args:
        section: `data:` of the stage.
        has: Columns of the dataset.
        kind: The stage's kind; sft reads demonstrations, the others answers.
        needed: Columns that the rewards need.
    """
    has = list(has)
    asked = {}
    if kind == "sft" and section.messages:
        asked["messages"] = [section.messages]
    else:
        asked["prompt"] = columns_in(section.prompt)
        if kind == "sft" and section.completion:
            asked["completion"] = columns_in(section.completion)
    rule = section.answer_rule()
    if rule and kind != "sft":
        asked["answer"] = columns_in(rule.column)
    for name, template in section.columns.items():
        asked[f"columns.{name}"] = columns_in(template)
    problems = [
        f"data.{key}: {names.unknown('column', column, has, 'it has ' + ', '.join(has))}"
        for key, wanted in asked.items()
        for column in wanted
        if column not in has
    ]
    problems += unknown(section, has)
    made = {*has, *section.columns, "prompt", *(["answer"] if rule else [])}
    for column in needed:
        if column not in made:
            hint = "set data.answer" if column == "answer" else f"set data.columns: {{{column}: ...}}"
            problems.append(f"a reward needs the column {column!r}; the data has {', '.join(has)} ({hint})")
    return problems


def prompts(dataset: "Dataset", section: DataSection, tokenizer: Any) -> Prepared:
    """Rows for GRPO and evaluation: `prompt`, `answer` where the section has one, and every other column.

    Prompts are conversations where the tokenizer has a chat template, else plain text.
    """
    dataset = where(dataset, section)
    rule, make = section.answer_rule(), _prompt_maker(section, tokenizer)
    take = _answer_taker(rule.after, rule.regex) if rule else None

    def prepare(row: dict[str, Any]) -> dict[str, Any]:
        prompt = make(row)
        made = {"prompt": prompt if prompt is not None else _nothing(section, tokenizer)}
        for name, template in section.columns.items():
            made[name] = row[template] if template in row else fill(template, row)
        reason = "with an empty prompt" if prompt is None else ""
        if rule and take:
            answer = take(fill(rule.column, row))
            made["answer"] = answer or ""
            if answer is None:
                reason = reason or "without an answer"
        return {**made, REASON: reason or _too_long(section, tokenizer, prompt)}

    return keep(dataset, section, prepare, remove=[name for name in RESERVED if name in dataset.column_names])


def demonstrations(dataset: "Dataset", section: DataSection, tokenizer: Any) -> Prepared:
    """Rows for SFT, in the format that TRL's SFTTrainer takes: `messages`, or `prompt` and `completion`."""
    dataset = where(dataset, section)
    column, template = section.messages, section.completion
    chat = uses_chat(section, tokenizer)
    if column:
        if not chat:
            raise RequestError(f"data.messages: the model's tokenizer has no chat template to write {column!r} with")
        system = system_prompt(section.system)

        def prepare(row: dict[str, Any]) -> dict[str, Any]:
            messages = row.get(column) or []
            if not _is_conversation(messages):
                raise RequestError(f"data.messages: the column {column!r} holds no conversations ({{role, content}})")
            answered = any(message.get("role") == "assistant" and message.get("content") for message in messages)
            reason = "" if answered else "without an answer of the assistant"
            return {"messages": _with_system(messages, system), REASON: reason}

    else:
        make = _prompt_maker(section, tokenizer)

        def prepare(row: dict[str, Any]) -> dict[str, Any]:
            prompt, given = make(row), row.get(template or "")
            if chat and given and _is_conversation(given):
                completion, empty = given, False
            else:
                text = fill(template or "", row)
                completion, empty = [{"role": "assistant", "content": text}] if chat else text, not text.strip()
            reason = "with an empty prompt" if prompt is None else "with an empty completion" if empty else ""
            reason = reason or _too_long(section, tokenizer, prompt)
            return {"prompt": prompt or _nothing(section, tokenizer), "completion": completion, REASON: reason}

    return keep(dataset, section, prepare, remove=dataset.column_names)


def texts(dataset: "Dataset", section: DataSection) -> Iterator[str]:
    """Every text of a dataset, piece by piece as messages hold them: what a tokenizer is trained on."""
    system = system_prompt(section.system)
    for row in where(dataset, section):
        if section.messages:
            yield from (message.get("content") or "" for message in row.get(section.messages) or [])
            continue
        prompt = row.get(section.prompt)
        if isinstance(prompt, list):
            yield from (text for message in prompt if (text := message.get("content")))
            continue
        yield from filter(None, (system, fill(section.prompt, row)))
        if section.completion:
            yield fill(section.completion, row)


def uses_chat(section: DataSection, tokenizer: Any) -> bool:
    """Whether prompts become conversations."""
    return section.chat and bool(tokenizer.chat_template)


def render(tokenizer: Any, prompt: Any) -> list[int]:
    """The token ids of a prompt as the policy sees it: the chat template applied, ready for the assistant's turn."""
    if isinstance(prompt, str):
        return list(tokenizer(prompt)["input_ids"])
    return list(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"])


def prefill(section: DataSection, tokenizer: Any) -> str:
    """What the chat template itself writes of the answer: an opening tag such as `<think>`, else nothing."""
    if not uses_chat(section, tokenizer):
        return ""
    messages = [{"role": "user", "content": "?"}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    for opening in THINKING:
        at = text.rfind(opening)
        if at >= 0 and not text[at + len(opening) :].strip():
            return text[at:]
    return ""


def _prompt_maker(section: DataSection, tokenizer: Any) -> Callable[[dict[str, Any]], Any]:
    """Row -> prompt: a conversation with a chat template, else a text; None where it is empty."""
    system = system_prompt(section.system)
    chat = uses_chat(section, tokenizer)
    fold = (
        chat
        and system is not None
        and not takes_system(lambda messages: tokenizer.apply_chat_template(messages, tokenize=False))
    )

    def make(row: dict[str, Any]) -> Any:
        value = row.get(section.prompt)
        if isinstance(value, list):
            if not chat:
                raise RequestError("data.prompt: prompts are conversations, and the tokenizer has no chat template")
            asked = any(isinstance(m, dict) and m.get("content") for m in value)
            return _with_system(value, system) if asked else None
        text = fill(section.prompt, row)
        if not text.strip():
            return None
        if not chat:
            return f"{system}\n\n{text}" if system else text
        if fold:
            return [{"role": "user", "content": f"{system}\n\n{text}"}]
        return _with_system([{"role": "user", "content": text}], system)

    return make


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(message, dict) and "role" in message for message in value)


def _too_long(section: DataSection, tokenizer: Any, prompt: Any) -> str:
    """The reason to leave a prompt out, "" where it is short enough."""
    limit = section.max_prompt_length
    return "with a prompt that is too long" if limit and len(render(tokenizer, prompt)) > limit else ""


def _with_system(messages: list[dict[str, Any]], system: str | None) -> list[dict[str, Any]]:
    if system is None or (messages and messages[0].get("role") == "system"):
        return messages
    return [{"role": "system", "content": system}, *messages]


def _nothing(section: DataSection, tokenizer: Any) -> Any:
    return [{"role": "user", "content": ""}] if uses_chat(section, tokenizer) else ""


def _answer_taker(after: str | None, regex: str | None) -> Callable[[Any], str | None]:
    pattern = re.compile(regex) if regex else None

    def take(value: Any) -> str | None:
        text = "" if value is None else str(value)
        if after is not None:
            _, mark, text = text.rpartition(after)
            text = text if mark else ""
        elif pattern is not None:
            matches = list(pattern.finditer(text))
            text = (matches[-1].group(1 if pattern.groups else 0) or "") if matches else ""
        return text.strip() or None

    return take


def keep(dataset: "Dataset", section: DataSection, prepare: Any, remove: list[str]) -> Prepared:
    """The rows as `prepare` writes them, but those for which its REASON is not empty; these are counted.

    Raises:
        RequestError: None is left.
    """
    left_out: Counter[str] = Counter()

    def batch(rows: Any) -> dict[str, list[Any]]:
        given = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
        made = [{name: row[name] for name in row if name not in remove} | prepare(row) for row in given]
        left_out.update(row[REASON] for row in made if row[REASON])
        usable = [row for row in made if not row[REASON]]  # the others may have columns of other types
        names = dict.fromkeys(name for row in usable for name in row if name != REASON)
        return {name: [row.get(name) for row in usable] for name in names} or {REASON: []}

    small = len(dataset) < 200_000  # more go through datasets' cache on disk
    with quiet():
        kept = dataset.map(
            batch,
            batched=True,
            remove_columns=dataset.column_names,
            load_from_cache_file=False,
            keep_in_memory=small,
        )
    if len(kept) == 0:
        raise RequestError(f"data {section.path}: no row can be used: {Prepared(kept, left_out)}")
    if section.limit:
        kept = kept.select(range(min(section.limit, len(kept))))
    return Prepared(kept, left_out)
