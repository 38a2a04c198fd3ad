"""Runs a recipe: checks everything that can be checked, then its stages in order, each on what the last one left."""

import gc
import importlib.util
import shutil
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlkit import classic, data, measurement, policy, scratch
from rlkit.errors import RequestError
from rlkit.export import merged
from rlkit.export.hub.checkpoints import Pusher
from rlkit.plan import Plan
from rlkit.policy import Policy
from rlkit.progress import Progress, duration, hush
from rlkit.recipe.model import ModelSection
from rlkit.recipe.recipe import Recipe, Stage
from rlkit.runs import RunDirectory, is_run
from rlkit.scoring import RewardStack

if TYPE_CHECKING:
    from rlkit.evaluation import Measurement
    from rlkit.training.callback import RunCallback


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
    settle(recipe)
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


def evaluate(recipe: Recipe, model: str, samples: int | None = None, progress: Progress | None = None) -> "Measurement":
    """Measure a model on a recipe's held-out data.

    Args:
        recipe: Its last eval stage is run, or what its `data:` and `eval:` come to.
        model: A folder, a hub id, or a run directory (its last model).
        samples: Completions a prompt instead of the recipe's.
        progress: Where lines for a person go.

    Raises:
        RequestError: The model, the data or a column does not exist.
    """
    return evaluate_planned(plan_evaluation(recipe, model, samples), progress)


def plan_evaluation(recipe: Recipe, model: str, samples: int | None = None, by: str | None = None) -> Plan:
    """What `evaluate` will run, found to work; `by`: a column to tell the figures apart by, instead of the recipe's."""
    stage = recipe.evaluation()
    if not stage.rewards and not stage.task:
        raise RequestError(f"recipe {recipe._name} has no rewards to measure by; add rewards: [...], or a task")
    changed = {**({"samples": samples, "k": None} if samples else {}), **({"by": by} if by else {})}
    stage.eval = stage.eval.model_copy(update=changed)
    path = str(RunDirectory(Path(model)).model()) if is_run(Path(model)) else model
    stage.model = recipe.model.model_copy(update={"path": path, "from_scratch": None, "revision": None})
    stage.lora = None
    plan = Plan.make(recipe, [stage])
    measurement.check(stage, plan.rows[stage.index].dataset.column_names)
    return plan


def evaluate_planned(plan: Plan, progress: Progress | None = None) -> "Measurement":
    """Measure as `plan_evaluation` has planned it."""
    progress, (stage,) = progress or Progress(quiet=True), plan.stages
    settle(plan.recipe)
    section = stage.model or plan.recipe.model
    if plan.classic(stage):
        return measurement.Measurement(*classic.measure(plan, stage, section, progress))
    loaded = policy.load(section, train=False)
    for note in loaded.notes:
        progress.say(note)
    progress.say(f"data: {plan.rows[stage.index]}")
    return _measure(plan, stage, loaded, reward_stack(plan, stage, loaded, progress), progress)


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
    if plan.classic(stage):
        return _measure_classic(plan, stage, run, progress)
    loaded = _load(plan, stage, run, bool(config and config.gradient_checkpointing))
    if loaded.checkpoints:
        config.gradient_checkpointing = False  # the trainer would put its own in place of it
    for note in loaded.notes:
        progress.say(f"  {note}")
    progress.say(f"  data: {plan.rows[stage.index]}")
    stack = reward_stack(plan, stage, loaded, progress)
    if stage.kind != "eval":
        from rlkit.training.callback import RunCallback

        callback = RunCallback(run, stage, progress, stack.names, pusher.saved if pusher else None)
        return _train(stage, run, config, loaded, plan.rows[stage.index], stack, callback)
    if not run.is_main:
        return {}
    measured = _measure(plan, stage, loaded, stack, progress)
    run.write_result(stage, measured.metrics, measured.samples)
    return measured.metrics


def _measure_classic(plan: Plan, stage: Stage, run: RunDirectory, progress: Progress) -> dict[str, Any]:
    if not run.is_main:
        return {}
    section = stage.model or plan.recipe.model.at(str(run.model()))
    metrics, samples = classic.measure(plan, stage, section, progress)
    run.write_result(stage, metrics, samples)
    return metrics


