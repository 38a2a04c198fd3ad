"""A reward as it is named on the command line: `NAME`, or `NAME:key=value,key=value`."""

import re
from pathlib import Path

from rlkit import plugins
from rlkit.errors import RequestError
from rlkit.recipe import checks, reader
from rlkit.recipe.load import load
from rlkit.recipe.recipe import RewardEntry, reward_entries
from rlkit.recipe.rewards import well_formed
from rlkit.registry import REGISTRY
from rlkit.weighting import Term

OPENING, CLOSING = "[{(", "]})"


def parse(text: str) -> RewardEntry:
    """The reward and its settings; values are YAML, as in a recipe.

    Raises:
        RequestError: It is not of that form.
    """
    plugins.discover()
    name, separator, rest = text.strip(), "", ""
    found = re.search(r":(?=\w+=)", name)
    if found:
        name, separator, rest = name[: found.start()], ":", name[found.end() :]
    elif ":" in name and name.partition(":")[0] in REGISTRY:
        raise RequestError(f"reward {text!r}: write {name.partition(':')[0]}:key=value,key=value")
    settings = {}
    for part in _parts(rest) if separator else []:
        key, equals, value = part.partition("=")
        if not equals or not key.strip().isidentifier():
            raise RequestError(f"reward {text!r}: {part!r} is no key=value; write NAME:key=value,key=value")
        settings[key.strip()] = reader.value(value)
    if not name:
        raise RequestError(f"reward {text!r} has no name; see `rlkit ls rewards`")
    try:
        return reward_entries(well_formed([{name: settings}]))[0]
    except ValueError as error:
        raise RequestError(f"reward {text!r}: {error}") from None


def terms(specs: tuple[str, ...], recipe: str | None = None, overrides: tuple[str, ...] = ()) -> list[Term]:
    """The rewards of a recipe's evaluation, and those that are named besides; plugins are loaded already.

    Raises:
        RequestError: There is none, or one is wrong.
    """
    entries: list[RewardEntry] = []
    folder: Path | None = None
    if recipe:
        loaded = load(recipe, overrides, evaluate=True)
        entries, folder = loaded.evaluation().rewards, loaded._folder
    entries = [*entries, *map(parse, specs)]
    if not entries:
        raise RequestError("score with which rewards? name them with --reward NAME or --recipe RECIPE")
    return checks.stack(entries, folder)


def _parts(text: str) -> list[str]:
    """The text cut at the commas that stand in no bracket and no quotes."""
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'" and parts[-1].endswith("="):  # elsewhere it is an apostrophe
            quote = sign
        depth += 0 if quote else (sign in OPENING) - (sign in CLOSING)
        if sign == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += sign
    return parts
