"""`rewards:` as recipes name them."""

from typing import Annotated, Any

from pydantic import BeforeValidator


def well_formed(rewards: Any) -> Any:
    """Say what is wrong with a reward's form in the words of a recipe."""
    if not isinstance(rewards, list):
        raise ValueError(f"it is a list: [{rewards if isinstance(rewards, str) else 'xmlcount, correctness'}]")
    for item in rewards:
        if isinstance(item, str):
            continue
        if not isinstance(item, dict) or len(item) != 1 or not isinstance(next(iter(item)), str):
            raise ValueError(f"{item!r} is no reward: write a name, or {{name: {{parameter: value, weight: 1.0}}}}")
        ((name, settings),) = item.items()
        if settings is not None and not isinstance(settings, dict):
            raise ValueError(f"{name}: write {{{name}: {{parameter: {settings!r}}}}}; see `rlkit show {name}`")
        alias = (settings or {}).get("name", "x")
        if not isinstance(alias, str) or not alias:
            raise ValueError(f"{name}: name is {alias!r}, not a text")
    return rewards


RewardEntries = Annotated[list[str | dict[str, dict[str, Any] | None]], BeforeValidator(well_formed)]
