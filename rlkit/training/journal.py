"""What a run keeps of each step's completions."""

from typing import Any

from accelerate.utils import gather_object

from rlkit.completion import text_of
from rlkit.recipe.recipe import Stage
from rlkit.runs import RunDirectory
from rlkit.scoring import RewardStack, Scores
from rlkit.training.prompts import PromptPool


class Journal:
    """Writes a GRPO stage's completions to the run directory, and how its prompts did to the pool.

    Args:
        run: Where they are written.
        stage: The stage.
        stack: Its rewards.
        pool: Its prompts.
    """

    def __init__(self, run: RunDirectory, stage: Stage, stack: RewardStack, pool: PromptPool):
        self.run, self.stage, self.stack, self.pool = run, stage, stack, pool
        self.right = stage.eval.accuracy if stage.eval.accuracy in stack.names else stack.correct
        self.step = -1

    def write(self, batch: dict[str, Any], scores: Scores) -> None:
        """Take a batch as a reward gets it, and what the rewards gave."""
        step = batch["trainer_state"].global_step
        rows = self._rows(batch, scores, step)
        self.run.log_completions(self.stage, step, rows, more=step == self.step)
        self.step = step
        seen = gather_object([(row["prompt"], row["reward"], self._passed(row["rewards"])) for row in rows])
        prompts, totals, passed = zip(*seen, strict=True)
        self.pool.record(step, prompts, totals, passed, write=self.run.is_main)

    def _passed(self, rewards: dict[str, float | None]) -> bool | None:
        value = rewards[self.right] if self.right else None
        return None if value is None else value >= 1.0

    def _rows(self, batch: dict[str, Any], scores: Scores, step: int) -> list[dict[str, Any]]:
        """Enough of a batch to score it again with `rlkit score`."""
        columns = {name: batch[name] for reward in self.stack.rewards for name in reward.columns if name in batch}
        prompts = batch["prompts"]
        totals = self.stack.total(scores, step, prompts)
        return [
            {
                **{name: values[i] for name, values in columns.items()},
                "prompt": prompt,
                "completion": text_of(completion),
                "tokens": len(ids),
                "reward": total,
                "rewards": {name: values[i] for name, values in scores.items()},
            }
            for i, (prompt, completion, ids, total) in enumerate(
                zip(prompts, batch["completions"], batch["completion_ids"], totals, strict=True)
            )
        ]
