"""Which tasks of lm-evaluation-harness are meant, and whether they can be run here."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlkit import hub, names
from rlkit.errors import MissingExtraError, RequestError
from rlkit.harness.guard import alone, seeded
from rlkit.progress import Progress
from rlkit.recipe.harness import HarnessSection

PACKAGED = {"arrow", "csv", "json", "pandas", "parquet", "text"}
"""Values of `dataset_path` that mean a format of local files, not a data set on the hub."""


def load(section: HarnessSection, folder: Path | None = None) -> dict[str, Any]:
    """The tasks and their data, as lm_eval's `TaskManager.load` gives them; no model is needed, and none loaded.

    Args:
        section: Which tasks.
        folder: Where `section.include_path` starts from; None: the working directory.

    Raises:
        MissingExtraError: lm_eval is not installed.
        RequestError: A task does not exist, its data cannot be had, or it runs a model's code.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise MissingExtraError("eval.harness", "lm-eval", "eval")
    with alone(Progress(quiet=True)), seeded(section.seed):
        wanted = list(dict.fromkeys(section.tasks))
        manager = _manager(wanted, section.include_path, folder)
        leaves = [leaf for name in wanted for leaf in _leaves(name, manager.task_index)]
        for name, config in leaves:
            _refuse_code(name, config)
        sources = {str(config.get("dataset_path") or "json") for _, config in leaves} - PACKAGED
        if any(map(hub.is_hub_id, sources)):
            hub.reachable()
        try:
            loaded = manager.load(wanted)
        except Exception as error:  # of a task's own functions, of datasets, of the hub
            raise RequestError(f"harness.tasks {', '.join(wanted)}: they cannot be loaded: {first(error)}") from error
        for name, task in loaded["tasks"].items():
            _refuse_code(name, {"unsafe_code": getattr(task, "UNSAFE_CODE", False)})
            if getattr(task, "MULTIMODAL", False):
                raise RequestError(f"harness.tasks {name}: it shows pictures or plays sound; rlkit's models read text")
        return dict(loaded)


def _manager(wanted: list[str], include_path: str | None, folder: Path | None) -> Any:
    """lm_eval's index of tasks. To read its own takes seconds: left out where the user's folder has all."""
    from lm_eval.tasks import TaskManager

    own = None
    if include_path is not None:
        own = (folder or Path()) / Path(include_path).expanduser()
        if not own.is_dir():
            raise RequestError(f"harness.include_path {include_path!r}: there is no such folder ({own.resolve()})")
        manager = TaskManager(include_path=own, include_defaults=False)
        if all(_closed(name, manager.task_index) for name in wanted):
            return manager
    manager = TaskManager(include_path=own)
    for name in wanted:
        if name not in manager.task_index:
            said = names.unknown("task", name, manager.all_tasks, "`lm-eval ls tasks` names those of lm_eval")
            raise RequestError(f"harness.tasks: {said}")
    return manager


def _leaves(name: str, index: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """A task, group or tag and all under it, each with its configuration; what is not in the index has none."""
    entry = index.get(name)
    if entry is None or name in above:
        yield name, {}
        return
    yield name, entry.cfg or {}
    members = sorted(entry.tags) if entry.kind.name == "TAG" else []
    if entry.kind.name == "GROUP":
        listed = (entry.cfg or {}).get("task")
        members = listed if isinstance(listed, list) else []
    for member in members:
        inner = member if isinstance(member, str) else member.get("group") or member.get("task")
        if isinstance(member, dict):
            yield str(inner), member
            if inner not in index:
                continue
        yield from _leaves(inner, index, (*above, name))


def _closed(name: str, index: Any) -> bool:
    return all(config or inner in index for inner, config in _leaves(name, index))


def _refuse_code(name: str, config: dict[str, Any]) -> None:
    """Refuse what runs the model's code in this very process."""
    used = [each.get("metric") for each in config.get("metric_list") or [] if isinstance(each, dict)]
    if config.get("unsafe_code") or "code_eval" in used:
        raise RequestError(
            f"harness.tasks {name}: lm_eval runs the code that a model writes for it in this process, unguarded; "
            "rlkit eval --suite humaneval runs code in the sandbox"
        )


def first(error: Exception) -> str:
    """The first line of what an error says."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]
