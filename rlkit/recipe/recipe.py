"""A whole recipe, and the stages that it comes to."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, model_validator

from rlkit import tasks, weighting
from rlkit.recipe.data import OF_THE_PATH, DataSection
from rlkit.recipe.evaluation import EvalSection
from rlkit.recipe.generation import GenerationSection
from rlkit.recipe.groups import GroupsSection
from rlkit.recipe.harness import HarnessSection
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import ModelSection
from rlkit.recipe.push import PushSection
from rlkit.recipe.rewards import RewardEntries
from rlkit.recipe.section import Section
from rlkit.recipe.select import SelectSection
from rlkit.recipe.stages import EvalStage, StageEntry
from rlkit.recipe.task import TaskEntry
from rlkit.tasks import Task

ENGINE = ("engine", "dtype", "vllm", "servers", "adapter_folder", "check_sync")
"""Fields of `generation` that say what generates, not what is drawn."""
K_SAMPLES = re.compile(r"(?:pass|maj)@(\d+)")
"""Figures that need so many samples of a prompt."""


@dataclass(frozen=True)
class RewardEntry:
    """A reward as a recipe names it."""

    reward: str
    parameters: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    """How much it counts: `weight`, `clip`, `gate` and `on_error` (`rlkit.weighting`)."""
    name: str | None = None


@dataclass
class Stage:
    """One stage with everything that it inherits."""

    kind: str
    name: str
    index: int
    model: ModelSection | None
    """None: what the stage before left."""
    lora: LoraSection | None
    data: DataSection
    rewards: list[RewardEntry]
    generation: GenerationSection
    groups: GroupsSection
    eval: EvalSection
    training: dict[str, Any]
    where: tuple[str | int, ...]
    """Where in the recipe it stands, for messages."""
    task: Task | None = None
    """The task whose examples it trains or measures on."""
    held_out: DataSection | float = 0.1
    """Of a task: what the best checkpoint is chosen on, or which share of the rows."""
    patience: int | None = None
    """Of a task: evaluations without a better one after which it stops."""
    select: SelectSection | None = None
    """Of sft and grpo: which checkpoint is left."""
    harness: HarnessSection | None = None
    """Of eval: the tasks of lm-evaluation-harness that it measures instead of rows."""
    measure: "Stage | None" = None
    """Of a stage that selects: the eval stage that is run at each checkpoint."""

    @property
    def folder(self) -> str:
        """Its folder in the run directory."""
        return f"{self.index}-{self.name}"


class Recipe(Section):
    """A recipe: one stage written flat, or a pipeline under `stages:` whose stages inherit the sections above them."""

    description: str | None = None
    """What it is for."""
    model: ModelSection = ModelSection()
    """What is trained."""
    lora: LoraSection | None = None
    """Train an adapter instead of all weights."""
    data: DataSection = DataSection()
    """Prompts, answers, demonstrations."""
    task: TaskEntry | None = None
    """A supervised task: a name, or {name: {parameter: value}}; sft, grpo and eval see its examples as text."""
    rewards: RewardEntries = Field(default_factory=list)
    """Reward functions: a name, or {name: {parameter: value, weight: 1.0}}."""
    generation: GenerationSection = GenerationSection()
    """How groups are generated."""
    groups: GroupsSection = GroupsSection()
    """Which groups a step trains on, and how they go through the policy."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Any field of TRL's GRPOConfig or SFTConfig; in a pipeline it reaches the stages whose trainer has the field."""
    eval: EvalSection | None = None
    """How the model is measured."""
    select: SelectSection | None = None
    """Which checkpoint each sft and grpo stage leaves; left out: the last one."""
    stages: list[StageEntry] | None = None
    """The stages of a pipeline. Without it the recipe is one: grpo where it has rewards, else its task, else sft."""
    push: PushSection | None = None
    """Push the run's checkpoints to the Hub."""
    plugins: list[str] = Field(default_factory=list)
    """Plugin files with rewards, relative to the recipe."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of data order, sampling and new weights."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of PyTorch; one is fastest for a very small model."""
    max_error_rate: float = Field(default=0.2, ge=0.0, le=1.0)
    """Share of the last 100 completions on which a reward may fail before the run stops."""
    reward_processes: int | None = Field(default=None, ge=1)
    """Processes in which a reward with a time limit is scored; by default the cores at hand, at most 8."""

    _name: str = PrivateAttr(default="recipe")
    _folder: Path | None = PrivateAttr(default=None)
    _suites: dict[str, "Recipe | None"] = PrivateAttr(default_factory=dict)
    """The suites that its stages name, as `rlkit.recipe.load` found them; None: one that is wrong."""

    @model_validator(mode="after")
    def _stages_not_empty(self) -> "Recipe":
        if self.stages is not None and not self.stages:
            raise ValueError("stages: the list is empty")
        return self

    def resolved(self) -> list[Stage]:
        """Every stage with what it inherits, in order. Names are unique: the kind, numbered where it repeats."""
        alone = "grpo" if self.rewards else "task" if self.task else "sft"
        entries = self.stages or [StageEntry.model_validate({alone: {}})]
        names = [entry.body.name or entry.kind for entry in entries]
        stages: list[Stage] = []
        for index, entry in enumerate(entries, start=1):
            body, kind, name = entry.body, entry.kind, names[index - 1]
            if not body.name and names.count(name) > 1:
                name = f"{name}{1 + names[: index - 1].count(name)}"
            training = getattr(body, "training", {})
            trained = any(stage.kind != "eval" for stage in stages)
            evaluation = inherit(EvalSection(), self.eval, body if kind == "eval" else None, fields=EvalSection)
            inherited = self.eval.data if self.eval and kind == "eval" else None
            base_lora = self.lora if kind != "eval" else None
            own_lora = getattr(body, "lora", None)
            entry_of_task = body.task or self.task
            task = tasks.make(entry_of_task) if entry_of_task else None
            of_task: RewardEntries = [{task.reward[0]: task.reward[1]}] if task and task.reward else []
            data = inherit(DataSection(), self.data, inherited, body.data)
            held_out = getattr(body, "held_out", 0.1)
            if kind == "task" and self.eval and self.eval.data:
                held_out = inherit(DataSection(), self.data, body.data, self.eval.data)
            select = (getattr(body, "select", None) or self.select) if kind in ("sft", "grpo") else None
            stages.append(
                Stage(
                    kind=kind,
                    name=name,
                    index=index,
                    model=body.model or (None if trained else self.model),
                    lora=inherit(LoraSection(), base_lora, own_lora) if base_lora or own_lora else None,
                    data=data,
                    rewards=reward_entries(getattr(body, "rewards", None) or self.rewards or of_task),
                    generation=inherit(GenerationSection(), self.generation, getattr(body, "generation", None)),
                    groups=inherit(GroupsSection(), self.groups, getattr(body, "groups", None)),
                    eval=evaluation,
                    training={**self.training, **training},
                    where=("stages", index - 1, kind) if self.stages else (),
                    task=task,
                    held_out=held_out,
                    patience=getattr(body, "patience", None),
                    select=select,
                    harness=getattr(body, "harness", None),
                )
            )
            if isinstance(body, EvalStage) and body.suite and (suite := self._suites[body.suite]):
                stages[-1] = self._of_suite(stages[-1], body, suite.evaluation())
            stages[-1].measure = self._measuring(stages[-1])
        return stages

    def _of_suite(self, stage: Stage, own: EvalStage, suite: Stage) -> Stage:
        """A stage that measures a suite: its own fields over the suite's; the recipe says by what engine, no more."""
        engine, batch = _only(self.generation, ENGINE), _only(self.eval, ("batch_size",))
        return replace(
            stage,
            data=inherit(DataSection(), suite.data, own.data),
            task=tasks.make(own.task) if own.task else suite.task,
            rewards=reward_entries(own.rewards) if own.rewards else suite.rewards,
            generation=inherit(GenerationSection(), engine, suite.generation, own.generation),
            eval=inherit(EvalSection(), batch, suite.eval, own, fields=EvalSection),
        )

    def _measuring(self, stage: Stage) -> Stage | None:
        """The eval stage by which a training stage selects its checkpoint."""
        select = stage.select
        if select is None:
            return None
        own = self.eval.data if self.eval and select.split == "eval" else None
        other = {} if select.split == "eval" else {"split": select.split}
        limit = {"limit": select.limit} if select.limit else {}
        section = inherit(EvalSection(), self.eval).model_copy(update={"by": None, "k": None})
        if found := K_SAMPLES.fullmatch(select.metric):
            k = int(found[1])
            section = section.model_copy(update={"k": [k], "samples": max(k, section.samples)})
        return replace(
            stage,
            kind="eval",
            name=f"{stage.name} select",
            data=inherit(DataSection(), stage.data, own).model_copy(update={**other, **limit}),
            rewards=reward_entries(select.rewards) if select.rewards else stage.rewards,
            eval=section,
            training={},
            where=(*stage.where, "select") if stage.where and "select" in self.set_by(stage) else ("select",),
            select=None,
        )

    def set_by(self, stage: Stage) -> set[str]:
        """The fields that the stage's own entry under `stages:` sets; none where the recipe lists no stages."""
        return set() if self.stages is None else self.stages[stage.index - 1].body.model_fields_set

    def evaluation(self) -> Stage:
        """The stage that `rlkit eval` runs: the last eval stage, or one made of the flat sections and `eval:`."""
        evals = [stage for stage in self.resolved() if stage.kind == "eval"]
        if evals:
            return evals[-1]
        entry = StageEntry.model_validate({"eval": {}})
        (stage,) = self.model_copy(update={"stages": [entry]}).resolved()
        stage.where = ("eval",)
        return stage


