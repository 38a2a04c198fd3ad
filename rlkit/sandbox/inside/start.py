"""The first thing that runs in a jail: it finishes the jail, then does what it is told there."""

import builtins
import json
import os
import select
import signal
import sys
import types
from typing import Any

from . import lock


def main(file: int) -> None:
    """Read from a file descriptor what to do and how, lock this process up, and do it."""
    with open(file, encoding="utf-8") as text:
        told: dict[str, Any] = json.load(text)
    sys.path[:] = [path for path in sys.path if path != told["here"]] + told["packages"]
    if told["mounts"]:
        from . import mounts

        mounts.enter(**told["mounts"])
        _fork(told["leash"], told["seconds"])
    if told["tmp_mb"]:
        from . import mounts

        mounts.writable("/tmp", told["tmp_mb"], told["tmp_keep"])
        os.chdir("/tmp")
    if told["kind"] == "none" and sys.platform == "linux":
        lock.libc.prctl(lock.PR_SET_PDEATHSIG, signal.SIGKILL)
    keep = {0, 1, 2, *told["sockets"]}
    for descriptor in range(3, 256):
        if descriptor not in keep:
            try:
                os.close(descriptor)
            except OSError:
                continue
    lock.limit(**told["limits"])
    if sys.platform == "linux":
        lock.drop(told["uids"])
        lock.close_calls()
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # what the module site adds; without it Python starts faster
    match told["role"]:
        case "program":
            _program(told["program"], told["stdin"])
        case "candidate":
            from . import candidate

            candidate.main(told)
        case "examiner":
            from . import examiner

            examiner.main(told)


def _fork(leash: int, seconds: float) -> None:
    """Go on in a child; this process, the first of its namespace, ends with it, or with who holds the leash.

    With the first process the kernel ends all others of the namespace.
    """
    child = os.fork()
    if child == 0:
        return
    lock.drop([])
    waiting = select.poll()
    exits = os.pidfd_open(child)
    for descriptor in (exits, leash):
        waiting.register(descriptor, select.POLLIN)
    ready = waiting.poll((seconds + 5) * 1000)
    if exits not in dict(ready):
        os._exit(137)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os._exit(status if status >= 0 else 128 - status)


def _program(program: str, stdin: str) -> None:
    if stdin:
        import tempfile

        with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
            file.write(stdin)
            file.flush()
            file.seek(0)
            os.dup2(file.fileno(), 0)
    sys.argv[:] = ["<program>"]
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        exec(compile(program, "<program>", "exec"), vars(module))
    except Exception as error:
        trace = error.__traceback__ and error.__traceback__.tb_next  # without this frame, which is not the program's
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        sys.exit(1)
