"""`select:` which checkpoint a training stage leaves."""

from pydantic import Field

from rlkit.recipe.rewards import RewardEntries
from rlkit.recipe.section import Section


class SelectSection(Section):
    """Leave the checkpoint that measures best on held-out data, by a figure that need not be the reward.

    Measured with `eval:` (samples, temperature, accuracy) before the first step and at every checkpoint; a reward that
    is being exploited does not pick the winner too.
    """

    metric: str
    """A figure of an evaluation: accuracy, pass@1, maj@8, a reward's name, reward, or one of the task's."""
    rewards: RewardEntries | None = None
    """Rewards to measure by; left out: those of the stage."""
    split: str = "eval"
    """eval: what `eval.data` says. Else that split of the stage's own data, as validation or train[-200:]."""
    limit: int | None = Field(default=None, ge=1)
    """Measure on the first so many rows."""
    every: int | None = Field(default=None, ge=1)
    """Steps from one measurement, and checkpoint, to the next; left out: `training.save_steps`."""
    greater_is_better: bool = True
    """false for figures such as clipped or mean_length."""
    patience: int | None = Field(default=None, ge=1)
    """End the stage after so many measurements without a better one."""
