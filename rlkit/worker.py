"""The other end of `rlkit.workers`: the template that loads a function, and the workers that are forked from it."""

import ctypes
import importlib
import os
import pickle
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

WARM_SECONDS = 30.0
"""How long the first call may take whose imports the template makes."""

inside = False
"""Whether this process is a worker; a grader in it needs no further one."""


def template(fd: int) -> None:
    """The template's life: load the function, then fork a worker for each socket that arrives."""
    global inside
    inside = True
    control = socket.socket(fileno=fd)
    connection = Connection(os.dup(fd))
    os.dup2(2, 1)  # stdout is data, and a grader may print
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
        _import_as(function, warm)
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


def _import_as(function: Callable[..., Any], warm: dict[str, Any]) -> None:
    """Import what a call imports, without the call: threads that a library starts in it would not survive a fork."""
    before = set(sys.modules)
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):  # a call that fails will fail, and say so, in a worker
            function(**warm)
        told = "\n".join(name for name in list(sys.modules) if name not in before)
        with os.fdopen(writes, "w") as out:
            out.write(told)
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as heard:
        names = heard.read() if select.select([heard], [], [], WARM_SECONDS)[0] else ""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for name in names.split("\n"):
        with suppress(BaseException):
            importlib.import_module(name)


def _serve(connection: Connection, function: Callable[..., Any]) -> None:
    """A worker's life: calls, until the pipe closes."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it must not outlive the template
    with suppress(OSError):  # where memory runs out, a worker goes and not the trainer
        Path("/proc/self/oom_score_adj").write_text("1000")
    pid = os.getpid()
    while True:
        try:
            call = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)
        try:
            answer: tuple[Any, str | None] = (function(**call), None)
        except BaseException as error:
            answer = (f"{type(error).__name__}: {error}", traceback.format_exc())
        if os.getpid() != pid:  # the function forked, and this is the child: the answer is its parent's to give
            os._exit(0)
        try:
            connection.send(answer)
        except Exception as error:
            connection.send((f"its result cannot be sent back: {error}", ""))
