"""TRL's GRPO losses and their gradient, with less work: see `GradientTrainer`."""

import logging
from typing import Any

import torch
from trl import GRPOTrainer
from trl.trainer import utils

from rlkit.recipe.groups import GroupsSection
from rlkit.training import importance, microbatches, shared_prefix
from rlkit.training.clock import Clock
from rlkit.training.microbatches import Batch
from rlkit.training.shared_prefix import Layout

logger = logging.getLogger("rlkit")

FUSED = hasattr(utils, "add_fused_lm_head")
"""Whether TRL's models have a head that makes log-probabilities without keeping logits (from TRL 1.15 on)."""
SMALL = 2**24
"""Logits of a piece up to which they are kept: below it, that is faster than TRL's head, which makes them twice."""
PAYS = 0.9
"""Prompts are shared where at most this part of the tokens that padded rows would have is left."""


class GradientTrainer(GRPOTrainer):
    """Trains on groups as GRPOTrainer does, by the same losses and to the same gradient, with less work.

    - Completions without advantage are left out of forward and backward where that changes nothing.
    - A prompt goes through the policy once for all of its completions (`rlkit.training.shared_prefix`).
    - A batch is gone through in pieces of at most `groups.tokens_per_microbatch` tokens.
    - Where another engine than the policy itself generated, its log-probabilities weigh the tokens, as TRL does for
      vLLM, without the forward pass that TRL spends on it.

    Args:
        groups: The recipe's `groups:`.
        clock: Told where the time goes.
        corrected: Whether the completions' log-probabilities are those of another engine or of older weights.
        kwargs: GRPOTrainer's arguments.
    """

    def __init__(self, groups: GroupsSection, clock: Clock, corrected: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.accelerator: Any
        self._buffered_inputs: list[Batch] | None
        self.groups, self.clock = groups, clock
        self.corrected = corrected and self.args.vllm_importance_sampling_correction
        self.unshared = self._cannot_share()
        """Why prompts are not shared; None where they are."""
        self._proven = False
        self._piece: Batch | None = None
        self._cells = self._padding = 0

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """TRL's, timed."""
        with self.clock("train"):
            return super().training_step(*args, **kwargs)

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a batch; all of its pieces but the last have gone backward already."""
        if not self.model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        first, *more = self._pieces(inputs) if self._splits() else [list(range(len(inputs["advantages"])))]
        done = torch.zeros((), device=self.accelerator.device)
        for piece in more:
            with self.accelerator.no_sync(model):
                loss = self._loss(model, inputs, piece)
                with torch.autocast(self.accelerator.device.type, enabled=False):
                    self.accelerator.backward(loss)
            done += loss.detach()
        return self._loss(model, inputs, first) + done

    def _splits(self) -> bool:
        """Whether the loss of a batch is the sum of its rows': a term over all of its tokens' entropies is not."""
        bonus = getattr(self, "_entropy_bonus_enabled", False)
        sharded = self.accelerator.distributed_type.name not in ("NO", "MULTI_CPU", "MULTI_GPU")
        return not (bonus or sharded or self.top_entropy_quantile < 1.0 or self.aux_loss_enabled)

    def _pieces(self, inputs: Batch) -> list[list[int]]:
        lengths = inputs["completion_mask"].sum(1)
        kept = list(range(len(lengths)))
        if self.beta == 0.0 and self.groups.leave_out_flat:
            # One is kept in any case: a step without a graph has nothing to go backward through.
            kept = (inputs["advantages"] != 0).nonzero()[:, 0].tolist() or [int(lengths.argmin())]
        prompts = _unpadded(inputs["prompt_ids"], inputs["prompt_mask"])
        made = microbatches.pieces(
            [prompts[i] for i in kept],
            [int(lengths[i]) for i in kept],
            self.groups.tokens_per_microbatch,
            shared=self.unshared is None,
        )
        return [[kept[i] for i in piece] for piece in made]

    def _loss(self, model: Any, inputs: Batch, rows: list[int]) -> torch.Tensor:
        self._piece = microbatches.take(inputs, rows)
        weight = microbatches.share(self.loss_type, self._piece["completion_mask"], inputs["completion_mask"])
        accelerator = self.accelerator
        self.accelerator = _Alone(accelerator) if self._splits() else accelerator
        try:
            return self._compute_loss(model, self._piece) * weight
        finally:
            self.accelerator, self._piece = accelerator, None

    # The forward pass

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Any, attention_mask: Any, logits_to_keep: int, *args: Any, **kwargs: Any
    ) -> Any:
        """TRL's, by the shared prefix where that pays."""
        split = input_ids.shape[1] - logits_to_keep
        prompts = _unpadded(input_ids[:, :split], attention_mask[:, :split])
        mask = attention_mask[:, split:]
        tokens = sum(len(prompt) - 1 for prompt in set(map(tuple, prompts))) + int(mask.sum())
        pays = bool(mask.any()) and self._pays(model, tokens, input_ids, kwargs)
        if pays and not self._proven:
            self._prove(model, prompts, input_ids, attention_mask, split)
        if pays and not self.unshared:
            logps, entropies = self._shared(model, prompts, input_ids[:, split:], mask, kwargs.get("batch_size"))
            made = logps, entropies if kwargs.get("compute_entropy") else None, None
            self._cells += tokens
        else:
            made = super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, *args, **kwargs
            )
            self._cells += input_ids.numel()
            self._padding += int((attention_mask == 0).sum())
        if self.corrected and self._piece is not None:
            weights = importance.weigh(self._piece, made[0].detach(), self.args, self.loss_type)
            counted = weights[mask.bool()] if weights.shape == mask.shape else weights
            self._metrics["train"]["sampling/importance_sampling_ratio/mean"].append(float(counted.mean()))
        return made

    def _shared(
        self, model: Any, prompts: list[list[int]], ids: torch.Tensor, mask: torch.Tensor, batch_size: int | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities and entropies (rows, length) of the completion tokens, zero where the mask is."""
        rows = mask.any(1).nonzero()[:, 0].tolist()
        made = torch.zeros(mask.shape, device=ids.device), torch.zeros(mask.shape, device=ids.device)
        completions = [ids[i][mask[i].bool()].tolist() for i in rows]
        size = batch_size or len(rows)
        for start in range(0, len(rows), size):
            some = slice(start, start + size)
            layout = Layout.make([prompts[i] for i in rows[some]], completions[some], ids.device)
            found = self._scored_tokens(model, layout)
            where = torch.zeros_like(mask, dtype=torch.bool)
            where[rows[some]] = mask[rows[some]].bool()
            made = tuple(x.masked_scatter(where, y) for x, y in zip(made, found, strict=True))
        return made

    def _scored_tokens(self, model: Any, layout: Layout) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probability and entropy of each completion token, one row after the other."""
        scored = (layout.labels[0] != -100).nonzero()[:, 0]
        head = self.accelerator.unwrap_model(model).get_output_embeddings()
        inputs = shared_prefix.inputs(layout)
        bonus = getattr(self, "_entropy_bonus_enabled", False)
        if FUSED and (bonus or len(scored) * head.weight.shape[0] > SMALL):  # TRL's head keeps no logits
            with self.accelerator.autocast():
                output = model(**inputs, labels=layout.labels, shift_labels=layout.labels, fused_lm_head=True)
            return output.log_probs[0, scored], output.entropy[0, scored]
        with self.accelerator.autocast():
            logits = model(**inputs, logits_to_keep=scored, use_cache=False).logits[0]
        logits = logits.float() / self.temperature
        logps = -torch.nn.functional.cross_entropy(logits, layout.labels[0, scored], reduction="none")
        with torch.set_grad_enabled(bonus and torch.is_grad_enabled()):
            entropy = torch.distributions.Categorical(logits=logits, validate_args=False).entropy()
        return logps, entropy

    def _pays(self, model: Any, tokens: int, input_ids: torch.Tensor, kwargs: dict[str, Any]) -> bool:
        extra = {name for name, value in kwargs.items() if value is not None and value is not False}
        if self.unshared or extra - {"batch_size", "compute_entropy"} or tokens > PAYS * input_ids.numel():
            return False
        bare = self.accelerator.unwrap_model(model)
        narrow = shared_prefix.window(bare)
        return shared_prefix.ready(bare) and (narrow is None or input_ids.shape[1] <= narrow)

    def _prove(self, model: Any, prompts: list[list[int]], ids: torch.Tensor, mask: torch.Tensor, split: int) -> None:
        """Once: does this architecture compute the same with shared prompts? Else they are not shared."""
        self._proven = True
        some = slice(0, 4)
        training = model.training
        model.eval()
        try:
            with torch.no_grad():
                keep = ids.shape[1] - split
                plain = super()._get_per_token_logps_and_entropies(model, ids[some], mask[some], keep)[0]
                shared, _ = self._shared(model, prompts[some], ids[some, split:], mask[some, split:], None)
        finally:
            model.train(training)
        apart = float(((plain - shared).abs() * mask[some, split:]).sum() / mask[some, split:].sum().clamp(min=1))
        wide = plain.dtype == torch.float32 and self.model.dtype == torch.float32 and not self.args.bf16
        if not apart <= (1e-4 if wide else 0.05):
            self.unshared = f"with shared prompts, this model's log-probabilities differ by {apart:.2g} on average"
            logger.warning("prompts are not shared: %s", self.unshared)

    def _cannot_share(self) -> str | None:
        if not self.groups.shared_prefix:
            return "groups.shared_prefix is false"
        return shared_prefix.switch(self.accelerator.unwrap_model(self.model))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """TRL's, with where the time went and what share of the tokens was padding."""
        if self.model.training and "loss" in logs:
            logs |= self.clock.figures()
            if self._cells:
                logs["padding"] = self._padding / self._cells
            self._cells = self._padding = 0
        super().log(logs, start_time)


class _Alone:
    """An accelerator that exchanges nothing: pieces of a batch differ in number and size between processes."""

    def __init__(self, accelerator: Any):
        self._accelerator = accelerator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._accelerator, name)

    def gather(self, tensor: Any) -> Any:
        return tensor

    def reduce(self, tensor: Any, reduction: str = "sum") -> Any:
        return tensor

    gather_for_metrics = gather


def _unpadded(ids: torch.Tensor, mask: torch.Tensor) -> list[list[int]]:
    """Token ids without the padding on their left."""
    return [row[len(row) - n :] for row, n in zip(ids.tolist(), mask.sum(1).tolist(), strict=True)]
