"""Masked language modelling: some tokens of a text are hidden, and predicted from what is around them."""

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from rlkit.errors import RequestError
from rlkit.tasks.language import IGNORED, Chunks, Language
from rlkit.tasks.task import Example

STARTS, GOES_ON, SPECIAL = 1, 0, -1
"""What a token is to its word; special tokens are in none and are never masked."""


class MaskedLM(Language):
    """Which words are hidden? (BERT's way: of the chosen tokens 80% become the mask, 10% another, 10% stay.)

    Training masks anew in every batch. Evaluation masks once: its perplexity can be compared between epochs and models
    of one tokenizer.
    """

    name: ClassVar[str] = "masked-lm"
    head: ClassVar[str] = "masked-lm"

    mlm_probability: float = Field(default=0.15, gt=0, lt=1)
    """The share of tokens that are chosen; of every chunk one at the least."""
    whole_word_masking: bool = False
    """Choose words, with all of their pieces, instead of single tokens."""
    mask_seed: int = Field(default=0, ge=0)
    """Of the masks of evaluation."""

    def encode(self, batch: Example, tokenizer: Any, training: bool) -> dict[str, list[list[int]]]:
        """Each document's tokens with the special ones that the tokenizer puts around, and what starts a word."""
        self._check(tokenizer)
        fast = tokenizer.is_fast
        made = tokenizer(
            batch["text"],
            return_attention_mask=False,
            return_token_type_ids=False,
            return_special_tokens_mask=True,
            return_offsets_mapping=fast,
            verbose=False,
        )
        words = []
        for row, special in enumerate(made["special_tokens_mask"]):
            if fast:
                starts = _starts(batch["text"][row], made["offset_mapping"][row], made.word_ids(row))
            else:
                pieces = tokenizer.convert_ids_to_tokens(made["input_ids"][row])
                starts = [not piece.startswith("##") for piece in pieces]
            words.append(
                [SPECIAL if s else STARTS if start else GOES_ON for s, start in zip(special, starts, strict=True)]
            )
        return {"input_ids": made["input_ids"], "words": words}

    def finish(self, chunks: Any, tokenizer: Any, training: bool) -> Any:
        """Training chunks keep their `words` for the collator to mask; the others are masked here, with `labels`."""
        if training:
            return chunks
        import numpy as np

        masking = Masking(self, tokenizer)

        def mask(row: Example, index: int) -> Example:
            ids, labels = masking(row["input_ids"], row["words"], np.random.default_rng([self.mask_seed, index]))
            return {"input_ids": ids, "labels": labels}

        return chunks.map(mask, with_indices=True, remove_columns=["words"])

    def collator(self, tokenizer: Any, model: Any) -> Any:
        """Masks chunks that have no labels yet, each time in another way, by torch's own random numbers."""
        super().collator(tokenizer, model)
        self._check(tokenizer)
        return MaskedChunks(self, tokenizer)

    def counted(self, row: Example) -> Sequence[int]:
        """All but special tokens."""
        return [token for token, word in zip(row["input_ids"], row["words"], strict=True) if word != SPECIAL]

    def wanted(self, row: Example) -> Sequence[int]:
        """The tokens that were chosen."""
        return [token for token in row["labels"] if token != IGNORED]

    def _check(self, tokenizer: Any) -> None:
        if tokenizer.mask_token_id is None:
            raise RequestError(
                f"task {self.name}: the tokenizer has no mask token; take a model that was made for masks, such as BERT"
            )


class Masking:
    """Chooses tokens of a chunk and hides them."""

    def __init__(self, task: MaskedLM, tokenizer: Any):
        import numpy as np

        self.probability, self.whole = task.mlm_probability, task.whole_word_masking
        self.mask = tokenizer.mask_token_id
        special = set(tokenizer.all_special_ids)
        self.others = np.array([token for token in range(len(tokenizer)) if token not in special])

    def __call__(self, ids: Sequence[int], words: Sequence[int], rng: Any) -> tuple[list[int], list[int]]:
        """The ids with the chosen tokens hidden, and the labels: what the chosen ones were, IGNORED elsewhere."""
        import numpy as np

        tokens, kinds = np.array(ids), np.array(words)
        maskable = kinds != SPECIAL
        units = np.cumsum((kinds != GOES_ON) if self.whole else np.ones_like(kinds))
        able = np.unique(units[maskable])
        chosen = able[rng.random(len(able)) < self.probability]
        if not len(chosen) and len(able):  # a batch without labels has no loss
            chosen = rng.choice(able, 1)
        picked = maskable & np.isin(units, chosen)
        labels = np.where(picked, tokens, IGNORED)
        draw = rng.random(len(tokens))
        hidden = np.where(picked & (draw < 0.8), self.mask, tokens)
        swapped = picked & (draw >= 0.8) & (draw < 0.9)
        hidden = np.where(swapped, rng.choice(self.others, len(tokens)), hidden)
        return hidden.tolist(), labels.tolist()


class MaskedChunks(Chunks):
    """Makes a batch of chunks, masking those of training."""

    def __init__(self, task: MaskedLM, tokenizer: Any):
        super().__init__(tokenizer)
        self.masking = Masking(task, tokenizer)

    def __call__(self, rows: Sequence[Example]) -> dict[str, Any]:
        """`input_ids`, `attention_mask` and `labels`."""
        if "labels" in rows[0]:
            return super().__call__(rows)
        if "words" not in rows[0]:
            raise RuntimeError("masked-lm: chunks have no words; the Trainer needs remove_unused_columns=False")
        import numpy as np
        import torch

        rng = np.random.default_rng(int(torch.randint(2**62, (1,))))  # torch's seed differs between loader workers
        masked = [self.masking(row["input_ids"], row["words"], rng) for row in rows]
        return super().__call__([{"input_ids": ids, "labels": labels} for ids, labels in masked])


def _starts(text: str, offsets: Sequence[tuple[int, int]], word_ids: Sequence[int | None]) -> list[bool]:
    """Whether each token starts a word: after white space, with white space of its own, or where the tokenizer says.

    Tokenizers differ in what they call a word; to some a whole text is one.
    """
    found: list[bool] = []
    for i, ((start, end), word) in enumerate(zip(offsets, word_ids, strict=True)):
        before = i - 1
        if i == 0 or word is None or word_ids[before] is None or word != word_ids[before]:
            found.append(True)
        elif (start, end) == tuple(offsets[before]):  # bytes of one character
            found.append(False)
        else:
            found.append(any(letter.isspace() for letter in text[max(start - 1, 0) : start + 1]))
    return found
