"""`eval:` how a model is measured."""

from typing import Annotated

from pydantic import Field

from rlkit.recipe.data import DataSection
from rlkit.recipe.section import Section


class EvalSection(Section):
    """Measure the rewards on held-out data, each with its interval."""

    data: DataSection | None = None
    """Fields of `data` that are different here: the held-out split."""
    accuracy: str | None = None
    """The reward that says what is correct: 1.0 counts. Left out: accuracy or correctness, where it is there."""
    samples: int = Field(default=1, ge=1)
    """Completions of a prompt; from 2 on they are sampled, and pass@k and maj@k are measured too."""
    k: list[Annotated[int, Field(ge=1)]] | None = Field(default=None, min_length=1)
    """Which pass@k and maj@k are estimated from the samples, none above their number. Left out: 1 and that number."""
    by: str | None = None
    """A column by whose values accuracy and reward are told apart: a subject, a level, a source."""
    temperature: float = Field(default=0.0, ge=0.0)
    """0 is greedy; where samples is above 1 and this is 0, `generation.temperature` counts."""
    batch_size: int = Field(default=64, ge=1)
    """Completions generated at a time."""