def _only(section: Any, fields: Iterable[str]) -> Any:
    """A section with no more than some of its fields set."""
    return section and type(section)(**{name: getattr(section, name) for name in section.model_fields_set & {*fields}})


def inherit(base: Any, *layers: Any, fields: type[Section] | None = None) -> Any:
    """A section with each layer's set fields laid over the ones before; None layers are skipped.

    A layer that names another data path leaves behind what belonged to the path before.
    """
    kind = fields or type(base)
    merged: dict[str, Any] = {}
    for layer in layers:
        if layer is None:
            continue
        given = {key: getattr(layer, key) for key in layer.model_fields_set if key in kind.model_fields}
        if issubclass(kind, DataSection) and given.get("path") not in (None, merged.get("path")):
            merged = {key: value for key, value in merged.items() if key not in OF_THE_PATH}
        merged |= given
    return base.model_copy(update=merged)


def reward_entries(rewards: RewardEntries) -> list[RewardEntry]:
    """The rewards of a recipe, their short forms spelt out."""
    entries = []
    for item in rewards:
        name, settings = (item, None) if isinstance(item, str) else next(iter(item.items()))
        settings = dict(settings or {})
        alias = settings.pop("name", None)
        counts = {key: settings.pop(key) for key in weighting.SETTINGS if key in settings}
        entries.append(RewardEntry(name, settings, counts, alias))
    return entries
