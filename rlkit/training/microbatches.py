"""Which completions go through the policy together, and what each such piece counts in the loss of the whole."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

BY_ROWS = ("grpo", "sapo", "dr_grpo", "luspo")
BY_TOKENS = ("bnpo",)
BY_SUM = ("dapo", "cispo", "vespo")
"""How TRL's loss types average over a batch: over its rows, over its tokens, or by a number that the batch brings."""

OF_PROMPTS = ("prompt_ids", "prompt_mask")
OF_COMPLETIONS = (
    "completion_ids",
    "completion_mask",
    "tool_mask",
    "old_per_token_logps",
    "ref_per_token_logps",
    "sampling_per_token_logps",
    "importance_sampling_ratio",
)

Batch = dict[str, Any]


def share(loss_type: str, piece: torch.Tensor, whole: torch.Tensor) -> float:
    """What the loss of a piece counts in that of the batch that it is of.

    The losses of all pieces, each times its share, sum up to the loss of the batch, where what was left out has none.

    Args:
        loss_type: As TRL calls it.
        piece: Mask of its tokens (rows, length).
        whole: Mask of all tokens of the batch, those left out included.

    Raises:
        ValueError: The loss type is not known.
    """
    if loss_type in BY_ROWS:
        return piece.shape[0] / whole.shape[0]
    if loss_type in BY_TOKENS:
        return float(piece.sum() / whole.sum().clamp(min=1))
    if loss_type in BY_SUM:
        return 1.0
    raise ValueError(f"loss_type {loss_type!r} is not one of {', '.join((*BY_ROWS, *BY_TOKENS, *BY_SUM))}")


def pieces(
    prompts: Sequence[Sequence[int]], lengths: Sequence[int], budget: int | None, shared: bool
) -> list[list[int]]:
    """Split completions into pieces of at most `budget` tokens (one completion may have more).

    Completions of a prompt stay together where they can. Where prompts are shared, a piece costs each of its prompts
    once and its completions; else its rows times the longest of them, so rows of about one length go together.

    Args:
        prompts: Token ids, one a completion.
        lengths: Tokens of the completions.
        budget: Tokens of a piece; None: all go together.
        shared: Whether a prompt goes through the policy once for all of its completions.

    Returns:
        Places in the batch, each in one piece.
    """
    if budget is None or not lengths:
        return [list(range(len(lengths)))]
    keys = [tuple(prompt) for prompt in prompts]
    total: Counter[tuple[int, ...]] = Counter()
    for key, length in zip(keys, lengths, strict=True):
        total[key] += length
    if shared:
        order = sorted(range(len(keys)), key=lambda i: (-len(keys[i]) - total[keys[i]], keys[i], -lengths[i]))
    else:
        order = sorted(range(len(keys)), key=lambda i: (-len(keys[i]) - lengths[i], keys[i]))
    made: list[list[int]] = []
    here: set[tuple[int, ...]] = set()
    size = 0
    for i in order:
        if shared:
            cost = size + lengths[i] + (0 if keys[i] in here else len(keys[i]))
        else:  # sorted, so that the first row of a piece is its longest
            longest = len(keys[made[-1][0]]) + lengths[made[-1][0]] if made else 0
            cost = longest * (len(made[-1]) + 1) if made else 0
        if made and cost <= budget:
            made[-1].append(i)
        else:
            made.append([i])
            here.clear()
            cost = len(keys[i]) + lengths[i]
        here.add(keys[i])
        size = cost
    return made


def rows(batch: Batch, places: Sequence[int]) -> Batch:
    """Rows of a batch as TRL's trainer keeps it, in that order."""
    size = len(batch["advantages"])
    index = torch.tensor(places, device=batch["advantages"].device)
    return {
        name: value.index_select(0, index) if torch.is_tensor(value) and value.dim() and len(value) == size else value
        for name, value in batch.items()
    }


def take(batch: Batch, places: Sequence[int]) -> Batch:
    """Rows of a batch, its padding cut to what they need."""
    width = batch["completion_ids"].shape[1]
    made = rows(batch, places)
    before = max(int(made["prompt_mask"].sum(1).max()), 1)
    used = made["completion_mask"].any(0).nonzero()
    after = int(used.max()) + 1 if len(used) else 1
    for name in OF_PROMPTS:
        made[name] = made[name][:, -before:]
    for name in OF_COMPLETIONS:
        if name in made and made[name].dim() == 2 and made[name].shape[1] == width:
            made[name] = made[name][:, :after]
    return made


def join(one: Batch, other: Batch, pad_token_id: int) -> Batch:
    """Two batches as one, padded to the greater lengths; `num_items_in_batch` is left as it is in the first."""
    made = dict(one)
    for name, value in one.items():
        more = other.get(name)
        if not torch.is_tensor(value) or not value.dim() or more is None:
            continue
        if value.dim() == 2 and value.shape[1] != more.shape[1]:
            width = max(value.shape[1], more.shape[1])
            left, fill = name in OF_PROMPTS, pad_token_id if name.endswith("_ids") else 0
            value, more = (_padded(x, width, left, fill) for x in (value, more))
        made[name] = torch.cat([value, more])
    return made


def _padded(x: torch.Tensor, width: int, left: bool, fill: float) -> torch.Tensor:
    gap = width - x.shape[1]
    return torch.nn.functional.pad(x, (gap, 0) if left else (0, gap), value=fill)
