"""What a schema cannot see: do the parts of a recipe go together? All problems at once, nothing loaded."""

import importlib.util
import os
import pathlib
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from rlkit import plugins, weighting
from rlkit.errors import MissingExtraError, RequestError
from rlkit.prompts import system_prompt
from rlkit.recipe import batch, trl_fields, unsloth
from rlkit.recipe.reader import Path
from rlkit.recipe.recipe import Recipe, RewardEntry, Stage
from rlkit.weighting import Term


class Problem(NamedTuple):
    """What is wrong, and at which path of the recipe."""

    path: Path
    message: str


def check(recipe: Recipe, processes: int | None = None, evaluate: bool = False) -> list[Problem]:
    """Every problem of a recipe that its schema let through; `evaluate` looks at its evaluation alone."""
    processes = processes or int(os.environ.get("WORLD_SIZE", "1"))
    problems: list[Problem] = []
    for index, file in enumerate(recipe.plugins):
        try:
            plugins.load_file(file)
        except RequestError as error:
            problems.append(Problem(("plugins", index), str(error)))
    stages = recipe.resolved()
    if evaluate:
        stages = [recipe.evaluation()]
        stages[0].model = None  # another model is given
    elif "model" not in recipe.model_fields_set and all(stage.kind == "eval" for stage in stages):
        for stage in stages:  # it only measures, and is told what
            stage.model = None if stage.model is recipe.model else stage.model
    names = [stage.name for stage in stages]
    for stage in stages:
        if names.count(stage.name) > 1:
            problems.append(Problem((*stage.where, "name"), f"two stages are called {stage.name!r}"))
        problems += _stage(recipe, stage)
        model = stage.model or recipe.model
        if model.backend == "unsloth" and stage.kind != "eval":
            problems += [Problem((section, name), said) for section, name, said in unsloth.problems(model, stage.lora)]
        problems += [Problem(path, said) for path, said in _rewards(recipe, stage)]
        problems += list(_select(recipe, stage))
        if stage.kind == "grpo":
            said = batch.problem(stage.training, stage.generation, processes)
            if said:
                problems.append(Problem((*stage.where, "training"), said))
            said = batch.groups_problem(stage.training, stage.generation, stage.groups, processes)
            if said:
                problems.append(Problem((*stage.where, "groups"), said))
    problems += list(_training(recipe, stages))
    problems += list(_adapters(stages))
    if recipe.eval and recipe.eval.accuracy and not recipe.stages and not evaluate:  # else `_rewards` has said it
        stage = recipe.evaluation()
        known = [entry.name or entry.reward for entry in stage.rewards]
        if recipe.eval.accuracy not in known:
            said = f"accuracy is {recipe.eval.accuracy!r}, and the rewards are {', '.join(known)}"
            problems.append(Problem(("eval", "accuracy"), said))
    return list(dict.fromkeys(problems))


def stack(entries: list[RewardEntry], folder: pathlib.Path | None = None) -> list[Term]:
    """The rewards of a stage, configured under unique names, each with how much it counts.

    Args:
        entries: As the recipe names them.
        folder: The recipe's, where modules with rewards may stand.

    Raises:
        RequestError: As the first problem of a reward says.
    """
    taken: set[str] = set()
    made = []
    for entry in entries:
        term = _term(entry, folder)
        if term.reward.name in taken and entry.name is None:
            said = ",".join(f"{key}={value}" for key, value in entry.parameters.items())
            name = f"{term.reward.name}[{said}]" if said else term.reward.name
            term = replace(term, reward=term.reward.configure(name))
        name = term.reward.name
        if name in taken:
            raise RequestError(f"two rewards are called {name!r}: give one of them another name: {{name: ...}}")
        taken.add(name)
        made.append(term)
    weighting.check_gates(made)
    return made


def _term(entry: RewardEntry, folder: pathlib.Path | None) -> Term:
    reward = plugins.find(entry.reward, folder).configure(entry.name, **entry.parameters)
    return weighting.term(reward, entry.settings)


