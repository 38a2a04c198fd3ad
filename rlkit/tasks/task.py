"""What a task is: one description with two faces, and one metric for both.

As a classic pipeline it makes features for a model with a head of its own, and reads the model's outputs. As text it
writes an example as a prompt and a target, and reads a completion. Either way comes to predictions, which `measure`
compares with the examples.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict

Example = dict[str, Any]


class Role(NamedTuple):
    """A column that a task reads: the names that datasets give it, the first that is there counts."""

    names: tuple[str, ...]
    optional: bool = False


class Task(BaseModel):
    """A supervised task; its fields are the parameters that a recipe sets.

    An example is a row with the task's roles as keys. A prediction is whatever `parse` and `predict` agree on.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )

    name: ClassVar[str]
    """As a recipe names it."""
    head: ClassVar[str]
    """The kind of model of its classic pipeline, one of `rlkit.heads`."""
    metric: ClassVar[str]
    """The figure of `measure` that says which model is best."""
    falls: ClassVar[bool] = False
    """Whether that figure is better the smaller it is."""
    roles: ClassVar[dict[str, Role]]
    """The columns that it reads."""
    reward: ClassVar[tuple[str, dict[str, Any]] | None] = None
    """The reward that is its metric for one sample, with its parameters; None: it has no face as text."""
    text_metric: ClassVar[str | None] = None
    """The figure that counts for completions, where it is another."""
    summed: ClassVar[bool] = False
    """Whether the model's losses are summed batch by batch, and nothing is predicted (see `rlkit.tasks.language`)."""
    classic: ClassVar[bool] = True
    """Whether it has a pipeline of its own; else a stage sft is all that it needs."""
    requires: ClassVar[tuple[str, ...]] = ()
    """Packages that its metric needs (the extra `tasks` has them)."""

    # What it learns of its training data

    def read(self, example: Example) -> Example | str:
        """The example in the form that the other methods take, or why it is left out ("without an answer")."""
        return example

    def fit(self, examples: Any) -> Self:
        """The task with what it takes from its training data, as the labels that there are."""
        return self

    def learned(self) -> dict[str, Any]:
        """The fields that `fit` sets, for the same task on other rows."""
        return {}

    def recall(self, config: Any) -> dict[str, Any]:
        """The same fields from the configuration of a model that was trained on it."""
        return {}

    def texts(self, example: Example) -> list[str]:
        """The texts of an example: what a tokenizer is trained on."""
        return [value for key in self.roles if isinstance(value := example.get(key), str)]

    # The classic face

    def config(self) -> dict[str, Any]:
        """Fields of the model's configuration, such as its labels."""
        return {}

    def features(self, examples: Any, tokenizer: Any, training: bool) -> Any:
        """A dataset of what the model reads; `training` ones have labels, the others what `predict` needs."""
        raise NotImplementedError

    def collator(self, tokenizer: Any, model: Any) -> Any:
        """Makes a batch of features."""
        from transformers import DataCollatorWithPadding

        return DataCollatorWithPadding(tokenizer)

    def predict(self, outputs: Any, features: Any, examples: Any, tokenizer: Any) -> list[Any]:
        """One prediction an example from the model's outputs (numpy arrays) over all features."""
        raise NotImplementedError

    # The face as text

    def prompt(self, example: Example) -> str | list[dict[str, str]]:
        """What the user asks; a conversation where there was one before."""
        raise NotImplementedError

    def target(self, example: Example) -> str:
        """What the assistant should answer."""
        raise NotImplementedError

    def columns(self, example: Example) -> Example:
        """What the reward compares a completion with; by default the target as `answer`."""
        return {"answer": self.target(example)}

    def parse(self, completion: str, example: Example) -> Any:
        """The prediction that a completion makes; None where it cannot be read."""
        raise NotImplementedError

    def unread(self, example: Example) -> Any:
        """The prediction that stands for a completion that cannot be read: wrong wherever wrong can be."""
        raise NotImplementedError

    # The metric

    def measure(self, predictions: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        """The figures over the corpus, `metric` among them."""
        raise NotImplementedError

    def scores(self, predictions: Sequence[Any], examples: Sequence[Example]) -> list[float] | None:
        """One figure an example whose mean is `metric`; None where there are none such, as for a corpus F1."""
        return None

    def baseline(self, training: Sequence[Example], examples: Sequence[Example]) -> tuple[str, list[Any]]:
        """What one gets without a model: its name, and its predictions for the examples."""
        raise NotImplementedError
