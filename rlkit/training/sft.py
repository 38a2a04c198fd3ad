"""Supervised fine-tuning on demonstrations or conversations, by TRL's SFTTrainer."""

from pathlib import Path
from typing import Any

from trl import SFTConfig, SFTTrainer

from rlkit.policy import Policy
from rlkit.recipe.recipe import Stage
from rlkit.training.arguments import arguments, build
from rlkit.training.callback import RunCallback, go


def config(stage: Stage, seed: int, output: Path) -> SFTConfig:
    """TRL's configuration of the stage.

    Raises:
        RequestError: TRL refuses a field.
    """
    return build(SFTConfig, arguments(stage, seed, output), stage)


def train(policy: Policy, dataset: Any, args: SFTConfig, callback: RunCallback, checkpoint: Path | None) -> Any:
    """Train in place; returns TRL's trainer, whose model is the trained one.

    Args:
        policy: What is trained.
        dataset: Rows with `messages`, or with `prompt` and `completion` (then the loss is on completions alone).
        args: From `config`.
        callback: Hears every log.
        checkpoint: Go on from here.
    """
    trainer = SFTTrainer(
        model=policy.model,
        args=args,
        train_dataset=dataset,
        processing_class=policy.tokenizer,
        callbacks=[callback],
    )
    limit = args.max_length
    if limit and "input_ids" in (trainer.train_dataset.column_names or []) and not args.packing:
        cut = sum(len(ids) >= limit for ids in trainer.train_dataset["input_ids"])
        if cut:
            callback.progress.say(f"  {cut:,} rows reach training.max_length={limit} tokens, and are cut there")
    return go(trainer, checkpoint)
