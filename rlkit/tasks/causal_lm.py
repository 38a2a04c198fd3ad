"""Causal language modelling: each token of a text is predicted from those before it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from rlkit.errors import RequestError
from rlkit.tasks.language import Language
from rlkit.tasks.task import Example
from rlkit.tasks.token_f1 import token_f1


class CausalLM(Language):
    """How does a text go on? Prose or code; with key tokens, chunks that hold more of them count for more.

    A model's perplexity measures the classic pipeline. As text, a completion is compared with the document's own
    continuation, and the figure is `text_metric`.
    """

    name: ClassVar[str] = "causal-lm"
    head: ClassVar[str] = "causal-lm"
    reward: ClassVar[tuple[str, dict[str, Any]]] = ("token_f1", {})
    text_metric: ClassVar[str] = "token_f1"
    """What `measure` gives for completions, whose perplexity is not known; the greater the better."""

    key_tokens: list[str] = Field(default_factory=list)
    """Words that matter more, such as the names of a library. A chunk weighs 1 + key_weight * (times that they occur),
    over the mean weight of its batch. A name inside a longer one does not count."""
    key_weight: float = Field(default=1.0, ge=0)
    """What one occurrence adds to a chunk's weight."""
    prompt_share: float = Field(default=0.5, gt=0, lt=1)
    """The share of a document's beginning that the prompt shows, cut at white space."""
    characters: int = Field(default=1000, ge=2)
    """How many characters of a document the beginning is."""
    continuation: int = Field(default=32, ge=1)
    """Words that the target has at the most."""

    def read(self, example: Example) -> Example | str:
        """The text, of two words or more: one to go on from, and one to say."""
        read = super().read(example)
        return "of fewer than two words" if isinstance(read, dict) and len(read["text"].split()) < 2 else read

    # The classic face

    def encode(self, batch: Example, tokenizer: Any, training: bool) -> dict[str, list[list[int]]]:
        """Each document's tokens, and an end-of-text token after it; for evaluation, the bytes that each stands for."""
        end = tokenizer.eos_token_id
        if end is None:
            raise RequestError(
                f"task {self.name}: the tokenizer has no end-of-text token (eos_token) for documents' ends"
            )
        placed = not training and tokenizer.is_fast
        made = tokenizer(
            batch["text"],
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_offsets_mapping=placed,
            verbose=False,
        )
        columns = {"input_ids": [[*ids, end] for ids in made["input_ids"]]}
        if placed:
            columns["spans"] = [_bytes(*pair) for pair in zip(batch["text"], made["offset_mapping"], strict=True)]
        return columns

    def finish(self, chunks: Any, tokenizer: Any, training: bool) -> Any:
        """With `weights` where there are key tokens to train on, and with `bytes` for evaluation."""
        if not training:
            if "spans" not in chunks.column_names:
                return chunks
            return chunks.map(lambda row: {"bytes": sum(row["spans"][1:])}, remove_columns=["spans"])
        if not self.key_tokens:
            return chunks
        keys = re.compile("|".join(map(_word, sorted(self.key_tokens, key=len, reverse=True))))

        def weigh(batch: Example) -> dict[str, list[float]]:
            texts = tokenizer.batch_decode(batch["input_ids"], clean_up_tokenization_spaces=False)
            return {"weights": [1 + self.key_weight * len(keys.findall(text)) for text in texts]}

        weighed = chunks.map(weigh, batched=True)
        if max(weighed["weights"]) == 1 and self.key_weight:
            raise RequestError(f"task {self.name}: key_tokens: the training data has none of {self.key_tokens}")
        return weighed

    def wanted(self, row: Example) -> Sequence[int]:
        """All but a chunk's first token."""
        return row["input_ids"][1:]

    def loss(self, model: Any, batch: Mapping[str, Any], outputs: Any) -> Any:
        """With key tokens, the mean of the chunks' mean losses by their weights; else the model's own."""
        if not self.key_tokens:
            return super().loss(model, batch, outputs)
        if "weights" not in batch:
            raise RuntimeError("key_tokens: the batch has no weights; the Trainer needs remove_unused_columns=False")
        import torch

        logits = outputs["logits"]
        means = torch.stack([nats.sum() / max(len(nats), 1) for nats in self.nats(logits, batch["labels"])])
        weights = batch["weights"].to(means.device)
        return (weights * means).sum() / weights.sum()

    # The face as text

    def prompt(self, example: Example) -> str:
        """The document's beginning, with no instruction around it, and no white space at its end."""
        text = example["text"]
        return text[: self._cut(text)]

    def target(self, example: Example) -> str:
        """What follows the prompt in the document, from the white space between on."""
        text = example["text"]
        follows = re.compile(rf"(?:\s+\S+){{1,{self.continuation}}}").match(text, self._cut(text))
        return follows[0] if follows else ""

    def parse(self, completion: str, example: Example) -> str | None:
        """The completion."""
        return completion.strip() or None

    def unread(self, example: Example) -> str:
        """Nothing said."""
        return ""

    def measure(self, predictions: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        """Perplexity of a model's losses; of completions, the mean token F1 with the targets."""
        if not any(isinstance(prediction, str) for prediction in predictions):
            return super().measure(predictions, examples)
        return {"token_f1": sum(self.scores(predictions, examples) or []) / len(predictions)}

    def scores(self, predictions: Sequence[Any], examples: Sequence[Example]) -> list[float] | None:
        """The token F1 of each completion; None for losses."""
        if not any(isinstance(prediction, str) for prediction in predictions):
            return None
        return token_f1(predictions, [self.target(example) for example in examples])

    def baseline(self, training: Sequence[Example], examples: Sequence[Example]) -> tuple[str, list[Any]]:
        """As text: the prompt's last words once more, as many as a target has. (For a model's losses: `unigram`.)"""
        words = [self.prompt(example).split()[-self.continuation :] for example in examples]
        return "prompt repeated", [" ".join(each) for each in words]

    def _cut(self, text: str) -> int:
        """Where the prompt ends: before the last white space of the share that has words on both sides."""
        end = len(text.rstrip())
        start = end - len(text[:end].lstrip())
        most = int(self.prompt_share * min(self.characters, end))
        before = [space.start() for space in re.finditer(r"\s+", text[:end]) if start < space.start()]
        return max([place for place in before if place <= most], default=before[0] if before else end)


def _word(key: str) -> str:
    """A pattern of a key token: where it begins or ends with a letter, so does the name that it stands for."""
    left = r"(?<!\w)" if re.match(r"\w", key) else ""
    right = r"(?!\w)" if re.search(r"\w$", key) else ""
    return left + re.escape(key) + right


def _bytes(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """How many bytes of the text each token brings, with the white space before it; what is left goes to the end."""
    taken, counts = 0, []
    for _, end in offsets:
        counts.append(len(text[taken:end].encode("utf-8", "surrogatepass")))
        taken = max(taken, end)
    return [*counts, len(text[taken:].encode("utf-8", "surrogatepass"))]
