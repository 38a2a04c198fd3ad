"""`stages:` what a pipeline does, in order. Each stage takes a model and leaves a model or a measurement."""

from typing import Any, ClassVar

from pydantic import Field, model_validator

from rlkit.recipe.data import DataSection
from rlkit.recipe.evaluation import EvalSection
from rlkit.recipe.generation import GenerationSection
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import ModelSection
from rlkit.recipe.section import Section

RewardEntries = list[str | dict[str, dict[str, Any] | None]]


class SFTStage(Section):
    """Supervised fine-tuning on demonstrations or conversations (TRL's SFTTrainer)."""

    name: str | None = None
    """What summary and folders call it."""
    model: ModelSection | None = None
    """Start from this model, not from what the stage before left."""
    lora: LoraSection | None = None
    """Fields that differ from the recipe's `lora`."""
    data: DataSection | None = None
    """Fields that differ from the recipe's `data`."""
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


class EvalStage(EvalSection):
    """A measurement of the model as the stage before left it."""

    name: str | None = None
    """What summary and folders call it."""
    model: ModelSection | None = None
    """Measure this model, not what the stage before left."""
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
    eval: EvalStage | None = None
    """Measure."""

    KINDS: ClassVar[tuple[str, ...]] = ("sft", "grpo", "eval")

    @model_validator(mode="before")
    @classmethod
    def _allow_empty(cls, value: Any) -> Any:
        """`- eval:` with nothing under it is a stage with nothing set."""
        if isinstance(value, str):
            value = {value: {}}
        if isinstance(value, dict):
            value = {k: {} if v is None and k in cls.KINDS else v for k, v in value.items()}
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> "StageEntry":
        if len(self.model_fields_set) != 1:
            raise ValueError(f"a stage has one key, its kind: {', '.join(self.KINDS)}")
        return self

    @property
    def kind(self) -> str:
        """sft, grpo or eval."""
        return next(iter(self.model_fields_set))

    @property
    def body(self) -> SFTStage | GRPOStage | EvalStage:
        """The section under the kind."""
        return getattr(self, self.kind)
