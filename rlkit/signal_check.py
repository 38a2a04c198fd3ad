"""Whether a recipe's rewards would teach a model anything: groups sampled and scored as its first step would."""

import itertools
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlkit import groups, measuring, policy
from rlkit.errors import RequestError
from rlkit.evaluation import draw
from rlkit.groups import Spread
from rlkit.plan import Plan
from rlkit.progress import Progress
from rlkit.recipe.recipe import Recipe, Stage
from rlkit.runs import RunDirectory, is_run
from rlkit.scoring import RewardStack

ALIKE = 0.95
"""Correlation from which on two rewards say the same."""


@dataclass
class Signal:
    """What the first step of a GRPO stage would see."""

    stage: str
    prompts: int
    group: int
    """Completions a prompt."""
    total: Spread
    """Of the weighted sum of the rewards."""
    rewards: dict[str, Spread]
    clipped: float
    """Share of the completions that were cut off at the length limit."""
    mean_length: float
    """In tokens."""
    correlations: dict[tuple[str, str], float | None]
    """Of each pair of rewards within the groups (Pearson's, in -1..1); None where one of them never varies there."""

    def as_json(self) -> dict[str, Any]:
        """One JSON object."""
        return {
            "stage": self.stage,
            "prompts": self.prompts,
            "num_generations": self.group,
            "share_without_variance": self.total.flat_share,
            "clipped": self.clipped,
            "mean_length": self.mean_length,
            "rewards": {name: spread.as_json() for name, spread in self.rewards.items()},
            "correlations": {f"{one}, {other}": value for (one, other), value in self.correlations.items()},
        }

    def lines(self) -> list[str]:
        """The same in words, each with the setting that would mend it."""
        flat = self.total.flat_share or 0.0
        said = [f"stage {self.stage!r}: signal of {self.prompts} prompts, {self.group} completions each"]
        hint = ": raise generation.temperature or num_generations, or choose other prompts" if flat > 0.5 else ""
        said.append(f"groups without variance, which teach nothing: {flat:.0%}{hint}")
        hint = ": raise generation.max_completion_length" if self.clipped > 0.2 else ""
        said.append(f"completions cut off at the length limit: {self.clipped:.0%}{hint}")
        for name, spread in self.rewards.items():
            mean = "no value" if spread.mean is None else f"mean {spread.mean:.3g}, std {spread.std:.3g}"
            hint = "; never differs within a group, so it teaches nothing yet" if spread.flat == spread.groups else ""
            said.append(f"reward {name}: {mean}{hint}")
        for (one, other), value in self.correlations.items():
            if value is not None:
                hint = ": one of them would do" if value > ALIKE else ": they pull apart" if value < -0.5 else ""
                said.append(f"rewards {one} and {other} correlate by {value:+.2f} within groups{hint}")
        return said


def check(recipe: Recipe, model: str, prompts: int = 16, progress: Progress | None = None) -> Signal:
    """Sample groups for the first GRPO stage of a recipe from a model, and score them.

    Args:
        recipe: From `rlkit.recipe.load`.
        model: A folder, a hub id, or a run directory (its last model): what the stage would start from.
        prompts: How many, from the beginning of the stage's data.
        progress: Where lines for a person go.

    Raises:
        RequestError: The recipe has no GRPO stage, or the model or the data does not exist.
    """
    progress = progress or Progress(quiet=True)
    stage = next((stage for stage in recipe.resolved() if stage.kind == "grpo"), None)
    if stage is None:
        raise RequestError(f"recipe {recipe._name} has no grpo stage whose signal --model could check")
    path = str(RunDirectory(Path(model)).model()) if is_run(Path(model)) else model
    stage.model = recipe.model.model_copy(update={"path": path, "from_scratch": None, "revision": None})
    stage.lora = None
    plan = Plan.make(recipe, [stage])
    measuring.settle(recipe)
    loaded = policy.load(stage.model, train=False)
    dataset = plan.rows[stage.index].dataset
    dataset = dataset.select(range(min(prompts, len(dataset))))
    stack = measuring.reward_stack(plan, stage, loaded, progress)
    n = stage.generation.num_generations
    done = progress.count("sampled", len(dataset) * n)
    temperature = stage.generation.temperature
    drawn = draw(loaded, dataset, stack, stage, n=n, temperature=temperature, seed=recipe.seed, progress=done)
    split = [list(range(start, start + n)) for start in range(0, len(drawn.texts), n)]
    return _signal(stage, stack, drawn, split)


def _signal(stage: Stage, stack: RewardStack, drawn: Any, split: list[list[int]]) -> Signal:
    total, rewards = Spread(), {name: Spread() for name in stack.names}
    total.add(stack.total(drawn.scores, step=0), split)
    for name, spread in rewards.items():
        spread.add(drawn.scores[name], split)
    scores, pairs = drawn.scores, itertools.combinations(stack.names, 2)
    return Signal(
        stage=stage.name,
        prompts=len(split),
        group=stage.generation.num_generations,
        total=total,
        rewards=rewards,
        clipped=drawn.clipped,
        mean_length=statistics.fmean(map(len, drawn.ids)),
        correlations={(one, other): _correlation(scores[one], scores[other], split) for one, other in pairs},
    )


def _correlation(one: list[float | None], other: list[float | None], split: list[list[int]]) -> float | None:
    """Of two rewards within the groups, over the completions on which both have a value."""
    both = [[i for i in group if one[i] is not None and other[i] is not None] for group in split]
    kept = [group for group in both if group]
    known = [i for group in kept for i in group]
    centred = [groups.centred([v or 0.0 for v in values], kept) for values in (one, other)]
    x, y = ([values[i] for i in known] for values in centred)
    try:
        return statistics.correlation(x, y)
    except statistics.StatisticsError:  # one of them is constant
        return None
