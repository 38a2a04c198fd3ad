"""Supervised fine-tuning on demonstrations or conversations, by TRL's SFTTrainer."""

from pathlib import Path
from typing import Any

from trl import SFTConfig, SFTTrainer

from rlkit.policy import Policy
from rlkit.recipe.recipe import Stage
from rlkit.training.arguments import arguments, build
from rlkit.training.callback import RunCallback, go
from rlkit.training.selection import Selecting, Selection


def config(stage: Stage, seed: int, output: Path) -> SFTConfig:
    """TRL's configuration of the stage.

    Raises:
        RequestError: TRL refuses a field.
    """
    return build(SFTConfig, arguments(stage, seed, output), stage)


class DemonstrationTrainer(Selecting, SFTTrainer):
    """TRL's, which may leave its best checkpoint instead of its last."""


def train(
    policy: Policy,
    dataset: Any,
    args: SFTConfig,
    callback: RunCallback,
    checkpoint: Path | None,
    selection: Selection | None = None,
) -> Any:
    """Train in place; returns TRL's trainer, whose model is the trained one.

    Args:
        policy: What is trained.
        dataset: Rows with `messages`, or with `prompt` and `completion` (then the loss is on completions alone).
        args: From `config`.
        callback: Hears every log.
        checkpoint: Go on from here.
        selection: By what the best checkpoint is found, which is then the one that is left.
    """
    trainer = DemonstrationTrainer(
        model=policy.model,
        args=args,
        train_dataset=dataset,
        processing_class=policy.tokenizer,
        eval_dataset=dataset.select([0]) if selection else None,  # asked for, and not looked at
        callbacks=[callback, *(selection.callbacks() if selection else [])],
    )
    trainer.selection = selection
    limit = args.max_length
    if limit and "input_ids" in (trainer.train_dataset.column_names or []) and not args.packing:
        cut = sum(len(ids) >= limit for ids in trainer.train_dataset["input_ids"])
        if cut:
            callback.progress.say(f"  {cut:,} rows reach training.max_length={limit} tokens, and are cut there")
    return go(trainer, checkpoint)
