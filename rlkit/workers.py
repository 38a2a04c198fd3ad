"""Processes that call one function: kept warm, and killed where a call takes too long.

A grader can hang in C code, where no signal reaches it, or take the whole process down. So it runs in processes of
its own. One clean process, the template, loads the function once and is forked for each worker: a worker
that was killed is replaced in milliseconds. Nothing of the trainer (threads, CUDA, locks) is ever forked.
"""

import math
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from rlkit.errors import RunError

START_SECONDS = 120.0
"""How long the template may take to load the function."""

Busy = dict[Connection, tuple["_Worker", int, float]]
"""The pipe to a worker -> the worker, the number of its call, and when that must be done."""


class WorkerError(RunError):
    """A call raised in its worker; the traceback there is a note on it."""


class TimeLimitError(WorkerError):
    """A call took longer than it may, and its worker was killed."""


class CrashError(WorkerError):
    """A worker died during a call."""


def cores() -> int:
    """CPU cores that this process may use, shared among the processes of a distributed run on this machine."""
    have = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, have // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


class Workers:
    """A pool of processes that call one function.

    Args:
        function: Sent to the processes with cloudpickle.
        count: How many; the cores at hand, at most 8, where None.
        warm: Arguments of a first call in the template, so that what it imports is there for every worker.

    Raises:
        RunError: The function cannot be sent, or does not load there.
    """

    def __init__(self, function: Callable[..., Any], count: int | None = None, warm: dict[str, Any] | None = None):
        self.count = count or min(8, cores())
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        program = f"from rlkit.worker import template; template({theirs.fileno()})"
        command = [sys.executable, "-c", program]
        self._template = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        self._socket = ours
        self._close = weakref.finalize(self, _end, self.pid, self._template, ours, self._workers)
        try:
            self._start(function, warm)
        except BaseException:
            self.close()
            raise

    @property
    def usable(self) -> bool:
        """Whether it is this process's own, and its template lives."""
        return self.pid == os.getpid() and self._close.alive and self._template.poll() is None

    def _start(self, function: Callable[..., Any], warm: dict[str, Any] | None) -> None:
        name = getattr(function, "__name__", str(function))
        try:
            sent = _pickled(function, warm)
        except Exception as error:
            said = f"{name} cannot be sent to another process ({error}); put it into a file of its own"
            raise RunError(said) from error
        connection = Connection(os.dup(self._socket.fileno()))
        try:
            connection.send((sys.path, sent))
            if not connection.poll(START_SECONDS):
                raise RunError(f"{name} did not load in {START_SECONDS:.0f} s in its worker process")
            problem = connection.recv()
        except (EOFError, OSError) as error:
            raise RunError(f"the process that should load {name} ended; its error stands above") from error
        finally:
            connection.close()
        if problem:
            raise RunError(f"{name} does not load in another process:\n{problem}")
        self._workers.append(self._fork())

    def _fork(self) -> "_Worker":
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            socket.send_fds(self._socket, [b"f"], [theirs.fileno()])
            pid = int(self._socket.recv(32))
        except (OSError, ValueError) as error:
            raise RunError("the process that makes workers has ended") from error
        finally:
            theirs.close()
        return _Worker(pid, Connection(ours.detach()))

    def map(self, calls: Sequence[dict[str, Any]], seconds: float | None = None) -> list[Any]:
        """Call the function with each set of keyword arguments; results in the order of the calls.

        Args:
            calls: Keyword arguments, one mapping a call.
            seconds: How long a call may take; its worker is killed and replaced after them.

        Returns:
            What each call returned, or a `WorkerError` that says why it did not.
        """
        results: list[Any] = [None] * len(calls)
        todo = deque(range(len(calls)))
        deaths = dict.fromkeys(range(len(calls)), 0)
        busy: Busy = {}
        with self._lock:
            idle = list(self._workers)
            try:
                while todo or busy:
                    while todo and (idle or len(self._workers) < self.count):
                        worker, index = idle.pop() if idle else self._hire(), todo.popleft()
                        busy[worker.connection] = (worker, index, time.monotonic() + (seconds or math.inf))
                        unsent = worker.send(calls[index])
                        if unsent is not None:
                            del busy[worker.connection]
                            self._keep(worker, idle)
                            deaths[index] += isinstance(unsent, CrashError)
                            if 0 < deaths[index] <= self.count:  # it died idle: another one can do the call
                                todo.appendleft(index)
                            else:
                                results[index] = unsent
                    for worker, index in self._ready(busy):
                        results[index] = worker.receive()
                        self._keep(worker, idle)
                    for worker, index in self._late(busy):
                        results[index] = TimeLimitError(f"took longer than {seconds:g} s")
                        worker.kill()
                        self._keep(worker, idle)
            except BaseException:  # what the busy ones are at must not be taken for the answer to a later call
                for worker, _, _ in busy.values():
                    worker.kill()
                    self._keep(worker, [])
                raise
        return results

    def _hire(self) -> "_Worker":
        self._workers.append(self._fork())
        return self._workers[-1]

    def _keep(self, worker: "_Worker", idle: list["_Worker"]) -> None:
        """Take a worker back that has done its call; one that died is let go, and another hired when there is need."""
        if worker.alive:
            idle.append(worker)
        else:
            worker.kill()
            self._workers.remove(worker)

    @staticmethod
    def _ready(busy: Busy) -> list[tuple["_Worker", int]]:
        if not busy:
            return []
        patience = max(0.0, min(until for _, _, until in busy.values()) - time.monotonic())
        ready = wait(list(busy), patience if patience < math.inf else None)
        return [busy.pop(connection)[:2] for connection in ready]  # type: ignore[call-overload]

    @staticmethod
    def _late(busy: Busy) -> list[tuple["_Worker", int]]:
        late = [connection for connection, (_, _, until) in busy.items() if until <= time.monotonic()]
        return [busy.pop(connection)[:2] for connection in late]

    def close(self) -> None:
        """End the processes."""
        self._close()


