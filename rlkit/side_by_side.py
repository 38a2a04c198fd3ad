"""Several models measured on the same prompts with the same seed."""

from collections.abc import Sequence
from typing import Any

from rlkit import measuring
from rlkit.errors import RequestError
from rlkit.measurement import Measurement
from rlkit.progress import Progress
from rlkit.recipe.recipe import Recipe


def evaluate(
    recipe: Recipe,
    models: Sequence[str],
    samples: int | None = None,
    by: str | None = None,
    progress: Progress | None = None,
) -> list[Measurement]:
    """Measure models as `rlkit.measuring.evaluate` does, one after the other.

    Args:
        recipe: Whose data, rewards and generation are used.
        models: Each a folder, a hub id, or a run directory.
        samples: Completions a prompt instead of the recipe's; pass@k and maj@k of that number.
        by: A column by whose values accuracy and reward are told apart, instead of the recipe's.
        progress: Where lines for a person go.

    Raises:
        RequestError: One cannot be measured, or they would not be on the same rows; before any model is loaded.
    """
    plans = [measuring.plan(recipe, model, samples, by) for model in models]
    prompts = [plan.rows[plan.stages[0].index].dataset for plan in plans if plan.rows]  # the harness has its own
    if prompts:
        same_rows(models, prompts)
    return [measuring.run(plan, progress) for plan in plans]


def same_rows(models: Sequence[str], datasets: Sequence[Any]) -> None:
    """See that the prompts of several models are made of the same rows: tokenizers may find different ones too long.

    Args:
        models: What each is called.
        datasets: The rows of each.

    Raises:
        RequestError: They are not.
    """
    first, *others = [[{**row, "prompt": None} for row in dataset] for dataset in datasets]
    for model, rows in zip(models[1:], others, strict=True):
        if rows != first:
            raise RequestError(
                f"{models[0]} and {model} would not be measured on the same rows: data.max_prompt_length leaves out "
                f"others for each tokenizer; raise it, or set data.max_prompt_length=null"
            )
