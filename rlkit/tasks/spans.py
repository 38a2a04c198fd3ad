"""Spans of a context that is read in windows of tokens."""

from typing import Any

from rlkit.errors import RequestError
from rlkit.tasks.task import Example

Span = tuple[int, int]


def cut(questions: list[str], tokenizer: Any, max_length: int, stride: int) -> list[str]:
    """Questions short enough for each window to have more of the context than it shares with the next."""
    room = max_length - stride - tokenizer.num_special_tokens_to_add(pair=True) - 2
    if room < 1:
        raise RequestError(
            f"question-answering: max_length {max_length} and stride {stride} leave no room for a question; "
            f"set stride below {max(max_length // 2, 1)}"
        )
    made = tokenizer(questions, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ends = [at[room - 1][1] if len(at) > room else None for at in made["offset_mapping"]]
    return [question[:end] for question, end in zip(questions, ends, strict=True)]


def of_context(offsets: list[Span], sides: list[int | None], context: str) -> list[Span | None]:
    """Where in the context each token stands; None for what is not of it, and for blanks, where no span ends."""
    pairs = zip(offsets, sides, strict=True)
    return [at if side == 1 and context[slice(*at)].strip() else None for at, side in pairs]


def tokens(offsets: list[Any], where: Span | None) -> Span | None:
    """First and last token that a stretch of the context touches; None where the window has not all of it."""
    inside = [(token, at) for token, at in enumerate(offsets) if at]
    if not where or not inside or inside[0][1][0] > where[0] or inside[-1][1][1] < where[1]:
        return None
    first = next(token for token, at in inside if at[1] > where[0])
    last = next(token for token, at in reversed(inside) if at[0] < where[1])
    return first, last


def null(ids: list[int], tokenizer: Any) -> int:
    """The token that stands for no answer: CLS, or in a tokenizer without one the first."""
    return ids.index(tokenizer.cls_token_id) if tokenizer.cls_token_id in ids else 0


def padded(tokenizer: Any, rows: list[Example]) -> Any:
    """A batch of windows, padded on the right, with their labels."""
    import torch
    from transformers.data.data_collator import pad_without_fast_tokenizer_warning

    labels = ("start_positions", "end_positions")
    read = [{key: value for key, value in row.items() if key in tokenizer.model_input_names} for row in rows]
    batch = pad_without_fast_tokenizer_warning(tokenizer, read, padding_side="right", return_tensors="pt")
    return batch | {key: torch.tensor([row[key] for row in rows]) for key in labels if key in rows[0]}


def best(starts: Any, ends: Any, offsets: list[Any], n_best: int, longest: int) -> tuple[float, Span | None]:
    """The best span of a window, as its score and its place in the context."""
    inside = [token for token, at in enumerate(offsets) if at]
    first = sorted(inside, key=lambda token: -starts[token])[:n_best]
    last = sorted(inside, key=lambda token: -ends[token])[:n_best]
    spans = (
        (float(starts[s] + ends[e]), (offsets[s][0], offsets[e][1]))
        for s in first
        for e in last
        if s <= e < s + longest
    )
    return max(spans, key=lambda each: each[0], default=(float("-inf"), None))