class _Worker:
    """One process, and the pipe to it."""

    def __init__(self, pid: int, connection: Connection):
        self.pid, self.connection, self.alive = pid, connection, True

    def send(self, call: dict[str, Any]) -> WorkerError | None:
        import cloudpickle

        try:
            self.connection.send_bytes(cloudpickle.dumps(call))
        except OSError:
            self.alive = False
            return CrashError("its process died before the call")
        except Exception as error:
            return WorkerError(f"its data cannot be sent to another process: {error}")
        return None

    def receive(self) -> Any:
        try:
            result, note = self.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            self.alive = False
            return CrashError("its process died (out of memory, or a crash in a library)")
        if note is None:
            return result
        error = WorkerError(result)
        error.add_note(note)
        return error

    def kill(self) -> None:
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError, PermissionError):
                kill(self.pid, signal.SIGKILL)
        self.connection.close()
        self.alive = False


def _pickled(function: Callable[..., Any], warm: dict[str, Any] | None) -> bytes:
    """The function as bytes, by value where its module could not be imported elsewhere: a plugin file's, a recipe's."""
    import cloudpickle

    module = sys.modules.get(getattr(function, "__module__", ""))
    top = module.__name__.partition(".")[0] if module else "__main__"
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    by_value = top != "__main__" and not any(finder.find_spec(top, None) for finder in finders)
    if by_value:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps((function, warm))
    finally:
        if by_value:
            cloudpickle.unregister_pickle_by_value(module)


def _end(owner: int, template: "subprocess.Popen[bytes]", control: socket.socket, workers: list[_Worker]) -> None:
    if os.getpid() != owner:  # a fork of the process that they belong to
        return
    for worker in workers:
        worker.kill()
    control.close()
    template.kill()
    template.wait()
