"""Processes that call one function: kept warm, and killed where a call takes too long.

A grader can hang in C code, where no signal reaches it, or take the whole process down. So it runs in processes of
its own. One clean process, the template, loads the function once and is forked for each worker: a worker
that was killed is replaced in milliseconds. Nothing of the trainer (threads, CUDA, locks) is ever forked.
"""

import ctypes
import math
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from rlkit.errors import RunError

START_SECONDS = 120.0
"""How long the template may take to load the function."""

Busy = dict[Connection, tuple["_Worker", int, float]]
"""The pipe to a worker -> the worker, the number of its call, and when that must be done."""

inside = False
"""Whether this process is a worker; a grader in it needs no further one."""


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
        program = f"from rlkit.workers import _template; _template({theirs.fileno()})"
        command = [sys.executable, "-c", program]
        self._template = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        self._socket = ours
        self._close = weakref.finalize(self, _end, self._template, ours, self._workers)
        try:
            self._start(function, warm)
        except BaseException:
            self.close()
            raise

    def _start(self, function: Callable[..., Any], warm: dict[str, Any] | None) -> None:
        import cloudpickle

        name = getattr(function, "__name__", str(function))
        try:
            sent = cloudpickle.dumps((function, warm))
        except Exception as error:
            raise RunError(
                f"{name} cannot be sent to another process ({error}); put it into a file of its own"
            ) from error
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
                            results[index] = unsent
                            del busy[worker.connection]
                            self._keep(worker, idle)
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


def _end(template: "subprocess.Popen[bytes]", control: socket.socket, workers: list[_Worker]) -> None:
    for worker in workers:
        worker.kill()
    control.close()
    template.kill()
    template.wait()


def _template(fd: int) -> None:
    """The template's life: load the function, then fork a worker for each socket that arrives."""
    global inside
    inside = True
    control = socket.socket(fileno=fd)
    connection = Connection(os.dup(fd))
    os.dup2(2, 1)  # stdout is data, and a grader may print
    with suppress(OSError):  # where memory runs out, a worker goes and not the trainer
        Path("/proc/self/oom_score_adj").write_text("1000")
    try:
        sys.path[:], sent = connection.recv()
    except EOFError:
        return
    try:
        function, warm = pickle.loads(sent)
    except BaseException:
        connection.send(traceback.format_exc())
        return
    if warm is not None:
        with suppress(Exception):  # a call that fails will fail, and say so, in a worker
            function(**warm)
    connection.send("")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries dead workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        _, fds, _, _ = socket.recv_fds(control, 1, 1)
        if not fds:
            return
        pid = os.fork()
        if pid == 0:
            control.close()
            connection.close()
            _serve(Connection(fds[0]), function)
        os.close(fds[0])
        control.send(str(pid).encode())


def _serve(connection: Connection, function: Callable[..., Any]) -> None:
    """A worker's life: calls, until the pipe closes."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it must not outlive the template
    while True:
        try:
            call = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)
        try:
            answer: tuple[Any, str | None] = (function(**call), None)
        except BaseException as error:
            answer = (f"{type(error).__name__}: {error}", traceback.format_exc())
        try:
            connection.send(answer)
        except Exception as error:
            connection.send((f"its result cannot be sent back: {error}", ""))
