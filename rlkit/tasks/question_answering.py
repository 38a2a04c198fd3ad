"""Extractive question answering: the answer to a question is a span of a context, or there is none."""

import functools
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from rlkit.errors import RequestError
from rlkit.reply import said
from rlkit.tasks import spans
from rlkit.tasks.sentences import sentences
from rlkit.tasks.squad import f1, words
from rlkit.tasks.task import Example, Role, Task

UNANSWERABLE = "unanswerable"
"""What the face as text says where the context has no answer."""
UNREAD = "\ufffd"
"""Stands for a completion that says nothing: "" would be right where there is no answer."""


class QuestionAnswering(Task):
    """Which span of the context answers the question? (SQuAD; with `no_answer` the second version, SQuAD 2.0.)

    A prediction is a text; "" says that there is no answer.
    """

    name: ClassVar[str] = "question-answering"
    head: ClassVar[str] = "question-answering"
    metric: ClassVar[str] = "f1"
    roles: ClassVar[dict[str, Role]] = {
        "question": Role(("question",)),
        "context": Role(("context", "passage")),
        "answers": Role(("answers",), optional=True),
        "answer": Role(("answer",), optional=True),
        "id": Role(("id",), optional=True),
    }
    reward: ClassVar[tuple[str, dict[str, Any]]] = ("token_f1", {})

    max_length: int = Field(default=384, ge=8)
    """Tokens of a question and a window of its context; a longer context is read in several windows."""
    stride: int = Field(default=128, ge=0)
    """Tokens that a window shares with the next."""
    n_best: int = Field(default=20, ge=1)
    """The likeliest starts and ends of each window that are paired to spans."""
    max_answer_length: int = Field(default=30, ge=1)
    """Tokens of the longest answer."""
    no_answer: bool = False
    """Questions may have no answer, as in SQuAD 2.0. Without, those that have none are left out."""
    null_threshold: float = 0.0
    """With no_answer: by how much the score of "no answer" must exceed that of the best span."""
    instruction: str = "Answer the question with the shortest span of the text that answers it, word for word."
    """What the prompt says first; with no_answer, what to say where there is none follows."""

    @model_validator(mode="after")
    def _strides(self) -> Self:
        if self.stride >= self.max_length:
            raise ValueError(f"stride {self.stride} leaves no new token in a window of max_length {self.max_length}")
        return self

    def read(self, example: Example) -> Example | str:
        """Question, context and `answers` as {"text": [...], "answer_start": [...]}; no starts of a plain `answer`."""
        question, context = example.get("question"), example.get("context")
        if not isinstance(question, str) or not question.strip():
            return "without a question"
        if not isinstance(context, str) or not context.strip():
            return "without a context"
        given, plain = example.get("answers"), example.get("answer")
        if "answers" not in example and "answer" not in example:
            return "without a column answers, or answer"
        if given is None:
            given = {"text": plain if isinstance(plain, list) else [] if plain is None else [str(plain)]}
        listed = given.get("text") if isinstance(given, dict) else None
        if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
            return 'whose answers are no {"text": [...], "answer_start": [...]}'
        starts = given.get("answer_start") or [None] * len(listed)
        if len(starts) != len(listed):
            return "whose answers differ in number from their starts"
        pairs = []
        for text, start in zip(listed, starts, strict=True):
            if start is not None and context[start : start + len(text)] != text:
                return "whose answer does not stand in the context at answer_start"
            if text.strip():
                pairs.append((text.strip(), start if start is None else start + len(text) - len(text.lstrip())))
        if not pairs and not self.no_answer:
            return "without an answer"
        answers = {"text": [text for text, _ in pairs], "answer_start": [at for _, at in pairs if at is not None]}
        kept = {"id": str(example["id"])} if example.get("id") is not None else {}
        return {**kept, "question": question.strip(), "context": context, "answers": answers}

    def texts(self, example: Example) -> list[str]:
        """Context and question."""
        return [example["context"], example["question"]]

    def features(self, examples: Any, tokenizer: Any, training: bool) -> Any:
        """Windows of question and context; to train on, with the answer's first and last token.

        A window without the (whole) answer points at the token CLS twice. The others have the number of their
        `example`, and `offsets`: where in the context each token stands, None for those that are not of it.

        Raises:
            RequestError: The tokenizer tells no offsets; or the answers that are to be trained on have no starts.
        """
        if not tokenizer.is_fast:
            raise RequestError(f"{self.name} needs a fast tokenizer, which tells where in the text a token stands")

        def encode(batch: Example, numbers: list[int]) -> Example:
            made = tokenizer(
                spans.cut(batch["question"], tokenizer, self.max_length, self.stride),
                batch["context"],
                truncation="only_second",
                max_length=self.max_length,
                stride=self.stride,
                return_overflowing_tokens=True,
                return_offsets_mapping=True,
            )
            rows, offsets = made.pop("overflow_to_sample_mapping"), made.pop("offset_mapping")
            of_context = [
                spans.of_context(each, made.sequence_ids(window), batch["context"][row])
                for window, (each, row) in enumerate(zip(offsets, rows, strict=True))
            ]
            if not training:
                return {**made, "example": [numbers[row] for row in rows], "offsets": of_context}
            found = [
                spans.tokens(each, _where(batch["answers"][row])) or (spans.null(ids, tokenizer),) * 2
                for each, row, ids in zip(of_context, rows, made["input_ids"], strict=True)
            ]
            return {**made, "start_positions": [s for s, _ in found], "end_positions": [e for _, e in found]}

        return examples.map(encode, batched=True, with_indices=True, remove_columns=examples.column_names)

    def collator(self, tokenizer: Any, model: Any) -> Any:
        """Pads on the right, whatever side the tokenizer has: so places in the window are places in the batch."""
        return functools.partial(spans.padded, tokenizer)

    def predict(self, outputs: Any, features: Any, examples: Any, tokenizer: Any) -> list[str]:
        """The likeliest span over all windows of an example, by the sum of its start's and its end's logit.

        With no_answer: "" where the null score (both at CLS, the least of the windows) is above it by more than
        null_threshold.
        """
        best: list[tuple[float, str]] = [(float("-inf"), "")] * len(examples)
        null = [float("inf")] * len(examples)
        contexts = list(examples["context"])
        for feature, starts, ends in zip(features, *outputs[:2], strict=True):
            row, cls = feature["example"], spans.null(feature["input_ids"], tokenizer)
            null[row] = min(null[row], float(starts[cls] + ends[cls]))
            score, span = spans.best(starts, ends, feature["offsets"], self.n_best, self.max_answer_length)
            if span and score > best[row][0]:
                best[row] = (score, contexts[row][slice(*span)].strip())
        pairs = zip(best, null, strict=True)
        return ["" if self.no_answer and none - score > self.null_threshold else text for (score, text), none in pairs]

    def prompt(self, example: Example) -> str:
        """The instruction, the context, then the question."""
        none = f' If the text does not say it, answer "{UNANSWERABLE}".' if self.no_answer else ""
        return f"{self.instruction}{none}\n\nText: {example['context']}\n\nQuestion: {example['question']}"

    def target(self, example: Example) -> str:
        """The first answer; "unanswerable" where there is none."""
        return next(iter(example["answers"]["text"]), UNANSWERABLE)

    def columns(self, example: Example) -> Example:
        """All answers: the best counts."""
        return {"answer": example["answers"]["text"] or [UNANSWERABLE]}

    def parse(self, completion: str, example: Example) -> str | None:
        """What it says; "" for "unanswerable", with no_answer."""
        text = said(completion)[:20_000]
        return "" if self.no_answer and words(text) == [UNANSWERABLE] else text or None

    def unread(self, example: Example) -> str:
        """No answer of any question, not even where there is none."""
        return UNREAD

    def measure(self, predictions: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        """Exact match and F1 of words as SQuAD defines them, from 0 to 1 (its script: 0 to 100).

        With no_answer also the two for the questions that have an answer, and for those that have none.
        """
        exact = [
            float(max(words(text) == gold for gold in golds)) for text, golds in self._pairs(predictions, examples)
        ]
        found = {"exact_match": exact, "f1": self.scores(predictions, examples)}
        figures = {name: sum(values) / max(len(values), 1) for name, values in found.items()}
        for kind, has in (("has_answer", True), ("no_answer", False)) if self.no_answer else ():
            rows = [row for row, example in enumerate(examples) if bool(example["answers"]["text"]) == has]
            for name, values in found.items() if rows else ():
                figures[f"{name}_{kind}"] = sum(values[row] for row in rows) / len(rows)
        return figures

    def scores(self, predictions: Sequence[Any], examples: Sequence[Example]) -> list[float]:
        """F1 of each; of several answers the best counts."""
        pairs = self._pairs(predictions, examples)
        return [max(f1(words(text), gold, float(self.no_answer)) for gold in golds) for text, golds in pairs]

    def baseline(self, training: Sequence[Example], examples: Sequence[Example]) -> tuple[str, list[str]]:
        """The sentence of the context with most of the question's words; with no_answer, that there is none ever."""
        if self.no_answer:
            return "never an answer", [""] * len(examples)
        return "sentence nearest the question", [_nearest(example) for example in examples]

    def _pairs(self, predictions: Sequence[Any], examples: Sequence[Example]) -> list[tuple[str, list[list[str]]]]:
        """Each prediction with the words of the answers; in SQuAD 2.0 an answer without words is none."""
        golds = [[words(text) for text in example["answers"]["text"]] for example in examples]
        if self.no_answer:
            golds = [[gold for gold in each if gold] or [[]] for each in golds]
        return list(zip(predictions, golds, strict=True))


def _where(answers: Example) -> spans.Span | None:
    """First character of the first answer, and the one after its last; None where there is no answer."""
    if not answers["text"]:
        return None
    if not answers["answer_start"]:
        raise RequestError(
            "question-answering: the classic pipeline learns where an answer stands, and this data has answers "
            'without a place; give a column answers as {"text": [...], "answer_start": [...]}, or train on the text '
            "(a stage sft or grpo)"
        )
    return answers["answer_start"][0], answers["answer_start"][0] + len(answers["text"][0])


def _nearest(example: Example) -> str:
    asked = {*words(example["question"])}
    return max(sentences(example["context"]), key=lambda sentence: len(asked & {*words(sentence)}), default="")
