"""Batch arithmetic of GRPO: do batch, accumulation and group size go together?"""

from typing import Any

from rlkit.recipe.generation import GenerationSection
from rlkit.recipe.groups import GroupsSection

SIZES = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "steps_per_generation",
    "generation_batch_size",
    "num_iterations",
)


def generation_batch(training: dict[str, Any], processes: int = 1) -> int:
    """Completions generated at a time: per-device batch x processes x batches per generation (TRL's defaults)."""
    if training.get("generation_batch_size"):
        return int(training["generation_batch_size"])
    per_device = training.get("per_device_train_batch_size", 8)
    accumulation = training.get("gradient_accumulation_steps", 1)
    return int(per_device * processes * (training.get("steps_per_generation") or accumulation))


def problem(training: dict[str, Any], generation: GenerationSection, processes: int = 1) -> str | None:
    """Why the sizes cannot work, with the nearest settings that do, or None."""
    group = generation.num_generations
    per_device = training.get("per_device_train_batch_size", 8)
    accumulation = training.get("gradient_accumulation_steps", 1)
    if not _are_sizes(training):
        return None  # the field's own check says so
    batch = generation_batch(training, processes)
    if training.get("generation_batch_size") and training.get("steps_per_generation"):
        return "set generation_batch_size or steps_per_generation, not both"
    step = per_device * processes
    if training.get("generation_batch_size") and batch % step:
        low, high = batch // step * step, -(-batch // step) * step
        return (
            f"generation_batch_size {batch} is no multiple of the {step} completions of a batch: "
            f"{_either(f'generation_batch_size={value}' for value in (low, high) if value)} works"
        )
    if batch % group == 0:
        return None
    rest = batch // per_device
    devices = [n for n in range(1, 4 * (per_device + group)) if n * rest % group == 0]
    accumulations = [n for n in range(1, group + 1) if step * n % group == 0]
    groups = [n for n in range(2, batch + 1) if batch % n == 0]
    ways = [f"training.per_device_train_batch_size={n}" for n in _nearest(per_device, devices)]
    if not training.get("generation_batch_size") and not training.get("steps_per_generation"):
        ways += [f"training.gradient_accumulation_steps={n}" for n in _nearest(accumulation, accumulations)[:1]]
    ways += [f"generation.num_generations={n}" for n in _nearest(group, groups)]
    return (
        f"{batch} completions are generated at a time (batch {per_device} x {processes} "
        f"process{'es' if processes > 1 else ''} x {rest // processes} batches), which groups of {group} do not "
        f"divide: {_either(ways)} works"
    )


def groups_problem(
    training: dict[str, Any], generation: GenerationSection, groups: GroupsSection, n: int
) -> str | None:
    """Why `groups:` does not go with the batch sizes of a run of `n` processes, or None."""
    if not _are_sizes(training):
        return None  # the field's own check says so
    rows = generation_batch(training, n) // n
    if (groups.extra_prompts or groups.curriculum) and rows % generation.num_generations:
        return (
            f"extra_prompts and curriculum need whole groups in each process: {rows} completions a process are not "
            f"groups of {generation.num_generations}; change training.per_device_train_batch_size"
        )
    one = {
        "steps_per_generation": training.get("gradient_accumulation_steps", 1),
        "generation_batch_size": None,
        "num_iterations": 1,
    }
    several = [name for name, value in one.items() if training.get(name) not in (None, value)]
    if groups.overlap and several:
        return f"overlap needs one generation a step: leave out training.{several[0]}"
    return None


def _are_sizes(training: dict[str, Any]) -> bool:
    sizes = [training.get(name) for name in SIZES]
    return all(size is None or (isinstance(size, int) and size >= 1) for size in sizes)


def _nearest(wanted: int, possible: list[int]) -> list[int]:
    """The nearest values on both sides."""
    below = [n for n in possible if n <= wanted]
    above = [n for n in possible if n > wanted]
    return below[-1:] + above[:1]


def _either(ways: Any) -> str:
    ways = list(ways)
    return ways[0] if len(ways) == 1 else ", ".join(ways[:-1]) + " or " + ways[-1]
