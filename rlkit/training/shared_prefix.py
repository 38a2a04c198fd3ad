"""The forward pass of whole groups: a prompt goes through the policy once, its completions after it.

All tokens of a batch stand in one row without padding: each distinct prompt but its last token, then for each of its
completions that last token and the completion but its last. So the hidden state of every token after the prompts
predicts one completion token. A completion sees its prompt and itself alone, at the positions that it would have
behind it. The idea is that of Prefix Grouper (arXiv 2506.05433); the gradient is the plain forward's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "rlkit_shared_prefix"


@dataclass
class Layout:
    """Where the tokens of a batch stand: N tokens in all, B distinct prompts, R completions.

    Attributes:
        input_ids: (1, N).
        position_ids: (1, N).
        labels: (1, N), the token that each one predicts; -100 in the prompts.
        scored: (R, C) bool: which cells of the completions hold a token.
        prompts: How many distinct prompts there are.
        longest: The prompts' greatest length, their last token not counted.
        owner: (R,): the prompt of each completion.
        cells: (B * longest + R * C,): the token in each cell of the prompts' and the completions' rectangles.
        empty: The same shape, 1: cells without a token; None where there are none.
        place: (N,): the cell of each token.
        mask: (R, 1, C, longest + C) bool: what each completion token sees.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    labels: torch.Tensor
    scored: torch.Tensor
    prompts: int
    longest: int
    owner: torch.Tensor
    cells: torch.Tensor
    empty: torch.Tensor | None
    place: torch.Tensor
    mask: torch.Tensor

    @property
    def tokens(self) -> int:
        """N."""
        return self.input_ids.shape[1]

    @classmethod
    def make(cls, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], device: Any) -> "Layout":
        """Lay out completions of one token or more, each behind its prompt of one token or more.

        Args:
            prompts: One a completion; equal ones are shared.
            completions: Token ids.
            device: Where the tensors go.
        """
        distinct = {tuple(prompt): index for index, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
        owner = [distinct[tuple(prompt)] for prompt in prompts]
        longest, width = max(map(len, distinct)) - 1, max(map(len, completions))
        before = len(distinct) * longest
        ids: list[int] = []
        positions: list[int] = []
        labels: list[int] = []
        place: list[int] = []
        for prompt, index in distinct.items():
            n = len(prompt) - 1
            ids += prompt[:-1]
            positions += range(n)
            labels += [-100] * n
            place += range(index * longest, index * longest + n)
        for row, (behind, completion) in enumerate(zip(prompts, completions, strict=True)):
            n, start = len(completion), before + row * width
            ids += [behind[-1], *completion[:-1]]
            positions += range(len(behind) - 1, len(behind) - 1 + n)
            labels += completion
            place += range(start, start + n)
        placed = torch.tensor(place, device=device)
        cells = torch.zeros(before + len(completions) * width, dtype=torch.long, device=device)
        cells[placed] = torch.arange(len(place), device=device)
        empty = torch.ones(len(cells), dtype=torch.bool, device=device)
        empty[placed] = False
        lengths = torch.tensor([len(prompt) - 1 for prompt in distinct], device=device)
        owners = torch.tensor(owner, device=device)
        sees_prompt = torch.arange(longest, device=device) < lengths[owners][:, None]
        causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()
        rows = len(completions)
        mask = torch.cat([sees_prompt[:, None].expand(rows, width, longest), causal.expand(rows, width, width)], dim=2)[
            :, None
        ]
        made = torch.tensor([ids, positions, labels], device=device)
        return cls(
            input_ids=made[0:1],
            position_ids=made[1:2],
            labels=made[2:3],
            scored=~empty[before:].view(rows, width),
            prompts=len(distinct),
            longest=longest,
            owner=owners,
            cells=cells,
            empty=empty if bool(empty.any()) else None,
            place=placed,
            mask=mask,
        )


class _Move(torch.autograd.Function):
    """Rows of a tensor to other places, each at most once: the gradient goes the same way back, without adding up."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, index: torch.Tensor, hole: Any, back: torch.Tensor, gap: Any) -> Any:
        ctx.save_for_backward(back)
        ctx.gap = gap
        return _moved(x, index, hole)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        (back,) = ctx.saved_tensors
        return _moved(grads[0], back, ctx.gap), None, None, None, None


def _moved(x: torch.Tensor, index: torch.Tensor, hole: torch.Tensor | None) -> torch.Tensor:
    made = x.index_select(0, index)
    return made if hole is None else made.masked_fill_(hole[:, None, None], 0)


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    shared_prefix: Layout | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention by SDPA, which under a layout attends within prompts, then within completions.

    Args:
        module: The attention layer.
        query: (batch, heads, length, dimension); under a layout (1, heads, N, dimension).
        key: The same, of the key heads.
        value: The same.
        attention_mask: As transformers makes it; under a layout it is not used.
        shared_prefix: The layout of the batch, given to the model as this keyword.
        kwargs: As `sdpa_attention_forward` takes them.
    """
    layout = shared_prefix
    if layout is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    kwargs.pop("is_causal", None)
    size, longest = layout.prompts * layout.longest, layout.longest
    rows, width = layout.scored.shape

    def cells(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The prompts' rectangle (B, heads, longest, d) and the completions' (R, heads, C, d)."""
        moved = _Move.apply(x[0].transpose(0, 1), layout.cells, layout.empty, layout.place, None)
        first = moved[:size].view(layout.prompts, longest, *moved.shape[1:])
        return first.transpose(1, 2), moved[size:].view(rows, width, *moved.shape[1:]).transpose(1, 2)

    (q0, q1), (k0, k1), (v0, v1) = cells(query), cells(key), cells(value)
    made = []
    if longest:  # tokens stand at the left of their rectangle, so that causal attention never sees an empty cell
        made.append(sdpa_attention_forward(module, q0, k0, v0, None, is_causal=True, **kwargs)[0].flatten(0, 1))
    k1, v1 = (torch.cat([x.index_select(0, layout.owner), y], dim=2) for x, y in ((k0, k1), (v0, v1)))
    made.append(sdpa_attention_forward(module, q1, k1, v1, layout.mask, is_causal=False, **kwargs)[0].flatten(0, 1))
    out = _Move.apply(torch.cat(made), layout.place, None, layout.cells, layout.empty)
    return out[None], None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


def switch(model: Any, on: bool = True) -> str | None:
    """Let a model's attention understand layouts, or no longer; returns why it cannot, or None.

    Without a layout it computes what it computed before.
    """
    config = model.config.get_text_config()
    now, other = ("sdpa", NAME) if on else (NAME, "sdpa")
    if config._attn_implementation != now:
        return f"its attention is {config._attn_implementation}, not sdpa"
    config._attn_implementation = other
    return None


def ready(model: Any) -> bool:
    """Whether its attention understands layouts."""
    return model.config.get_text_config()._attn_implementation == NAME


def window(model: Any) -> int | None:
    """Tokens that the narrowest layer of a model sees back; None where all see everything."""
    config = model.config.get_text_config()
    narrow = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    return narrow if narrow and (kinds is None or any("full" not in kind for kind in kinds)) else None


def inputs(layout: Layout) -> dict[str, Any]:
    """What the model is called with."""
    any_mask = torch.ones(
        1, 1, 1, 1, dtype=torch.bool, device=layout.input_ids.device
    )  # in four dimensions: kept as is
    return {
        "input_ids": layout.input_ids,
        "position_ids": layout.position_ids,
        "attention_mask": any_mask,
        "shared_prefix": layout,
    }
