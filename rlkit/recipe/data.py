"""`data:` where prompts, answers and demonstrations come from."""

import re
from typing import Annotated, Any

from pydantic import Field, model_validator

from rlkit.recipe.section import Section

Value = str | int | float | bool
Where = Value | Annotated[list[Value], Field(min_length=1)]

OF_THE_PATH = ("name", "split", "revision", "args")
"""Fields that mean something for one path only; another path starts without them."""


class AnswerRule(Section):
    """How the answer is taken out of a column."""

    column: str = "answer"
    """The column it stands in."""
    after: str | None = None
    """It is what follows the last such mark, as `####` in GSM8K."""
    regex: str | None = None
    """It is the first group of the last match, or the whole match."""

    @model_validator(mode="after")
    def _one_way(self) -> "AnswerRule":
        if self.after is not None and self.regex is not None:
            raise ValueError("set after or regex, not both")
        if self.after == "":
            raise ValueError("after is empty: name the mark that the answer follows, as ####")
        try:
            re.compile(self.regex or "")
        except re.error as error:
            raise ValueError(f"regex {self.regex!r}: {error}") from None
        return self


class DataSection(Section):
    """A dataset, and which of its columns say what."""

    path: str | None = None
    """Hub id, file or folder (jsonl, json, csv, tsv, parquet, arrow, txt, conll), or generator (module:function)."""
    name: str | None = None
    """Configuration of a hub dataset."""
    split: str = "train"
    """Split, or a slice of one: train[:1000]."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the generator."""
    where: dict[str, Where] = Field(default_factory=dict)
    """Only rows whose column has this value, or one of these, as {subject: [anatomy, virology]}."""
    limit: int | None = Field(default=None, ge=1)
    """Take the first so many rows that can be used."""
    prompt: str = "prompt"
    """Column with the prompt (text or messages), or a template with columns in braces: "Translate: {text}"."""
    completion: str | None = None
    """Column or template with the demonstration, for sft."""
    messages: str | None = None
    """Column with whole conversations, for sft; then prompt and completion are not used."""
    answer: str | AnswerRule | None = None
    """The right answer: a column, "after:####", "regex:...", or {column, after, regex}. Rewards see it as `answer`."""
    columns: dict[str, str] = Field(default_factory=dict)
    """More columns for rewards, new name: column or template, as {solution: answer}."""
    system: str | None = None
    """System prompt: a name (xml, think) or the text itself."""
    chat: bool = True
    """Write prompts with the tokenizer's chat template, where it has one."""
    max_prompt_length: int | None = Field(default=None, ge=1)
    """Leave out prompts longer than so many tokens."""

    @model_validator(mode="after")
    def _answer_is_a_rule(self) -> "DataSection":
        self.answer_rule()
        reserved = {"prompt", "completion", "completions", "prompts", "completion_ids", "trainer_state"} & {
            *self.columns
        }
        if reserved:
            raise ValueError(f"columns: {', '.join(sorted(reserved))} is what the trainer makes; choose another name")
        return self

    def wanted(self) -> dict[str, list[str]]:
        """`where`, each value a text in a list."""
        return {
            name: list(map(str, given if isinstance(given, list) else [given])) for name, given in self.where.items()
        }

    def answer_rule(self) -> AnswerRule | None:
        """The answer's rule, its short form spelt out."""
        if self.answer is None or isinstance(self.answer, AnswerRule):
            return self.answer
        for key in ("after", "regex"):
            if self.answer.startswith(key + ":"):
                return AnswerRule(**{key: self.answer[len(key) + 1 :]})
        return AnswerRule(column=self.answer)
