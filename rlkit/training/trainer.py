"""TRL's GRPOTrainer with a say in which groups a step trains on: see `GroupTrainer`."""

from typing import Any

import torch
from trl.trainer import utils

from rlkit.training import microbatches
from rlkit.training.gradient import GradientTrainer
from rlkit.training.microbatches import Batch
from rlkit.training.prompts import PromptPool
from rlkit.training.rollouts import Rollouts
from rlkit.training.selection import Selecting

Row = dict[str, Any]


class GroupTrainer(Selecting, GradientTrainer):
    """Trains on groups that have something to teach.

    - Groups stay whole from their completions to the gradient.
    - A curriculum replaces prompts that rest (`groups.curriculum`).
    - Dynamic sampling replaces groups without variance by those of more prompts (`groups.extra_prompts`; DAPO,
      arXiv 2503.14476, section 3.2).
    - The next step's groups are generated while this one trains (`groups.overlap`).

    Args:
        pool: Where more prompts come from.
        rollouts: What completes them.
        kwargs: GradientTrainer's arguments.
    """

    def __init__(self, pool: PromptPool, rollouts: Rollouts, **kwargs: Any):
        super().__init__(rollout_func=rollouts, **kwargs)
        self.pool, self.rollouts = pool, rollouts
        self._flat = torch.zeros(0, dtype=torch.bool)
        self._read: list[list[Row]] = []
        self._next: list[Row] | None = None
        self._draws = 0

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """TRL's, but groups stay whole."""
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        if self._step % (self.args.steps_per_generation * self.num_iterations) == 0 or self._buffered_inputs is None:
            batch = self._generate_and_score_completions(generation_batch)
            self._buffered_inputs = utils.split_tensor_dict(self._shuffled(batch), self.args.steps_per_generation)
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    def _shuffled(self, batch: Batch) -> Batch:
        """The groups in another order where several optimizer steps share the batch; within one, order is nothing."""
        if self.args.steps_per_generation <= self.args.gradient_accumulation_steps:
            return batch
        rows, group = len(batch["advantages"]), self.num_generations
        starts = (torch.randperm(-(-rows // group)) * group).tolist()
        return microbatches.rows(batch, [i for s in starts for i in range(s, min(s + group, rows))])

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        with self.clock("reward"):
            rewards = super()._calculate_rewards(*args, **kwargs)
        group = self.num_generations if self.model.training else self.num_generations_eval
        totals = (rewards * self.reward_weights.to(rewards.device)).nansum(dim=1).view(-1, group)
        self._flat = totals.amax(1) - totals.amin(1) <= 1e-6 * totals.abs().amax(1)
        return rewards

    def _generate_and_score_completions(self, inputs: list[Row]) -> Batch:
        if not self.model.training:
            return super()._generate_and_score_completions(inputs)
        inputs = self._next or self._chosen(inputs)
        batch, flat = self._scored(inputs)
        if self.groups.extra_prompts:
            batch = self._filled(batch, flat, [row["prompt"] for row in inputs[:: self.num_generations]])
        if self.groups.overlap:
            self._next = self._chosen(self._read[0]) if self._read else None
            if self._next:
                self.rollouts.begin([row["prompt"] for row in self._next], self)
        return batch

    def _scored(self, inputs: list[Row]) -> tuple[Batch, list[bool]]:
        """A batch of completions with their advantages, and for each of its groups whether it has no variance."""
        batch = super()._generate_and_score_completions(inputs)
        start = self.accelerator.process_index * len(inputs)
        flat = self._flat.repeat_interleave(self.num_generations)[start : start + len(inputs)]
        if self.multi_objective_aggregation == "sum_then_normalize":
            # Equal rewards leave rounding in their advantages, which the group's deviation then blows up.
            batch["advantages"] = batch["advantages"].masked_fill(flat, 0.0)
        return batch, flat[:: self.num_generations].tolist()

    def _chosen(self, inputs: list[Row]) -> list[Row]:
        """The rows of a step, other ones in place of those whose prompts rest."""
        if not self.groups.curriculum:
            return inputs
        groups = [inputs[i : i + self.num_generations] for i in range(0, len(inputs), self.num_generations)]
        step = self.state.global_step
        resting = [index for index, rows in enumerate(groups) if self.pool.rests(rows[0]["prompt"], step)]
        prompts = [rows[0]["prompt"] for rows in groups]
        for index, row in zip(resting, self.pool.draw(len(resting), step, self._salt(), prompts), strict=False):
            groups[index] = [row] * self.num_generations
        self._metrics["train"]["groups/resting"].append(len(resting) / len(groups))
        return [row for rows in groups for row in rows]

    def _filled(self, batch: Batch, flat: list[bool], prompts: list[Any]) -> Batch:
        """A batch with groups of more prompts in place of those without variance."""
        group, spare = self.num_generations, self.groups.extra_prompts // self.accelerator.num_processes
        order = [list(range(start, start + group)) for start in range(0, len(flat) * group, group)]
        missing = [index for index, is_flat in enumerate(flat) if is_flat]
        drawn = 0
        while spare > drawn:  # each time, at least one more is drawn
            # Processes meet in every generation, so they draw as many.
            want = torch.tensor([len(missing)], device=self.accelerator.device)
            n = min(int(self.accelerator.gather(want).max()), spare - drawn)
            rows = self.pool.draw(n, self.state.global_step, self._salt(), prompts) if n else []
            prompts = prompts + [row["prompt"] for row in rows]
            if len(rows) < n or not rows:
                break
            more, is_flat = self._scored([row for row in rows for _ in range(group)])
            drawn += n
            size = len(batch["advantages"])
            batch = microbatches.join(batch, more, self.processing_class.pad_token_id)
            for index, still in enumerate(is_flat):
                if not still and missing:
                    order[missing.pop()] = list(range(size + index * group, size + (index + 1) * group))
        self._metrics["train"]["groups/thrown_away"].append(float(drawn))  # a step keeps as many as it would have had
        self._metrics["train"]["groups/replaced"].append(float(sum(flat) - len(missing)))
        batch = microbatches.rows(batch, [i for places in order for i in places])
        batch["num_items_in_batch"] = self.accelerator.gather(batch["completion_mask"].sum()).sum()
        return batch

    def _salt(self) -> int:
        """Another number for each draw of a step in each process."""
        self._draws += 1
        return self._draws * self.accelerator.num_processes + self.accelerator.process_index

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
        """Trainer's, one step ahead where generation overlaps with training."""
        if not self.groups.overlap:
            return super().get_batch_samples(epoch_iterator, num_batches, device)
        now = self._read or super().get_batch_samples(epoch_iterator, num_batches, device)[0]
        self._read = super().get_batch_samples(epoch_iterator, num_batches, device)[0]
        return now, None
