"""Starts and ends vLLM in this process, and keeps what it does to the process away from the training beside it."""

import contextlib
import gc
import os
import random
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlkit.errors import RlkitError, RunError

FORCED = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
"""Environment in which vLLM starts: in this process, where the policy's weights are."""
DEFAULTS = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
"""Environment in which vLLM starts where the user's does not say otherwise."""
_running: dict[int, Path] = {}
"""The engines of this process, by id, each with the file through which it met its (only) worker."""
_foreign = False
"""torch.distributed was set up before them, by others."""


def start(arguments: dict[str, Any]) -> Any:
    """vLLM's LLM, in this process; to be ended with `stop`."""
    import torch.distributed as group

    global _foreign
    with contained():
        from vllm import LLM

        if not _running:
            _foreign = group.is_available() and group.is_initialized()
        try:
            llm = LLM(**arguments)
        except BaseException:
            _disband()
            raise
        _running[id(llm)] = Path(tempfile.gettempdir(), os.environ.get("VLLM_DIST_IDENT", "."))
    return llm


def stop(llm: Any) -> None:
    """Free what an engine holds; the process groups of torch.distributed that were there before vLLM stay."""
    import torch

    client = llm.llm_engine.engine_core
    client._finalizer.detach()  # it would destroy process groups that are not vLLM's
    core = client.engine_core
    core.model_executor.shutdown()
    core.scheduler.shutdown()
    met = _running.pop(id(llm))
    _disband()
    if met.is_file():
        met.unlink()
    del llm, client, core
    gc.unfreeze()  # vLLM's start takes all that there is away from the garbage collector
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _disband() -> None:
    """Where no engine runs, take down the process groups that vLLM made."""
    from vllm.distributed import parallel_state

    if _running:
        return
    if not _foreign:
        parallel_state.cleanup_dist_env_and_memory()
        return
    parallel_state.destroy_model_parallel()
    if parallel_state._WORLD is not None:
        parallel_state._WORLD.destroy()
        parallel_state._WORLD = None


@contextlib.contextmanager
def failure(what: str) -> Iterator[None]:
    """Turn whatever vLLM raises into a RunError: "engine vllm WHAT: the cause in a line"."""
    try:
        yield
    except RlkitError:
        raise
    except Exception as error:
        raise RunError(f"engine vllm {what}: {_cause(error)}") from error


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Start vLLM in here: environment, threads and random states are afterwards what they were."""
    import torch

    environment, threads, set_threads = dict(os.environ), torch.get_num_threads(), torch.set_num_threads
    os.environ.update({**{key: value for key, value in DEFAULTS.items() if key not in environment}, **FORCED})
    try:
        with warnings.catch_warnings(), same_randomness():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        torch.set_num_threads = set_threads  # vLLM's worker on a CPU puts a function there that does nothing
        torch.set_num_threads(threads)


@contextlib.contextmanager
def same_randomness() -> Iterator[None]:
    """The random states of Python, NumPy and torch are afterwards what they were."""
    import numpy
    import torch

    python, arrays = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if torch.cuda.is_available() else []):
        try:
            yield
        finally:
            random.setstate(python)
            numpy.random.set_state(arrays)


def _cause(error: Exception) -> str:
    """What an error says, in a line: for one of pydantic's, its first message and what it is about."""
    errors = getattr(error, "errors", None)
    if callable(errors):
        first = errors()[0]
        about = ".".join(map(str, first["loc"]))
        said = f"{about}: {first['msg']}" if about else first["msg"]
    else:
        said = str(error)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[0][:400] if lines else type(error).__name__
