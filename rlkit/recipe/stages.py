"""`stages:` what a pipeline does, in order. Each stage takes a model and leaves a model or a measurement."""

from typing import Any, ClassVar

from pydantic import Field, model_validator

from rlkit.recipe.data import DataSection
from rlkit.recipe.evaluation import EvalSection
from rlkit.recipe.generation import GenerationSection
from rlkit.recipe.groups import GroupsSection
from rlkit.recipe.harness import HarnessSection
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import ModelSection
from rlkit.recipe.rewards import RewardEntries
from rlkit.recipe.section import Section
from rlkit.recipe.select import SelectSection
from rlkit.recipe.task import TaskEntry
from rlkit.tasks import TASKS

NAME = r"^[A-Za-z0-9][\w.-]*$"


class SFTStage(Section):
    """Supervised fine-tuning on demonstrations or conversations (TRL's SFTTrainer)."""

    name: str | None = Field(default=None, pattern=NAME)
    """What summary and folders call it."""
    model: ModelSection | None = None
    """Start from this model, not from what the stage before left."""
    lora: LoraSection | None = None
    """Fields that differ from the recipe's `lora`."""
    data: DataSection | None = None
    """Fields that differ from the recipe's `data`."""
    task: TaskEntry | None = None
    """Examples of this task, as text, instead of the recipe's."""
    select: SelectSection | None = None
    """Which checkpoint it leaves, where it is not the recipe's `select`."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Any field of TRL's SFTConfig."""


class GRPOStage(SFTStage):
    """Group relative policy optimisation (TRL's GRPOTrainer; arXiv 2402.03300)."""

    training: dict[str, Any] = Field(default_factory=dict)
    """Any field of TRL's GRPOConfig."""
    rewards: RewardEntries | None = None
    """Rewards instead of the recipe's."""
    generation: GenerationSection | None = None
    """Fields that differ from the recipe's `generation`."""
    groups: GroupsSection | None = None
    """Fields that differ from the recipe's `groups`."""


class TaskStage(Section):
    """The classic pipeline of a task: a model with a head of its own, under transformers' Trainer."""

    name: str | None = Field(default=None, pattern=NAME)
    """What summary and folders call it."""
    model: ModelSection | None = None
    """Start from this model, not from what the stage before left."""
    data: DataSection | None = None
    """Fields that differ from the recipe's `data`."""
    task: TaskEntry | None = None
    """The task, where it is not the recipe's."""
    held_out: float = Field(default=0.1, gt=0.0, lt=1.0)
    """Share of the rows that the best checkpoint is chosen on, where `eval.data` names none."""
    patience: int | None = Field(default=3, ge=1)
    """Stop after so many evaluations without a better one; null: go on to the end."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Any field of transformers' Seq2SeqTrainingArguments."""


class EvalStage(EvalSection):
    """A measurement of the model as the stage before left it."""

    name: str | None = Field(default=None, pattern=NAME)
    """What summary and folders call it."""
    model: ModelSection | None = None
    """Measure this model, not what the stage before left."""
    suite: str | None = None
    """Measure this suite (`rlkit ls suites`, or a YAML file): its data, rewards and figures, with the fields here laid
    over them; of the recipe only the engine is taken."""
    harness: HarnessSection | None = None
    """Measure tasks of lm-evaluation-harness, and nothing else of the recipe."""
    task: TaskEntry | None = None
    """Measure this task instead of the recipe's."""
    rewards: RewardEntries | None = None
    """Rewards instead of the recipe's."""
    generation: GenerationSection | None = None
    """Fields that differ from the recipe's `generation`."""


class StageEntry(Section):
    """One stage: a mapping with one key, its kind."""

    sft: SFTStage | None = None
    """Imitate demonstrations."""
    grpo: GRPOStage | None = None
    """Improve under rewards."""
    task: TaskStage | None = None
    """Train a task's classic pipeline."""
    eval: EvalStage | None = None
    """Measure."""

    KINDS: ClassVar[tuple[str, ...]] = ("sft", "grpo", "task", "eval")

    @model_validator(mode="before")
    @classmethod
    def _allow_empty(cls, value: Any) -> Any:
        """`- eval:` with nothing under it is a stage with nothing set."""
        if isinstance(value, str):
            value = {value: {}}
        if isinstance(value, dict):
            value = {k: {} if v is None and k in cls.KINDS else v for k, v in value.items()}
            named = value.get("task")
            if isinstance(named, str) or (isinstance(named, dict) and len(named) == 1 and {*named} <= {*TASKS}):
                value = {**value, "task": {"task": named}}
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> "StageEntry":
        if len(self.model_fields_set) != 1:
            raise ValueError(f"a stage has one key, its kind: {', '.join(self.KINDS)}")
        return self

    @property
    def kind(self) -> str:
        """One of KINDS."""
        return next(iter(self.model_fields_set))

    @property
    def body(self) -> SFTStage | GRPOStage | TaskStage | EvalStage:
        """The section under the kind."""
        return getattr(self, self.kind)