def reward_stack(plan: Plan, stage: Stage, loaded: Policy, progress: Progress) -> RewardStack:
    """The rewards of a stage, which see what the chat template writes of each completion."""
    prefill = data.prefill(stage.data, loaded.tokenizer) if stage.kind != "sft" else ""
    if prefill:
        progress.say(f"  the chat template opens {prefill.strip()} itself; rewards see it as part of the completion")
    recipe = plan.recipe
    return RewardStack(plan.rewards[stage.index], recipe.max_error_rate, prefill, recipe.reward_processes)


def _load(plan: Plan, stage: Stage, run: RunDirectory, checkpointing: bool) -> Policy:
    """The policy that a stage starts from: its own model, a new one, or what the stage before left."""
    from transformers import set_seed

    set_seed(plan.recipe.seed)  # new adapters and new embeddings are drawn when they are loaded
    section, train_it = stage.model, stage.kind != "eval"
    if section is not None and section.from_scratch:
        tokenizer = plan.tokenizers[stage.index]
        model = scratch.make_model(section.from_scratch, tokenizer, plan.recipe.seed)
        size = sum(p.numel() for p in model.parameters())
        note = (
            f"from scratch: {section.from_scratch.shape} of {size:,} parameters, tokenizer of {len(tokenizer)} tokens"
        )
        return Policy(model, tokenizer, [note])
    if section is None:
        section = plan.recipe.model.at(str(run.model()))
    return policy.load(_without_adapter(section, stage, run), stage.lora, train_it, checkpointing)


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


def _measure(plan: Plan, stage: Stage, loaded: Policy, stack: RewardStack, progress: Progress) -> "Measurement":
    from rlkit import evaluation

    rows = plan.rows[stage.index].dataset
    done = progress.count(stage.name, len(rows) * stage.eval.samples)
    measured = evaluation.measure(loaded, rows, stack, stage, plan.recipe.seed, done)
    return evaluation.of_task(measured, plan.tasks[stage.index], rows) if stage.task else measured


def _train(
    stage: Stage,
    run: RunDirectory,
    config: Any,
    loaded: Policy,
    prepared: Any,
    stack: RewardStack,
    callback: "RunCallback",
) -> dict[str, Any]:
    from rlkit.training import clock
    from rlkit.training.callback import last_checkpoint, step_of

    checkpoint = last_checkpoint(run.checkpoints(stage))
    run.rewind(stage, step_of(checkpoint))
    if checkpoint:
        callback.progress.say(f"  goes on from step {step_of(checkpoint)}")
    if stage.kind == "sft":
        from rlkit.training import sft

        trainer = sft.train(loaded, prepared.dataset, config, callback, checkpoint)
    else:
        from rlkit.training import grpo

        trainer = grpo.train(loaded, prepared.dataset, config, stack, run, callback, checkpoint)
    stack.check()
    trainer.save_model(str(run.folder(stage)))
    for name in ("training_args.bin", "README.md"):  # a pickle, and a card with nothing in it but a local path
        (run.folder(stage) / name).unlink(missing_ok=True)
    metrics = {"steps": trainer.state.global_step}
    last = {k: v for k, v in callback.last.items() if k in ("loss", "reward", "mean_token_accuracy")}
    metrics |= last
    if stage.kind == "grpo":
        metrics |= {**clock.costs(run.metrics(stage.name)), **trainer.pool.figures()}
    if any(stack.errors.values()):
        metrics["reward_errors"] = {name: count for name, count in stack.errors.items() if count}
    if any(stack.timeouts.values()):
        metrics["reward_timeouts"] = {name: count for name, count in stack.timeouts.items() if count}
    return metrics


def settle(recipe: Recipe) -> None:
    """Threads as the recipe says, no bars of the libraries, and less to collect.

    What the libraries made when they were imported stays as long as the process: each full collection (a trainer that
    starts makes one, each stage that ends another) would go through it again, for half a second.
    """
    import torch

    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    hush()
    for said in ("TRL currently supports vLLM", "You are using 'rollout_func'"):  # rlkit drives the engine itself
        warnings.filterwarnings("ignore", message=said)
    gc.collect()
    gc.freeze()


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
