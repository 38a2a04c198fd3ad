"""The loop that generates: prompts once, then a token of each row at a time, until all rows are done."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, DynamicCache

from rlkit.engines.cache import GroupCache
from rlkit.engines.engine import Generated, Sampling
from rlkit.engines.sampler import Sampler
from rlkit.errors import RunError

CHECK_EVERY = 4
"""Steps between two looks at which rows are done."""
WORTH = 1 / 8
"""The share of rows that must be done for a copy of the others to pay."""
NAME = "rlkit_groups"


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    group_cache: GroupCache,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    return group_cache.attend(module.layer_idx, query, scaling, softcap, sliding_window), None


AttentionInterface.register(NAME, _attention)


def reach(model: Any) -> float:
    """The longest sequence that a Decoder generates right with a model: 0 where it cannot drive it, inf for any.

    A model qualifies whose attention can be replaced, and whose logits then equal those of its plain forward, on two
    small prompts. Its reach is the window of its attention, below which a sliding layer sees all there is.
    """
    if not getattr(model, "_supports_attention_backend", False) or model.config.is_encoder_decoder:
        return 0
    prompts, groups = [[3, 1, 2], [2]], [0, 0, 1]
    following = torch.tensor([[1, 2], [2, 3], [3, 1]], device=model.device)
    decoder = Decoder(model, [], None)
    try:
        _, cache, lengths = decoder.prefill(prompts, torch.tensor(groups, device=model.device))
        with decoder.attention():
            for at, token in enumerate(following.T):
                logits = decoder.forward(token, lengths[groups] + at, cache)
        plain = [
            model(input_ids=torch.tensor([prompts[group] + tail.tolist()], device=model.device)).logits[0, -1]
            for group, tail in zip(groups, following, strict=True)
        ]
    except Exception:  # whatever a model does that is not attention over keys and values
        return 0
    expected = torch.stack(plain).float()
    bound = 1e-3 if logits.dtype == torch.float32 and not getattr(model, "is_quantized", False) else 5e-2
    equal = (logits.float() - expected).norm() <= bound * expected.norm()
    return cache.window if equal else 0


class Decoder:
    """Generates from a batch of prompts with a causal language model of transformers.

    The model's own forward runs, with its own attention over the prompts, and attention over a `GroupCache` from then
    on, which the model is told to use as it would be told to use any other kernel.

    Args:
        model: In evaluation mode.
        ends: Tokens that end a completion.
        context: Tokens that the model sees; None: no bound is known.
    """

    def __init__(self, model: Any, ends: list[int], context: int | None):
        self.model, self.context = model, context
        self.config = model.config.get_text_config()
        self.ends = torch.tensor(ends, device=model.device)

    def generate(
        self, prompts: list[list[int]], groups: list[int], room: list[int], sampling: Sampling, chances: torch.Tensor
    ) -> Generated:
        """Complete each row's prompt.

        Args:
            prompts: Token ids, each prompt once.
            groups: The prompt of each row, ascending; each prompt has a row.
            room: The most tokens that each row may have.
            sampling: How tokens are drawn.
            chances: float32 (rows, tokens at the most), uniform in [0, 1): row and step decide the draw, so that
                a row's completion does not depend on the rows beside it.

        Raises:
            RunError: The model's logits are not numbers.
        """
        device = self.model.device
        group = torch.tensor(groups, device=device)
        most = torch.tensor(room, device=device)
        chances = chances.to(device)
        logits, cache, lengths = self.prefill(prompts, group)
        if logits.isnan().any():
            raise RunError("the model's logits are not numbers: its weights have diverged, or overflow in their dtype")
        logits, position = logits[group], lengths[group]
        sampler = Sampler(sampling, [prompts[i] for i in groups], logits.shape[-1], device)
        rows = torch.arange(len(groups), device=device)
        tokens = torch.zeros((len(groups), max(room)), dtype=torch.int64, device=device)
        logprobs = torch.zeros(tokens.shape if sampling.logprobs else (0, 0), device=device)
        done = torch.zeros(len(groups), dtype=torch.bool, device=device)
        with self.attention():
            for step in range(max(room)):
                chance = chances[rows, step, None] if sampling.temperature else None
                token, logprob = sampler.draw(logits, chance)
                tokens[rows, step] = token
                if logprob is not None:
                    logprobs[rows, step] = logprob
                if step + 1 == max(room):
                    break
                if step % CHECK_EVERY == CHECK_EVERY - 1:
                    recent = tokens[rows, step + 1 - CHECK_EVERY : step + 1]
                    done |= torch.isin(recent, self.ends).any(-1) | (most[rows] <= step + 1)
                    left = int(done.numel() - done.sum())
                    if left == 0:
                        break
                    if left <= (1 - WORTH) * len(rows):
                        alive = (~done).nonzero()[:, 0]
                        rows, token, position, done = rows[alive], token[alive], position[alive], done[alive]
                        cache.keep(alive)
                        sampler.keep(alive)
                # Rows that are done and still run may be at the end of the positions there are.
                at = position if self.context is None else position.clamp(max=self.context - 1)
                logits = self.forward(token, at, cache)
                position = position + 1
        return self._cut(tokens.tolist(), logprobs.tolist() if sampling.logprobs else None, room)

    def prefill(self, prompts: list[list[int]], group: torch.Tensor) -> tuple[torch.Tensor, GroupCache, torch.Tensor]:
        """The logits after each prompt, the cache of the prompts, and their lengths."""
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        seen = torch.arange(longest) >= (longest - lengths)[:, None]
        positions = (seen.cumsum(-1) - 1).clamp_(min=0)
        ids, lengths, seen, positions = (x.to(self.model.device) for x in (ids, lengths, seen, positions))
        cache = DynamicCache()
        output = self.model(
            input_ids=ids,
            attention_mask=seen.long(),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        softcap = self.config._attn_implementation != "sdpa"  # sdpa has no cap to give
        return output.logits[:, -1], GroupCache(cache, seen, group, softcap), lengths

    def forward(self, token: torch.Tensor, position: torch.Tensor, cache: GroupCache) -> torch.Tensor:
        """The logits after one more token of each row: int64 (rows,) to (rows, vocabulary); inside `attention`."""
        cache.step()
        return self.model(
            input_ids=token[:, None],
            position_ids=position[:, None],
            past_key_values=cache,
            use_cache=True,
            group_cache=cache,
        ).logits[:, -1]

    @contextmanager
    def attention(self) -> Iterator[None]:
        """The model attends over a GroupCache."""
        before = self.config._attn_implementation
        self.config._attn_implementation = NAME
        try:
            yield
        finally:
            self.config._attn_implementation = before

    def _cut(self, tokens: list[list[int]], logprobs: list[list[float]] | None, room: list[int]) -> Generated:
        """Each row up to its end token, or its room."""
        ends = set(self.ends.tolist())
        lengths = [
            next((at + 1 for at, token in enumerate(row[:most]) if token in ends), most)
            for row, most in zip(tokens, room, strict=True)
        ]
        cut = [row[:length] for row, length in zip(tokens, lengths, strict=True)]
        if logprobs is None:
            return Generated(cut, [[] for _ in cut])
        return Generated(cut, [row[:length] for row, length in zip(logprobs, lengths, strict=True)])
