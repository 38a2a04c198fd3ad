"""Stages that train or measure a task's classic pipeline: a model with a head of its own."""

from typing import Any

from rlkit import reading, scratch
from rlkit.plan import Plan
from rlkit.policy import head, load_tokenizer
from rlkit.progress import Progress
from rlkit.recipe.model import ModelSection
from rlkit.recipe.recipe import Stage
from rlkit.runs import RunDirectory


def train(plan: Plan, stage: Stage, run: RunDirectory, config: Any, progress: Progress) -> dict[str, Any]:
    """Train the stage's task; the model that is best by its metric is left in the stage's folder.

    Returns:
        The figures of that model over the held-out rows, with those of the task's baseline (`baseline_NAME`).
    """
    from transformers import set_seed

    from rlkit.training import supervised
    from rlkit.training.callback import RunCallback, last_checkpoint, step_of

    set_seed(plan.recipe.seed)
    task, tokenizer = plan.tasks[stage.index], plan.tokenizers[stage.index]
    tokenizer.padding_side = "right"
    section = stage.model or plan.recipe.model.at(str(run.model()))
    if section.from_scratch:
        made = scratch.make_model(section.from_scratch, tokenizer, plan.recipe.seed, task.head, **task.config())
    else:
        made = head.load(section, task.head, task.config())
    size = sum(parameter.numel() for parameter in made.parameters())
    progress.say(f"  {type(made).__name__}: {size:,} parameters, tokenizer of {len(tokenizer):,} tokens")
    training, held_out = plan.rows[stage.index], plan.held_out[stage.index]
    progress.say(f"  data: {training}; measured on {held_out}")
    checkpoint = last_checkpoint(run.checkpoints(stage))
    run.rewind(stage, step_of(checkpoint))
    callback = RunCallback(run, stage, progress)
    rows = (training.dataset, held_out.dataset)
    trainer = supervised.train(task, made, tokenizer, rows, config, callback, checkpoint)
    trainer.save_model(str(run.folder(stage)))
    (run.folder(stage) / "training_args.bin").unlink(missing_ok=True)  # a pickle
    found = trainer.measured()
    metrics, samples = supervised.sampled(task, found)
    run.write_result(stage, metrics, samples)
    named, trivial = trainer.baseline(training.dataset)
    baseline = task.measure(trivial, found.rows)[task.metric]
    progress.say(f"  without a model ({named}): {task.metric} {baseline:.3g}")
    for said in reading.read(run.metrics(stage.name), task.metric, task.falls):
        progress.say(f"  {said}")
    return {"steps": trainer.state.global_step, **metrics, f"baseline_{task.metric}": round(baseline, 6)}


def measure(
    plan: Plan, stage: Stage, section: ModelSection, progress: Progress
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Measure a model with the head of the stage's task over the stage's rows."""
    from rlkit.training import supervised

    tokenizer = load_tokenizer(section)
    tokenizer.padding_side = "right"
    made = head.load(section, plan.tasks[stage.index].head, {})
    task = plan.tasks[stage.index]
    task = task.model_copy(update=task.recall(made.config))
    progress.say(f"  {type(made).__name__}; data: {plan.rows[stage.index]}")
    dataset = plan.rows[stage.index].dataset
    return supervised.evaluate(task, made, tokenizer, dataset, stage.eval.batch_size, section.path or ".")
