"""Run a program in a jail: start it, hear it out, end it."""

import json
import math
import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rlkit.sandbox import kinds

BOOT = "import sys; sys.path.insert(0, {here!r}); from inside import start; start.main({file})"
TICK = 0.1
"""Seconds between two looks at the clock and the memory."""


@dataclass(frozen=True)
class Limits:
    """What a jail may use.

    Seconds on the clock, and of computing for each process where it is other; memory, disk and output in megabytes;
    processes and threads at a time.
    """

    seconds: float = 10.0
    computing: float | None = None
    memory_mb: int = 1024
    disk_mb: int = 64
    output_mb: float = 1.0
    processes: int = 16


@dataclass(frozen=True)
class Outcome:
    """What a program left behind.

    Attributes:
        stdout: What it printed, up to the limit.
        stderr: What it printed there.
        exit_code: 0 where it ended well; 128 and the signal's number where a signal ended it; None where the jail did.
        timed_out: The jail ended it at its time limit.
        truncated: The jail ended it at its limit of output.
    """

    stdout: str
    stderr: str
    exit_code: int | None
    timed_out: bool
    truncated: bool


def run(
    program: str,
    *,
    stdin: str = "",
    kind: str = "auto",
    seconds: float = 10.0,
    memory_mb: int = 1024,
    disk_mb: int = 64,
    output_mb: float = 1.0,
    processes: int = 16,
) -> Outcome:
    """Run a Python program as another process, without network and without the user's files, environment or rights.

    It finds this Python's standard library and installed packages, and an empty /tmp that is gone afterwards. When
    it ends, or at a limit, all that it started ends too.

    Args:
        program: Python source.
        stdin: What it reads from standard input.
        kind: "auto", "bubblewrap", "unshare", or "none" for no isolation: a clean environment and limits alone.
        seconds: How long it may take.
        memory_mb: Megabytes of memory.
        disk_mb: Megabytes that it may write.
        output_mb: Megabytes that it may print.
        processes: Processes and threads that it may have at a time.

    Raises:
        RequestError: The kind does not work on this machine.
    """
    # The trial of a kind comes through here, so a kind that is named is taken at its word.
    kind = kinds.choose(kind) if kind == "auto" else kind
    limits = Limits(seconds, None, memory_mb, disk_mb, output_mb, processes)
    with Jail(kind, {"role": "program", "program": program, "stdin": stdin}, limits) as jail:
        return watch(jail)


class Jail:
    """A process in a jail, which is over when the `with` block is.

    Args:
        kind: The kind of isolation.
        role: What the process is to do, for `inside/start.py`.
        limits: What it may use.
        sockets: File descriptors that it gets; the caller closes its own.
    """

    def __init__(self, kind: str, role: dict[str, Any], limits: Limits, sockets: Sequence[int] = ()):
        self.kind = kind
        self.limits = limits
        self.deadline = time.monotonic() + limits.seconds
        self.heard: dict[Any, bytearray] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="rlkit-") if kind == "none" else None
        words, told = kinds.command(kind, limits.disk_mb)
        file_mb = max(1, limits.disk_mb // 2)
        told |= role | {"sockets": list(sockets), "here": str(kinds.HERE), "seconds": limits.seconds}
        computing = limits.computing or limits.seconds + 1  # on the clock it is over first
        told["limits"] = {
            "seconds": math.ceil(computing),
            "memory_mb": limits.memory_mb,
            "file_mb": file_mb,
            "processes": limits.processes,
        }
        # The process hears from a pipe that this one is gone.
        leash, self._leash = os.pipe()
        try:
            with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
                json.dump(told | {"leash": leash}, file)
                file.seek(0)
                boot = BOOT.format(here=str(kinds.HERE), file=file.fileno())
                self.process = subprocess.Popen(
                    [*words, kinds.python(), "-sSPB", "-c", boot],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=(file.fileno(), leash, *sockets),
                    env=_environment(self._folder.name if self._folder else "/tmp"),
                    cwd=self._folder.name if self._folder else "/",
                    start_new_session=True,
                )
        finally:
            os.close(leash)
        self.heard = {self.process.stdout: bytearray(), self.process.stderr: bytearray()}

    def __enter__(self) -> "Jail":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()
        for pipe in self.heard:
            pipe.close()
        if self._folder:
            self._folder.cleanup()

    @property
    def used_mb(self) -> float:
        """The memory of all its processes together, in megabytes."""
        kilobytes, waiting = 0, [self.process.pid]
        while waiting:
            folder = Path(f"/proc/{waiting.pop()}")
            with suppress(OSError, ValueError):  # one may be gone by now
                status = (folder / "status").read_text()
                kilobytes += sum(map(int, re.findall(r"^(?:RssAnon|RssShmem|VmSwap):\s*(\d+)", status, re.MULTILINE)))
                for children in folder.glob("task/*/children"):  # each thread has its own
                    waiting += map(int, children.read_text().split())
        return kilobytes / 2**10

    def end(self) -> None:
        """End all its processes, now."""
        if self._leash >= 0:
            os.close(self._leash)
            self._leash = -1
        if self.kind == "none":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()


def watch(jail: Jail, *others: Jail) -> Outcome:
    """Hear a jail's output until it ends or breaks a limit; `others` may not use more than they are allowed either."""
    timed_out = truncated = ended = over = False
    looked = time.monotonic()
    bound = int(jail.limits.output_mb * 2**20)
    with selectors.DefaultSelector() as pipes:
        for pipe in jail.heard:
            pipes.register(pipe, selectors.EVENT_READ)
        while pipes.get_map():
            ready = pipes.select(max(0.0, min(TICK, jail.deadline - time.monotonic())))
            for key, _ in ready:
                piece = os.read(key.fd, 65536)
                jail.heard[key.fileobj] += piece
                if not piece:
                    pipes.unregister(key.fileobj)
            truncated = sum(map(len, jail.heard.values())) > bound
            now = time.monotonic()
            timed_out = now > jail.deadline
            if now - looked > TICK:
                looked = now
                ended = any(one.used_mb > one.limits.memory_mb for one in (jail, *others))
            if timed_out or truncated or ended:
                break
            if over and not ready:
                break  # what it left behind holds the pipes open, which only isolation prevents
            over = jail.process.poll() is not None  # what it said at last is still to be heard
    if not (timed_out or truncated or ended):
        try:
            jail.process.wait(max(0.0, jail.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:  # it closed its output and goes on
            timed_out = True
    code = jail.process.poll()
    jail.end()
    stdout, stderr = (bytes(heard[:bound]).decode(errors="replace") for heard in jail.heard.values())
    code = None if timed_out or truncated or ended or code is None else code if code >= 0 else 128 - code
    return Outcome(stdout, stderr, code, timed_out, truncated)


def _environment(home: str) -> dict[str, str]:
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB")}
    # Sets of texts have one order, so that a program that depends on it does the same each time.
    settings = {"PYTHONHASHSEED": "0", "PYTHONIOENCODING": "utf-8:replace", "LANG": "C.UTF-8", "TERM": "dumb"}
    return {"PATH": "/usr/bin:/bin", "HOME": home, "TMPDIR": home, **threads, **settings}
