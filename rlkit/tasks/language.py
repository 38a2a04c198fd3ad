"""Language models: what their tasks share, from documents to chunks, and from losses to perplexity.

The logits of a whole evaluation set fit in no memory, so these tasks are `summed`. The trainer does not gather a
model's outputs and hand them to `predict`, but calls two methods instead:

- `losses(model, batch)` for every batch of evaluation: one pair (nats, tokens) for each chunk;
- `measure(pairs, chunks)` at the end, the chunks being the rows of `features(..., training=False)`, one a pair.

For a training batch it runs the model on `inputs(batch)` and trains on `loss(model, batch, outputs)`. Chunks have
columns that no model takes, so the Trainer needs `remove_unused_columns=False` for these tasks.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from rlkit.errors import RequestError
from rlkit.tasks.task import Example, Role, Task

IGNORED = -100
"""The label of a token that is no part of the loss."""
_INPUTS = ("input_ids", "attention_mask", "labels")
_LARGE = 200_000
"""Documents beyond which features go through datasets' cache on disk."""

Loss = tuple[float, int]
"""Of a chunk: the negative log-likelihood of its predicted tokens, summed, in nats; and how many these are."""


class Language(Task):
    """Predicts tokens of text. Documents are put one after the other and cut into chunks of the same length."""

    metric: ClassVar[str] = "perplexity"
    falls: ClassVar[bool] = True
    summed: ClassVar[bool] = True
    """The trainer calls `losses` instead of `predict`."""
    roles: ClassVar[dict[str, Role]] = {"text": Role(("text", "content", "whole_func_string", "code"))}

    context_length: int = Field(default=128, ge=2)
    """Tokens of a chunk."""
    drop_last: bool = True
    """Leave out what is left at the end, which is shorter; else it is padded, and the padding no part of the loss."""

    def read(self, example: Example) -> Example | str:
        """The text."""
        text = example["text"]
        return {"text": text} if isinstance(text, str) and text.strip() else "without a text"

    def features(self, examples: Any, tokenizer: Any, training: bool) -> Any:
        """The chunks: `input_ids`, and what the task adds to them.

        Raises:
            RequestError: All documents together are shorter than a chunk, and that is dropped; or the tokenizer lacks
                a token that the task needs.
        """
        documents = examples.map(
            self.encode,
            batched=True,
            fn_kwargs={"tokenizer": tokenizer, "training": training},
            remove_columns=examples.column_names,
            keep_in_memory=len(examples) < _LARGE,
        )
        chunks = self._packed(documents)
        if not len(chunks):
            tokens = sum(map(len, documents["input_ids"]))
            raise RequestError(
                f"task {self.name}: context_length is {self.context_length}, and the {len(examples):,} documents have "
                f"{tokens} tokens together, less than one chunk: set it lower, or drop_last: false"
            )
        return self.finish(chunks, tokenizer, training)

    def encode(self, batch: Example, tokenizer: Any, training: bool) -> dict[str, list[list[int]]]:
        """Columns of token ids, and of one number for each token, a list a document; with the separators."""
        raise NotImplementedError

    def finish(self, chunks: Any, tokenizer: Any, training: bool) -> Any:
        """The chunks as the collator takes them."""
        raise NotImplementedError

    def collator(self, tokenizer: Any, model: Any) -> Any:
        """Pads chunks at their end, with zeros in the attention mask and labels that do not count.

        Raises:
            RequestError: The model reads fewer tokens than a chunk has.
        """
        most = getattr(getattr(model, "config", None), "max_position_embeddings", None)
        if isinstance(most, int) and self.context_length > most > 0:
            raise RequestError(
                f"task {self.name}: context_length is {self.context_length}, and the model reads {most} tokens at most"
            )
        return Chunks(tokenizer)

    def inputs(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """What of a batch the model takes."""
        return {key: batch[key] for key in _INPUTS if key in batch}

    def loss(self, model: Any, batch: Mapping[str, Any], outputs: Any) -> Any:
        """The loss to train on, a mean over the batch; by default the model's own.

        Args:
            model: The model.
            batch: As the collator made it.
            outputs: What the model gave for `inputs(batch)`.
        """
        return outputs["loss"]

    def losses(self, model: Any, batch: Mapping[str, Any]) -> list[Loss]:
        """For each chunk: nats of its predicted tokens, summed in float64 over values in float32; and their number."""
        import torch

        device = next(model.parameters()).device
        inputs = {key: value.to(device) for key, value in self.inputs(batch).items()}
        labels = inputs.pop("labels")
        was_training = model.training
        model.eval()
        try:
            with torch.no_grad():
                logits = model(**inputs).logits
                return [(float(nats.double().sum()), len(nats)) for nats in self.nats(logits, labels)]
        finally:
            model.train(was_training)

    def nats(self, logits: Any, labels: Any) -> Iterator[Any]:
        """For each row: the negative log-likelihoods of the tokens that count; a row at a time, as logits are large."""
        from torch.nn import functional

        if self.head == "causal-lm":  # a token is predicted from those before it
            logits, labels = logits[:, :-1], labels[:, 1:]
        for row, wanted in zip(logits, labels, strict=True):
            counts = wanted != IGNORED
            yield functional.cross_entropy(row[counts].float(), wanted[counts], reduction="none")

    def measure(self, predictions: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        """Perplexity: e to the mean nats of a token. `tokens`: how many. `bits_per_byte` where chunks have `bytes`.

        Args:
            predictions: Of `losses`.
            examples: The chunks, in that order. A chunk's `bytes` are those of its predicted tokens in UTF-8.
        """
        nats, tokens = math.fsum(nll for nll, _ in predictions), sum(number for _, number in predictions)
        figures = {"perplexity": _exp(nats / tokens) if tokens else math.nan, "tokens": tokens}
        if all("bytes" in example for example in examples) and (size := sum(each["bytes"] for each in examples)):
            figures["bits_per_byte"] = nats / math.log(2) / size
        return figures

    def unigram(self, training: Iterable[Example], chunks: Iterable[Example], tokenizer: Any) -> list[Loss]:
        """The baseline, in the form of `losses`: each token as likely as it is common in the training data.

        Add-one smoothing over the tokenizer's vocabulary.

        Args:
            training: `features` for training.
            chunks: `features` for evaluation.
            tokenizer: The one that made both.
        """
        counts = Counter(token for row in training for token in self.counted(row))
        total = counts.total() + len(tokenizer)
        losses = []
        for row in chunks:
            wanted = self.wanted(row)
            losses.append((-math.fsum(math.log((counts[token] + 1) / total) for token in wanted), len(wanted)))
        return losses

    def counted(self, row: Example) -> Sequence[int]:
        """The tokens of a training chunk that could be predicted."""
        return row["input_ids"]

    def wanted(self, row: Example) -> Sequence[int]:
        """The tokens of a chunk that evaluation predicts."""
        raise NotImplementedError

    def _packed(self, documents: Any) -> Any:
        """Chunks of all columns; what a batch leaves over begins the next one's first chunk."""
        left: dict[str, list[int]] = {name: [] for name in documents.column_names}
        length, last = self.context_length, len(documents) - 1

        def cut(batch: dict[str, list[list[int]]], indices: list[int]) -> dict[str, list[list[int]]]:
            made = {}
            for name, lists in batch.items():
                held = left[name]
                held.extend(itertools.chain.from_iterable(lists))
                whole = len(held) // length * length
                if indices[-1] == last and not self.drop_last:
                    whole = len(held)
                made[name] = [held[start : min(start + length, whole)] for start in range(0, whole, length)]
                del held[:whole]
            return made

        return documents.map(
            cut,
            batched=True,
            with_indices=True,
            features=documents.features,
            load_from_cache_file=False,
            keep_in_memory=len(documents) < _LARGE,
        )


class Chunks:
    """Makes a batch of chunks."""

    def __init__(self, tokenizer: Any):
        self.pad = next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)

    def __call__(self, rows: Sequence[Example]) -> dict[str, Any]:
        """`input_ids`, `attention_mask`, `labels` (by default the ids), and `weights` where chunks have them."""
        import torch

        longest = max(len(row["input_ids"]) for row in rows)

        def padded(lists: Iterable[Sequence[int]], value: int) -> Any:
            return torch.tensor([[*each, *[value] * (longest - len(each))] for each in lists])

        ids = [row["input_ids"] for row in rows]
        batch = {
            "input_ids": padded(ids, self.pad),
            "attention_mask": padded(([1] * len(each) for each in ids), 0),
            "labels": padded((row["labels" if "labels" in row else "input_ids"] for row in rows), IGNORED),
        }
        if "weights" in rows[0]:
            batch["weights"] = torch.tensor([row["weights"] for row in rows], dtype=torch.float32)
        return batch


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
