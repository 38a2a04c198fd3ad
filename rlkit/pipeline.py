"""Runs a recipe: checks everything that can be checked, then its stages in order, each on what the last one left."""

import gc
import importlib.util
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlkit import classic, data, measurement, measuring, policy
from rlkit.export import merged
from rlkit.export.hub.checkpoints import Pusher
from rlkit.plan import Plan
from rlkit.policy import Policy
from rlkit.progress import Progress, duration
from rlkit.recipe.model import ModelSection
from rlkit.recipe.recipe import Recipe, Stage
from rlkit.runs import RunDirectory
from rlkit.scoring import RewardStack

if TYPE_CHECKING:
    from rlkit.measurement import Measurement
    from rlkit.training.callback import RunCallback
    from rlkit.training.selection import Selection


def train(recipe: Recipe, run_dir: Path, resume: bool = False, progress: Progress | None = None) -> RunDirectory:
    """Run every stage of a recipe that is not done yet.

    Args:
        recipe: From `rlkit.recipe.load`.
        run_dir: A directory that does not exist, or with `resume` that of the run to go on with.
        resume: Go on: finished stages are kept, the one that was broken off starts at its last checkpoint.
        progress: Where lines for a person go.

    Raises:
        RequestError: Something cannot work; nothing was written.
        RunError: A stage failed; the directory can be resumed.
    """
    progress = progress or Progress(quiet=not RunDirectory(run_dir).is_main)
    if not resume and RunDirectory(run_dir).is_main:
        RunDirectory.refuse_existing(run_dir)
    plan = Plan.make(recipe)
    from accelerate import PartialState

    for stage in plan.stages:
        if stage.kind == "eval" and stage.index in plan.rows:
            measurement.check(stage, plan.rows[stage.index].dataset.column_names)
    measuring.settle(recipe)
    configs = configurations(plan, RunDirectory(run_dir))
    for leak in plan.measured_on_training_rows() if RunDirectory(run_dir).is_main else ():
        progress.say(f"warning: {leak.warning()}")
    pusher = Pusher(recipe.push, progress) if recipe.push and RunDirectory(run_dir).is_main else None
    run = RunDirectory.resume(run_dir, recipe) if resume else RunDirectory.create(run_dir, recipe)
    progress.say(f"run {run.path}" + (" (resumed)" if resume else ""))
    # Read once and together: a process that looked later would see what the first has finished meanwhile, and skip it.
    done_before = {stage.name for stage in plan.stages if run.finished(stage)}
    PartialState().wait_for_everyone()
    started = time.monotonic()
    for stage in plan.stages:
        if stage.name in done_before:
            progress.say(f"stage {stage.index}/{len(plan.stages)} {stage.name}: done before")
            continue
        begun = time.monotonic()
        progress.say(f"stage {stage.index}/{len(plan.stages)} {stage.name} ({stage.kind})")
        metrics = _run_stage(plan, stage, run, configs.get(stage.index), progress, pusher)
        run.finish(stage, time.monotonic() - begun, metrics)
        for term in plan.rewards[stage.index]:
            term.reward.close()
        PartialState().wait_for_everyone()  # the others read what the first wrote
        _free()
        between = "\n    " if stage.kind == "eval" else "  "
        progress.say(f"  {between.join(outcome(metrics))}{between}in {duration(time.monotonic() - begun)}")
    if run.is_main:
        _draw(run, progress)
    if pusher:
        pusher.done(run.path)
    progress.say(f"done in {duration(time.monotonic() - started)}: {run.path}")
    return run


def configurations(plan: Plan, run: RunDirectory) -> dict[int, Any]:
    """TRL's configuration of every training stage, by stage index.

    Raises:
        RequestError: TRL refuses a field.
    """
    from rlkit.training import grpo, sft, supervised

    made = {}
    for stage in plan.stages:
        where = run.checkpoints(stage)
        if stage.kind == "sft":
            made[stage.index] = sft.config(stage, plan.recipe.seed, where)
        elif stage.kind == "task":
            made[stage.index] = supervised.config(stage, plan.recipe.seed, where)
        elif stage.kind == "grpo":
            weights = [term.weight.at(0) for term in plan.rewards[stage.index]]
            made[stage.index] = grpo.config(stage, plan.recipe.seed, where, weights)
    return made


def outcome(metrics: dict[str, Any]) -> list[str]:
    """The figures of a stage in words, each with its interval where it has one."""
    parts = []
    for name, value in metrics.items():
        if name.endswith(("_low", "_high")) or not isinstance(value, int | float):
            continue
        text = f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value:,}"
        if f"{name}_low" in metrics:
            text += f" [{metrics[f'{name}_low']:.3g}, {metrics[f'{name}_high']:.3g}]"
        parts.append(text)
    return parts


