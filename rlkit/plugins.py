"""How rewards are found: entry points, plugin files, and dotted paths.

The built-in rewards come in through the entry-point group `rlkit.rewards`, the same door as anyone's.
"""

import functools
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from rlkit import function, names, registry
from rlkit.errors import RequestError
from rlkit.function import Reward
from rlkit.registry import REGISTRY

GROUP = "rlkit.rewards"


@functools.cache
def discover() -> dict[str, str]:
    """Import every installed plugin; returns what could not be imported, by entry point, with the reason."""
    broken = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        try:
            _load_point(point)
        except RequestError:
            raise
        except Exception as error:
            broken[f"{point.name} = {point.value}"] = f"{type(error).__name__}: {error}"
    return broken


def _load_point(point: EntryPoint) -> None:
    loaded = point.load()
    if callable(loaded) and not isinstance(loaded, Reward):  # a bare function: registered under the point's name
        registry.reward(point.name)(loaded)


def load_file(path: str | Path) -> list[Reward]:
    """Import a plugin file; returns the rewards that it registered.

    Raises:
        RequestError: The file is missing, or fails on import; the message names file and line.
    """
    path = Path(path)
    if not path.is_file():
        raise RequestError(f"plugin {path}: there is no such file (make one with: rlkit init reward NAME)")
    module_name = f"rlkit_plugin_{path.stem}_{hashlib.sha1(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise RequestError(f"plugin {path}: not a Python file; its name should end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    before = dict(REGISTRY)
    try:
        with _importable(path.parent):
            spec.loader.exec_module(module)
    except RequestError:
        raise
    except (Exception, SystemExit) as error:
        sys.modules.pop(module_name, None)
        raise RequestError(f"plugin {path}: {_where(error, path)}{type(error).__name__}: {error}") from error
    made = [made for name, made in REGISTRY.items() if before.get(name) is not made]
    if not made:
        raise RequestError(f'plugin {path}: it registers no reward; put @reward("NAME") over its function')
    return made


def _where(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: "
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).name == path.name]
    return f"line {lines[-1]}: " if lines else ""


def find(name: str, folder: Path | None = None) -> Reward:
    """The reward called `name`, or the function at a dotted path such as `trl.rewards.think_format_reward`.

    Args:
        name: A registered name, or `package.module.function` (or `package.module:function`).
        folder: Where modules are looked for besides the installed ones: the recipe's folder.

    Raises:
        RequestError: There is none; the message names the nearest.
    """
    discover()
    if name in REGISTRY:
        return REGISTRY[name]
    if "." in name or ":" in name:
        found = resolve(name, "reward", folder)
        if isinstance(found, Reward):
            return found
        return function.make(name.replace(":", ".").rpartition(".")[2], found, plain=True)
    hint = "see `rlkit ls rewards`; one of your own is given with --plugin FILE"
    raise RequestError(names.unknown("reward", name, REGISTRY, hint))


def resolve(path: str, kind: str, folder: Path | None = None) -> Any:
    """The object at a dotted path.

    Raises:
        RequestError: The module or the name in it does not exist, or the module fails on import.
    """
    module_name, _, attribute = path.rpartition(":") if ":" in path else path.rpartition(".")
    with _importable(folder):
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if module_name == missing or module_name.startswith(missing + "."):
                raise RequestError(f"{kind} {path!r}: there is no module {missing!r}") from None
            raise RequestError(f"{kind} {path!r}: it needs the package {missing!r}: pip install {missing}") from None
        except Exception as error:
            raise RequestError(f"{kind} {path!r}: importing {module_name} failed: {error}") from error
        try:
            found = getattr(module, attribute)
        except ImportError as error:  # lazy modules import on first access
            raise RequestError(f"{kind} {path!r}: {error}") from None
        except AttributeError:
            public = [name for name in dir(module) if not name.startswith("_")]
            said = names.unknown("name", attribute, public, f"see {module_name}")
            raise RequestError(f"{kind} {path!r}: {said}") from None
    if not callable(found):
        raise RequestError(f"{kind} {path!r} is a {type(found).__name__}, not a function")
    return found


@contextmanager
def _importable(folder: Path | None) -> Iterator[None]:
    """Modules beside the recipe and in the working folder can be imported, after the installed ones."""
    added = [str(Path.cwd()), *([str(folder)] if folder else [])]
    sys.path += added
    try:
        yield
    finally:
        for entry in added:
            sys.path.remove(entry)
