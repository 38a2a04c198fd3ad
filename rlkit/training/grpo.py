"""Group relative policy optimisation by TRL's GRPOTrainer (arXiv 2402.03300)."""

import functools
from pathlib import Path
from typing import Any

import torch
from trl import GRPOConfig

from rlkit.engines import Sampling, choose
from rlkit.policy import Policy
from rlkit.recipe.recipe import Stage
from rlkit.runs import RunDirectory
from rlkit.scoring import RewardStack, Scores
from rlkit.training import shared_prefix
from rlkit.training.arguments import arguments, build
from rlkit.training.callback import RunCallback, go, step_of
from rlkit.training.clock import Clock
from rlkit.training.journal import Journal
from rlkit.training.prompts import PromptPool
from rlkit.training.rollouts import Rollouts
from rlkit.training.selection import Selection
from rlkit.training.trainer import GroupTrainer


def config(stage: Stage, seed: int, output: Path, weights: list[float]) -> GRPOConfig:
    """TRL's configuration of the stage.

    Raises:
        RequestError: TRL refuses a field.
    """
    generation = stage.generation
    fields = {**arguments(stage, seed, output), **generation.drawn(), "reward_weights": weights}
    fields["num_generations"] = generation.num_generations
    if stage.select:  # TRL checks what its own evaluation would need
        fields["per_device_eval_batch_size"] = generation.num_generations
    return build(GRPOConfig, fields, stage)


def train(
    policy: Policy,
    dataset: Any,
    args: GRPOConfig,
    stack: RewardStack,
    run: RunDirectory,
    callback: RunCallback,
    checkpoint: Path | None,
    selection: Selection | None = None,
) -> Any:
    """Train in place; returns TRL's trainer, whose model is the trained one.

    Args:
        policy: What is trained.
        dataset: Rows with `prompt` and the columns that the rewards need.
        args: From `config`.
        stack: The rewards.
        run: Where each step's completions are written.
        callback: Hears every log.
        checkpoint: Go on from here.
        selection: By what the best checkpoint is found, which is then the one that is left.
    """
    stage, clock = callback.stage, Clock()
    generation = stage.generation
    pool = PromptPool(dataset, run.prompts(stage), args.seed, stage.groups.curriculum, since=step_of(checkpoint))
    journal = Journal(run, stage, stack, pool)

    def scored(batch: dict[str, Any], scores: Scores) -> None:
        step = batch["trainer_state"].global_step
        trainer.reward_weights = torch.tensor(stack.weights(step), dtype=torch.float32)  # before TRL sums them
        for name, value in stack.figures(scores, step).items():
            batch["log_metric"](name, value)
        journal.write(batch, scores)

    engine, why = choose(generation, policy, args.per_device_train_batch_size * args.steps_per_generation, True)
    callback.progress.say(f"  {why}")
    sampling = functools.partial(Sampling, **generation.drawn(), logprobs=not engine.exact)
    rollouts = Rollouts(engine, policy, sampling, args.seed, clock, generation.check_sync)
    try:
        trainer = GroupTrainer(
            pool=pool,
            rollouts=rollouts,
            groups=stage.groups,
            clock=clock,
            corrected=not engine.exact,
            model=policy.model,
            reward_funcs=stack.functions(after=scored),
            args=args,
            train_dataset=dataset,
            processing_class=policy.tokenizer,
            eval_dataset=dataset.select([0]) if selection else None,  # asked for, and not looked at
            callbacks=[callback, *(selection.callbacks() if selection else [])],
        )
        if selection:
            trainer.selection = selection
            selection.engine = lambda: rollouts.lend(trainer.state.global_step)
        if trainer.unshared:
            callback.progress.say(f"  prompts are not shared: {trainer.unshared}")
        clock.figures()  # time counts from here
        return go(trainer, checkpoint)
    finally:
        rollouts.close()
        shared_prefix.switch(policy.model, on=False)