def _rewards(recipe: Recipe, stage: Stage, own: Path = ("rewards",)) -> Iterator[Problem]:
    if stage.kind in ("sft", "task") or stage.harness:
        return
    for name in ("suite", "rewards"):
        own = (*stage.where, name) if stage.where and name in recipe.set_by(stage) else own
    if not stage.rewards and not (stage.task and stage.kind == "eval"):
        yield Problem(own, f"the stage {stage.name!r} has no rewards; see `rlkit ls rewards`")
    fine = True
    for index, entry in enumerate(stage.rewards):
        try:
            _term(entry, recipe._folder)
        except RequestError as error:
            fine = False
            for line in str(error).split("\n"):
                yield Problem((*own, index), line)
    if not fine:
        return
    try:
        made = stack(stage.rewards, recipe._folder)
    except RequestError as error:
        yield Problem(own, str(error))
        return
    if made and stage.kind == "grpo" and all(term.weight.start == term.weight.end == 0 for term in made):
        yield Problem(own, "every reward has weight 0: there is nothing to learn from")
    known = [term.reward.name for term in made]
    if stage.kind == "eval" and stage.eval.accuracy and stage.eval.accuracy not in known:
        yield Problem(
            (*stage.where, "accuracy"),
            f"accuracy is {stage.eval.accuracy!r}, and the rewards of the stage are {', '.join(known)}",
        )


SELECTS = ("eval_strategy", "eval_steps", "load_best_model_at_end", "metric_for_best_model", "greater_is_better")
"""Fields of the trainer that `select:` stands for."""


def _select(recipe: Recipe, stage: Stage) -> Iterator[Problem]:
    select, measure = stage.select, stage.measure
    if select is None or measure is None:
        return
    where = measure.where
    if select.split == "eval" and not (recipe.eval and recipe.eval.data):
        said = "there is no eval.data: set eval: {data: {split: ...}}, or split: the name of another split of the data"
        yield Problem((*where, "split"), said)
    if select.rewards:
        yield from _rewards(recipe, replace(measure, where=()), (*where, "rewards"))
    elif not stage.rewards and not stage.task:
        yield Problem((*where, "metric"), f"the stage {stage.name!r} has no rewards to measure by: set select.rewards")
    for name in SELECTS:
        if name in stage.training:
            yield Problem((*where,), f"training.{name} is what select sets itself: leave it out")
    if select.every and "save_steps" in stage.training:
        yield Problem((*where, "every"), "training.save_steps says that already: leave one of the two out")
    if stage.training.get("save_strategy", "steps") != "steps":
        yield Problem((*where,), "checkpoints are measured as they are saved, by steps: leave save_strategy out")


def _harness(recipe: Recipe, stage: Stage) -> Iterator[Problem]:
    where = (*stage.where, "harness")
    if besides := recipe.set_by(stage) - {"harness", "name", "model"}:
        said = f"the harness brings its own data and figures: leave {', '.join(sorted(besides))} out of the stage"
        yield Problem(where, said)
    if stage.model and stage.model.from_scratch:
        yield Problem(where, "a model without training is not measured by it: train one in a stage before")
    if importlib.util.find_spec("lm_eval") is None:
        yield Problem(where, str(MissingExtraError("harness", "lm-eval", "eval")))


def _stage(recipe: Recipe, stage: Stage) -> Iterator[Problem]:
    data, where = stage.data, stage.where
    if stage.harness:
        yield from _harness(recipe, stage)
        return
    if data.path is None:
        yield Problem((*where, "data"), f"the stage {stage.name!r} has no data: set data.path")
    try:
        system_prompt(data.system)
    except RequestError as error:
        yield Problem((*where, "data", "system"), str(error))
    yield from _task(stage)
    if stage.kind == "sft" and not stage.task and not data.messages and not data.completion:
        said = "has nothing to imitate: set data.completion (with data.prompt) or data.messages"
        yield Problem((*where, "data"), f"the stage {stage.name!r} {said}; for grpo, set rewards")
    if stage.kind in ("grpo", "eval"):
        yield from _engine(stage)
    model = stage.model
    if model is None:
        return
    if not model.path and not model.from_scratch:
        yield Problem(("model",), "there is no model: set model.path (a hub id or a folder) or model.from_scratch")
    if model.from_scratch and stage.lora is not None:
        said = "a new model has no trained base to put an adapter on: set lora in a later stage, as grpo.lora.r=4"
        yield Problem(("lora",), said)
    if model.load_in_4bit:
        if stage.lora is None and stage.kind not in ("eval", "task"):
            yield Problem(("model", "load_in_4bit"), "a 4-bit base is not trained itself: add lora: {r: 16}")
        if importlib.util.find_spec("bitsandbytes") is None:
            said = str(MissingExtraError("load_in_4bit", "bitsandbytes", "bnb"))
            yield Problem(("model", "load_in_4bit"), said)


