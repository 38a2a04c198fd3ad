"""What every training stage hands to TRL's configuration besides the recipe's own fields."""

from pathlib import Path
from typing import Any

from rlkit.errors import RequestError
from rlkit.policy import unsloth
from rlkit.recipe.recipe import Stage


def arguments(stage: Stage, seed: int, output: Path) -> dict[str, Any]:
    """Fields for SFTConfig or GRPOConfig: rlkit's defaults, then the recipe's `training:`.

    Where TRL's default would surprise: logs are written every step (SFT: every tenth), a checkpoint every tenth
    of the run, two are kept; nothing is reported to a service unless asked for; on a CPU, no 16-bit autocast.
    """
    import torch

    from rlkit.recipe import trl_fields

    cuda = torch.cuda.is_available()
    mixed = cuda and torch.cuda.is_bf16_supported()
    known = trl_fields.fields(stage.kind)
    defaults: dict[str, Any] = {
        "output_dir": str(output),
        "seed": seed,
        "use_cpu": not cuda,
        "bf16": mixed,
        "logging_steps": 1 if stage.kind == "grpo" or 0 < stage.training.get("max_steps", -1) <= 50 else 10,
        "save_steps": 0.1,
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
    }
    if select := stage.select:
        every = select.every or stage.training.get("save_steps", defaults["save_steps"])
        defaults |= {"save_steps": every, "eval_strategy": "steps", "eval_steps": every, "load_best_model_at_end": True}
        defaults |= {"metric_for_best_model": select.metric, "greater_is_better": select.greater_is_better}
    own = {name: value for name, value in stage.training.items() if not known or name in known}
    if own.get("fp16"):
        defaults["bf16"] = False
    return {**defaults, **own}


def build(config: type, fields: dict[str, Any], stage: Stage) -> Any:
    """Make TRL's configuration.

    Raises:
        RequestError: TRL refuses a field, or Unsloth makes something else of it.
    """
    try:
        with unsloth.quiet():
            made = config(**fields)
    except (TypeError, ValueError, ImportError) as error:
        raise RequestError(f"stage {stage.name!r}: TRL refuses its training fields: {error}") from error
    for name, (asked, got) in unsloth.changed(fields, made).items():
        raise RequestError(
            f"stage {stage.name!r}: training.{name}={asked}: unsloth makes it {got} here: set that, or backend: peft"
        )
    return made