def _run_stage(
    plan: Plan, stage: Stage, run: RunDirectory, config: Any, progress: Progress, pusher: Pusher | None
) -> dict[str, Any]:
    if stage.kind == "task":
        return classic.train(plan, stage, run, config, progress)
    section = stage.model or plan.recipe.model.at(str(run.model()))
    if stage.kind == "eval":
        if not run.is_main and not plan.classic(stage):  # whose rows transformers' Trainer shares among processes
            return {}
        measured = measuring.measure(plan, stage, section, progress)
        run.write_result(stage, measured.metrics, measured.samples)
        return measured.metrics
    section = _without_adapter(section, stage, run)
    loaded = measuring.load(plan, stage, section, bool(config and config.gradient_checkpointing))
    if loaded.checkpoints:
        config.gradient_checkpointing = False  # the trainer would put its own in place of it
    for note in loaded.notes:
        progress.say(f"  {note}")
    progress.say(f"  data: {plan.rows[stage.index]}")
    stack = measuring.reward_stack(plan, stage, loaded, progress)
    from rlkit.training.callback import RunCallback

    callback = RunCallback(run, stage, progress, stack.names, pusher.saved if pusher else None)
    selection = _selection(plan, stage, run, loaded, progress)
    return _train(stage, run, config, loaded, plan.rows[stage.index], stack, callback, selection)


def _selection(plan: Plan, stage: Stage, run: RunDirectory, loaded: Policy, progress: Progress) -> "Selection | None":
    """What measures the checkpoints of a training stage, where it leaves the best one."""
    if stage.select is None or stage.measure is None:
        return None
    from rlkit.training.selection import Selection

    (prepared, terms), measure = plan.selections[stage.index], stage.measure
    prefill = data.prefill(measure.data, loaded.tokenizer)
    stack = RewardStack(terms, plan.recipe.max_error_rate, prefill, plan.recipe.reward_processes)

    def measured(engine: Any) -> "Measurement":
        return measuring.of_rows(plan, measure, loaded, prepared.dataset, stack, engine=engine)

    progress.say(f"  the checkpoint with the best {stage.select.metric} is left; measured on {prepared}")
    return Selection(stage.select, measured, run, stage.name, progress)


def _without_adapter(section: ModelSection, stage: Stage, run: RunDirectory) -> ModelSection:
    """The model that a stage's new adapter goes on, where `lora.warm_start` asks for a new one."""
    from accelerate import PartialState

    path, start = section.path or "", stage.lora.warm_start if stage.lora else "continue"
    if start == "continue" or not policy.is_adapter(path):
        return section
    if start == "fresh":
        return section.at(*policy.base(path))
    folder = run.path / f"{stage.folder}-base"  # beside the stage's own, where its adapter finds it again
    if run.is_main:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        merged.write(path, folder, merged.stored_dtype(path), Progress(quiet=True))
    PartialState().wait_for_everyone()
    return section.at(str(folder))


def _train(
    stage: Stage,
    run: RunDirectory,
    config: Any,
    loaded: Policy,
    prepared: Any,
    stack: RewardStack,
    callback: "RunCallback",
    selection: "Selection | None" = None,
) -> dict[str, Any]:
    from rlkit.training import clock
    from rlkit.training.callback import last_checkpoint, step_of

    checkpoint = last_checkpoint(run.checkpoints(stage))
    run.rewind(stage, step_of(checkpoint))
    if checkpoint:
        callback.progress.say(f"  goes on from step {step_of(checkpoint)}")
    if stage.kind == "sft":
        from rlkit.training import sft

        trainer = sft.train(loaded, prepared.dataset, config, callback, checkpoint, selection)
    else:
        from rlkit.training import grpo

        trainer = grpo.train(loaded, prepared.dataset, config, stack, run, callback, checkpoint, selection)
    stack.check()
    trainer.save_model(str(run.folder(stage)))
    for name in ("training_args.bin", "README.md"):  # a pickle, and a card with nothing in it but a local path
        (run.folder(stage) / name).unlink(missing_ok=True)
    metrics = {"steps": trainer.state.global_step}
    last = {k: v for k, v in callback.last.items() if k in ("loss", "reward", "mean_token_accuracy")}
    metrics |= last
    if selection and run.is_main:
        metrics |= selection.outcome(trainer.state)
    if stage.kind == "grpo":
        metrics |= {**clock.costs(run.metrics(stage.name)), **trainer.pool.figures()}
    if any(stack.errors.values()):
        metrics["reward_errors"] = {name: count for name, count in stack.errors.items() if count}
    if any(stack.timeouts.values()):
        metrics["reward_timeouts"] = {name: count for name, count in stack.timeouts.items() if count}
    return metrics


def _free() -> None:
    """Give back the memory of the stage that ended: the next one loads its own model."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _draw(run: RunDirectory, progress: Progress) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        progress.say("no curves drawn, for want of matplotlib: pip install 'rlkit[plots]'")
    else:
        from rlkit import curves

        curves.draw(run)
    from rlkit import report

    report.write(run)