def _task(stage: Stage) -> Iterator[Problem]:
    where, task = (*stage.where, "task"), stage.task
    if task is None:
        if stage.kind == "task":
            yield Problem(where, f"the stage {stage.name!r} names no task: write task: NAME; see `rlkit ls tasks`")
        return
    if stage.kind == "task" and not task.classic:
        yield Problem(where, f"{task.name} has no pipeline but TRL's own: write a stage sft with task: {task.name}")
    if stage.kind in ("sft", "grpo") and task.reward is None:
        yield Problem(where, f"{task.name} is no task for text: it has its classic pipeline alone, a stage task")
    if stage.kind == "task" and (stage.lora or (stage.model and stage.model.load_in_4bit)):
        yield Problem(("lora",), f"the classic pipeline of {task.name} trains all weights: leave lora and 4 bits out")
    missing = [package for package in task.requires if importlib.util.find_spec(package) is None]
    if missing:
        yield Problem(where, str(MissingExtraError(f"the task {task.name}", missing[0], "tasks")))


def _engine(stage: Stage) -> Iterator[Problem]:
    """Settings of the engine that cannot work with this stage."""
    where, settings = (*stage.where, "generation"), stage.generation
    if settings.engine == "vllm" and importlib.util.find_spec("vllm") is None:
        yield Problem((*where, "engine"), str(MissingExtraError("generation.engine vllm", "vllm", "vllm")))
    if settings.engine == "vllm_server" and not settings.servers:
        yield Problem((*where, "servers"), "engine vllm_server needs the servers: [http://HOST:PORT, ...]")
    if settings.engine == "vllm_server" and stage.kind == "grpo" and stage.lora is None:
        said = "servers take a new adapter each step, not new weights: add lora: {r: 16}, or use engine: vllm"
        yield Problem((*where, "engine"), said)
    if stage.kind == "grpo" and stage.groups.overlap and settings.engine != "vllm_server":
        said = "overlap needs an engine elsewhere: generation.engine=vllm_server with generation.servers"
        yield Problem((*stage.where, "groups", "overlap"), said)


def _training(recipe: Recipe, stages: list[Stage]) -> Iterator[Problem]:
    """Fields of `training:`; at the top of a pipeline a field must suit one of the stages at least."""
    trained = [stage for stage in stages if stage.kind in trl_fields.CONFIGS]
    for stage in trained:
        for name, value in stage.training.items():
            own = stage.where and name in _own_training(recipe, stage)
            if not own and stage.where and _suits_another(stage, trained, name):
                continue
            said = trl_fields.problem(stage.kind, name, value)
            if said:
                yield Problem((*(stage.where if own else ()), "training", name), said)


def _adapters(stages: list[Stage]) -> Iterator[Problem]:
    """A stage goes on with the adapter that the last one left, so it cannot have other settings."""
    before: Stage | None = None
    for stage in stages:
        if stage.kind not in trl_fields.CONFIGS:
            continue
        before = None if stage.model is not None else before
        goes_on = stage.lora is not None and stage.lora.warm_start == "continue"
        if before and before.lora and stage.lora and goes_on and not stage.lora.same_adapter(before.lora):
            said = (
                f"it goes on with the adapter of the stage {before.name!r}, whose settings are other ones; a new one "
                f"is warm_start: merge (on that stage's model), or warm_start: fresh (on the base)"
            )
            yield Problem((*stage.where, "lora"), said)
        before = stage if stage.lora or before is None else before


def _suits_another(stage: Stage, trained: list[Stage], name: str) -> bool:
    missing_here = name not in trl_fields.fields(stage.kind)
    return missing_here and any(name in trl_fields.fields(other.kind) for other in trained)


def _own_training(recipe: Recipe, stage: Stage) -> dict[str, object]:
    assert recipe.stages is not None
    return getattr(recipe.stages[stage.index - 1].body, "training", {})
