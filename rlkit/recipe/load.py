"""From a name or a file to a checked recipe, or to all that is wrong with it at once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from rlkit import names
from rlkit.errors import RequestError
from rlkit.recipe import checks, reader
from rlkit.recipe.checks import Problem
from rlkit.recipe.files import locate, locate_suite
from rlkit.recipe.overrides import lay_over
from rlkit.recipe.recipe import Recipe
from rlkit.recipe.stages import StageEntry


def load(
    source: str,
    overrides: tuple[str, ...] = (),
    plugins: tuple[str, ...] = (),
    processes: int | None = None,
    evaluate: bool = False,
    text: str | None = None,
    nested: bool = False,
) -> Recipe:
    """Load and check a recipe.

    Args:
        source: A file, or the name of a built-in recipe.
        overrides: `a.b=v`, laid over the file.
        plugins: More plugin files, relative to the working folder.
        processes: Processes that will train, for the batch arithmetic; from WORLD_SIZE where None.
        evaluate: Only its evaluation will run: what training asks for is not checked.
        text: The recipe itself; `source` is then only what messages call it.
        nested: A stage of another recipe names it as its suite.

    Raises:
        RequestError: With every problem, each with its line and the nearest right name.
    """
    path = locate(source) if text is None else Path(source)
    try:
        text = path.read_text() if text is None else text
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"recipe {path}: cannot be read: {error}") from None
    data, lines = reader.parse(text, str(path))
    touched = lay_over(data, overrides)
    recipe, problems = _validate(data)
    if recipe is not None:
        recipe._name, recipe._folder = path.stem, _folder(path)
        recipe.plugins = [*(str(_beside(path, file)) for file in recipe.plugins), *plugins]
        wrong = list(_suites(recipe, nested))
        problems += wrong
        said = {problem.path for problem in problems}
        found = checks.check(recipe, processes, evaluate)
        # What was cut out as wrong is not missing too.
        no_rewards = any(path[:1] == ("rewards",) for path in said)
        problems += [
            p
            for p in found
            if not any(s[: len(p.path)] == p.path for s in said)
            and not (no_rewards and p.path[-1:] == ("data",))
            and not any(p.path[:3] == each.path[:3] for each in wrong)
        ]
    if problems or recipe is None:
        raise RequestError(_report(str(path), problems, lines, touched))
    return recipe


def _suites(recipe: Recipe, nested: bool) -> Iterator[Problem]:
    """Load the suites that stages name; what is wrong with one, at the place of its stage."""
    for index, entry in enumerate(recipe.stages or []):
        name, where = entry.eval and entry.eval.suite, ("stages", index, "eval", "suite")
        if not name:
            continue
        recipe._suites.setdefault(name, None)
        if nested:
            yield Problem(where, "this is a suite itself, and a suite names no other")
            continue
        try:
            recipe._suites[name] = load(str(locate_suite(name, recipe._folder)), evaluate=True, nested=True)
        except RequestError as error:
            first, *lines = str(error).split("\n")
            yield from (Problem(where, f"{name}: {line.strip()}" if lines else line) for line in lines or [first])


def _folder(recipe: Path) -> Path:
    """Where modules beside the recipe stand: its folder, or for the copy in a run directory the original's."""
    try:
        return Path(json.loads((recipe.parent / "env.json").read_text())["recipe_folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return recipe.parent


def _beside(recipe: Path, file: str) -> Path:
    beside = (recipe.parent / file).resolve()
    return beside if beside.exists() else Path(file)


def _validate(data: dict[str, Any]) -> tuple[Recipe | None, list[Problem]]:
    """The recipe and its schema's problems; what is wrong is cut out so that the rest can be checked as well."""
    try:
        return Recipe.model_validate(data), []
    except ValidationError as error:
        problems = list(dict.fromkeys(_problem(data, e) for e in error.errors()))
    for problem in problems:
        _cut(data, problem.path)
    try:
        return Recipe.model_validate(data), problems
    except ValidationError:
        return None, problems


def _problem(data: Any, error: Any) -> Problem:
    path = tuple(key for key in _existing(data, error["loc"]))
    if error["type"] == "extra_forbidden":
        fields = _fields(path[:-1])
        if path[-1] in StageEntry.KINDS and len(path) == 1:
            return Problem(
                path, f"the recipe has no stages to reach by {path[-1]!r}: write training.max_steps=2 and so on"
            )
        return Problem(path, names.unknown("key", str(path[-1]), fields))
    if error["type"] == "missing":
        return Problem(path, f"{error['loc'][-1]} is missing")
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        message = "this is a section: write key: value pairs under it"
    shown = "" if isinstance(error.get("input"), dict | list) else f" (it is {error.get('input')!r})"
    return Problem(path, message[0].lower() + message[1:] + ("" if error["type"] == "value_error" else shown))


def _existing(data: Any, loc: tuple[Any, ...]) -> list[Any]:
    """The part of pydantic's location that is a path of the data: it also names the arms of unions."""
    path = []
    for key in loc:
        if (isinstance(data, dict) and key in data) or (
            isinstance(data, list) and isinstance(key, int) and key < len(data)
        ):
            data = data[key]
        else:
            continue
        path.append(key)
    return path


def _fields(path: tuple[Any, ...]) -> list[str]:
    """The keys that the schema knows at a path."""
    model: type[BaseModel] = Recipe
    for key in path:
        if isinstance(key, str) and key in model.model_fields:
            found = _model_in(model.model_fields[key].annotation)
            if found is None:
                return []
            model = found
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arm in get_args(annotation) if (found := _model_in(arm))), None)


def _cut(data: Any, path: tuple[Any, ...]) -> None:
    for key in path[:-1]:
        data = data[key] if isinstance(data, list) or key in data else {}
    if isinstance(data, dict) and path:
        data.pop(path[-1], None)


def _report(origin: str, problems: list[Problem], lines: dict[reader.Path, int], touched: set[reader.Path]) -> str:
    rows = []
    for path, message in problems:
        known = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in lines), ())
        overridden = any(path[: len(t)] == t for t in touched) or (
            path and not known and path in {t[:1] for t in touched}
        )
        line = -1 if overridden else lines.get(known, 1)
        at = "command line" if overridden else f"line {line}"
        rows.append((line, f"  {at}: {'.'.join(map(str, path)) + ': ' if path else ''}{message}"))
    count = f"{len(rows)} problem{'s' if len(rows) > 1 else ''}"
    return "\n".join([f"recipe {origin}: {count}", *(text for _, text in sorted(rows, key=lambda row: row[0]))])
