"""What `rlkit eval --completions` does: measures what was recorded."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlkit.measurement import Measurement
    from rlkit.recorded import Recorded
    from rlkit.scoring import RewardStack


def rewards(
    names: tuple[str, ...], recipe: str | None, overrides: tuple[str, ...], plugins: tuple[str, ...]
) -> tuple["RewardStack", dict[str, Any]]:
    """The rewards, and what a recipe asks to be measured."""
    from rlkit.errors import RequestError
    from rlkit.plugins import load_file
    from rlkit.recipe import spec
    from rlkit.recipe.load import load
    from rlkit.scoring import RewardStack

    if overrides and not recipe:
        raise RequestError(f"{overrides[0]} changes a recipe: name it with --recipe")
    for plugin in plugins:
        load_file(plugin)
    asked: dict[str, Any] = {}
    if recipe:
        section = load(recipe, overrides, evaluate=True).evaluation().eval
        asked = {"accuracy": section.accuracy, "ks": section.k, "by": section.by}
    return RewardStack(spec.terms(names, recipe, overrides), max_error_rate=1.0), asked


def measure(
    path: Path,
    against: str | None,
    stack: "RewardStack",
    columns: tuple[str, ...],
    asked: dict[str, Any],
    matched: dict[str, Any],
) -> list["Measurement"]:
    """Measure a file of completions, or two; `matched` takes how the rows of two were matched."""
    from rlkit import recorded
    from rlkit.cli.score import _pair
    from rlkit.progress import Progress

    renamed = dict(_pair(column) for column in columns)
    needed = [column for reward in stack.rewards for column in reward.columns]
    needed += [asked["by"]] if asked.get("by") else []
    say = Progress().say
    one = recorded.read(path, needed, renamed)
    if against is None:
        return [_measured(one, stack, asked, None)]
    found = recorded.match(one, recorded.read(Path(against), needed, renamed))
    matched |= {"matched_by": found.by, "left_out": list(found.left_out)}
    if found.by == "order":
        say(f"the rows of {path} and {against} share no prompt: they are compared in their order")
    elif any(found.left_out):
        left, right = found.left_out
        say(f"left out, for want of the prompt in the other file: {left:,} rows of {path}, {right:,} of {against}")
    files = zip((found.one, found.other), found.groups, strict=True)
    return [_measured(file, stack, asked, groups) for file, groups in files]


def _measured(file: "Recorded", stack: "RewardStack", asked: dict[str, Any], groups: list[int] | None) -> "Measurement":
    from rlkit import recorded
    from rlkit.errors import RunError

    before = dict(stack.errors)
    try:
        measured = recorded.measure(file, stack, groups=groups, **asked)
    finally:
        stack.close()
    failed = [name for name, count in stack.errors.items() if count - before[name] == len(file.rows)]
    if failed:
        raise RunError(f"failed on every row of {file.path}: {', '.join(failed)}; the reason stands above")
    return measured
