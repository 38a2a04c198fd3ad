"""Measures a model as an eval stage says: what `rlkit eval` runs, and each eval stage of a pipeline."""

import gc
import warnings
from pathlib import Path
from typing import Any

from rlkit import classic, data, evaluation, harness, measurement, policy, scratch
from rlkit.errors import RequestError
from rlkit.measurement import Measurement
from rlkit.plan import Plan
from rlkit.policy import Policy
from rlkit.progress import Progress, hush
from rlkit.recipe.model import ModelSection
from rlkit.recipe.recipe import Recipe, Stage
from rlkit.runs import RunDirectory, is_run
from rlkit.scoring import RewardStack


def evaluate(recipe: Recipe, model: str, samples: int | None = None, progress: Progress | None = None) -> Measurement:
    """Measure a model on a recipe's held-out data.

    Args:
        recipe: Its last eval stage is run, or what its `data:` and `eval:` come to.
        model: A folder, a hub id, or a run directory (its last model).
        samples: Completions a prompt instead of the recipe's.
        progress: Where lines for a person go.

    Raises:
        RequestError: The model, the data or a column does not exist.
    """
    return run(plan(recipe, model, samples), progress)


def plan(recipe: Recipe, model: str, samples: int | None = None, by: str | None = None) -> Plan:
    """What `evaluate` will run, found to work; `by`: a column to tell the figures apart by, instead of the recipe's."""
    stage = recipe.evaluation()
    if not stage.rewards and not stage.task and not stage.harness:
        raise RequestError(f"recipe {recipe._name} has no rewards to measure by; add rewards: [...], or a task")
    changed = {**({"samples": samples, "k": None} if samples else {}), **({"by": by} if by else {})}
    stage.eval = stage.eval.model_copy(update=changed)
    path = str(RunDirectory(Path(model)).model()) if is_run(Path(model)) else model
    stage.model = recipe.model.model_copy(update={"path": path, "from_scratch": None, "revision": None})
    stage.lora = None
    made = Plan.make(recipe, [stage])
    if stage.index in made.rows:
        measurement.check(stage, made.rows[stage.index].dataset.column_names)
    return made


def run(plan: Plan, progress: Progress | None = None) -> Measurement:
    """Measure as `plan` has planned it."""
    (stage,) = plan.stages
    settle(plan.recipe)
    return measure(plan, stage, stage.model or plan.recipe.model, progress or Progress(quiet=True))


def measure(plan: Plan, stage: Stage, section: ModelSection, progress: Progress) -> Measurement:
    """Run an eval stage: a task's classic pipeline, tasks of the harness, or completions that rewards judge.

    Args:
        plan: Where the stage's rows are.
        stage: The eval stage.
        section: What is measured.
        progress: Where lines for a person go.
    """
    if stage.harness:
        tasks = plan.harness[stage.index]
        return harness.measure(section, stage.harness, progress, plan.recipe._folder, tasks)
    if plan.classic(stage):
        return Measurement(*classic.measure(plan, stage, section, progress))
    loaded = load(plan, stage, section)
    for note in loaded.notes:
        progress.say(f"  {note}")
    progress.say(f"  data: {plan.rows[stage.index]}")
    rows, stack = plan.rows[stage.index].dataset, reward_stack(plan, stage, loaded, progress)
    done = progress.count(stage.name, len(rows) * stage.eval.samples)
    return of_rows(plan, stage, loaded, rows, stack, progress=done)


def of_rows(plan: Plan, stage: Stage, loaded: Policy, rows: Any, stack: RewardStack, **how: Any) -> Measurement:
    """Measure a loaded policy on prepared rows, with the figures of the stage's task where it has one.

    Args:
        how: More arguments of `rlkit.evaluation.measure`.
    """
    measured = evaluation.measure(loaded, rows, stack, stage, plan.recipe.seed, **how)
    return evaluation.of_task(measured, plan.tasks[stage.index], rows) if stage.task else measured


def load(plan: Plan, stage: Stage, section: ModelSection, checkpointing: bool = False) -> Policy:
    """The policy of a stage; a new one where the section says so."""
    from transformers import set_seed

    set_seed(plan.recipe.seed)  # new adapters and new embeddings are drawn when they are loaded
    if not section.from_scratch:
        return policy.load(section, stage.lora, stage.kind != "eval", checkpointing)
    tokenizer = plan.tokenizers[stage.index]
    model = scratch.make_model(section.from_scratch, tokenizer, plan.recipe.seed)
    size = sum(p.numel() for p in model.parameters())
    note = f"from scratch: {section.from_scratch.shape} of {size:,} parameters, tokenizer of {len(tokenizer)} tokens"
    return Policy(model, tokenizer, [note])


def reward_stack(plan: Plan, stage: Stage, loaded: Policy, progress: Progress) -> RewardStack:
    """The rewards of a stage, which see what the chat template writes of each completion."""
    prefill = data.prefill(stage.data, loaded.tokenizer) if stage.kind != "sft" else ""
    if prefill:
        progress.say(f"  the chat template opens {prefill.strip()} itself; rewards see it as part of the completion")
    recipe = plan.recipe
    return RewardStack(plan.rewards[stage.index], recipe.max_error_rate, prefill, recipe.reward_processes)


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
