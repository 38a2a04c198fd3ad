"""The kinds of isolation: which this machine has, and the command that puts a process into one."""

import compileall
import functools
import os
import random
import shutil
import sys
from pathlib import Path
from typing import Any

from rlkit.errors import RequestError

KINDS = ("bubblewrap", "unshare")
"""The kinds that isolate, best first."""

HERE = Path(__file__).parent
SYSTEM = (
    "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32", "/usr/libexec", "/usr/share",
    "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/etc/alternatives", "/etc/ld.so.cache",
)  # fmt: skip
"""Programs and libraries; of /usr, what holds no project of anybody's."""
UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--ipc", "--uts")
BUBBLEWRAP = (
    "bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
    "--hostname", "jail", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN",
)  # fmt: skip
AS_ROOT = ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP")
"""What it takes to become another user; the jail gives it up on the way in, as what it takes to mount /tmp."""
DEVICES = ("/dev/null", "/dev/full", "/dev/random", "/dev/urandom")  # /dev/zero, mapped, is memory that no limit counts
LINKS = {"/dev/fd": "/proc/self/fd", "/dev/shm": "/tmp"}


@functools.cache
def available() -> dict[str, str]:
    """Try each kind of isolation, once a process.

    Returns:
        For each kind an empty text where it works here, else the reason why it does not and what would help.
    """
    return {kind: _trial(kind) for kind in KINDS}


def choose(kind: str = "auto") -> str:
    """The kind to use: the best that works for "auto", else the one that is asked for.

    Raises:
        RequestError: It does not work here, or is unknown. Only the word "none" gives no isolation.
    """
    if kind == "none":
        return kind
    if kind not in ("auto", *KINDS):
        raise RequestError(f"no sandbox is called {kind!r}: it is auto, {', '.join(KINDS)} or none")
    reasons = available() if kind == "auto" else {kind: available()[kind]}
    for name, reason in reasons.items():
        if not reason:
            return name
    said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise RequestError(
        f"no sandbox works here, and model-written code runs in nothing less ({said}). "
        "sandbox: none runs it with your own rights; say so only where the machine itself is expendable"
    )


def _trial(kind: str) -> str:
    if sys.platform != "linux":
        return "needs Linux"
    program, package = {"bubblewrap": ("bwrap", "bubblewrap"), "unshare": ("unshare", "util-linux")}[kind]
    if shutil.which(program) is None:
        return f"{program} is not installed (apt install {package})"
    from rlkit.sandbox.jail import run

    outcome = run("import json, random; print(6 * 7)", kind=kind, seconds=30)
    if outcome.stdout == "42\n":
        return ""
    lines = outcome.stderr.strip().splitlines() or [f"it ended with exit code {outcome.exit_code}"]
    return f"{lines[-1]}{_hint()}"


def _hint() -> str:
    settings = {
        "kernel/unprivileged_userns_clone": ("0", 1),
        "kernel/apparmor_restrict_unprivileged_userns": ("1", 0),
        "user/max_user_namespaces": ("0", 10000),
    }
    for name, (bad, good) in settings.items():
        file = Path("/proc/sys", name)
        if file.exists() and file.read_text().strip() == bad:
            return f" (user namespaces are switched off: sudo sysctl {name.replace('/', '.')}={good})"
    return " (a container has to allow namespaces: docker run --privileged, or seccomp=unconfined)"


def command(kind: str, disk_mb: int) -> tuple[list[str], dict[str, Any]]:
    """The words that go before a Python command, and what the process has to do itself to finish the jail."""
    root = os.geteuid() == 0
    told: dict[str, Any] = {"kind": kind, "mounts": None, "tmp_mb": 0, "packages": packages()}
    # As root, each jail is a user of its own, so that the limit of processes binds it, and it alone.
    told["uids"] = [random.randrange(2**30, 2**31), 65534] if root and kind != "none" else []
    bound = [path for path in mounted() if not Path(path).is_symlink()]
    links = LINKS | {path: str(Path(path).readlink()) for path in mounted() if Path(path).is_symlink()}
    if kind == "none":
        return [], told
    if kind == "unshare":
        told["mounts"] = {"paths": bound, "links": links, "devices": DEVICES, "disk_mb": disk_mb}
        return [*UNSHARE, *([] if root else ["--user", "--map-root-user"])], told
    words = [*BUBBLEWRAP, *(AS_ROOT if root else ["--unshare-user"])]
    # bubblewrap would close the folders above a mount to others where one is private, as /root is.
    above = {str(folder): None for path in (*bound, *DEVICES, *links) for folder in reversed(Path(path).parents)}
    for folder in above:
        words += ["--perms", "0755", "--dir", folder] if folder != "/" else []
    for path in bound:
        words += ["--ro-bind", path, path]
    for path in DEVICES:
        words += ["--dev-bind", path, path]
    for link, target in links.items():
        words += ["--symlink", target, link]
    told["tmp_keep"] = [path for path in bound if path.startswith("/tmp/")]
    told["tmp_mb"] = disk_mb  # bubblewrap has no word for how many files /tmp may hold
    return [*words, "--proc", "/proc", "--dir", "/tmp", "--remount-ro", "/", "--"], told


def packages() -> list[str]:
    """The directories of installed packages, for the jail's Python."""
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages") and Path(path).is_dir()]


def python() -> str:
    """The interpreter itself, behind a virtual environment's link."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


@functools.cache
def mounted() -> list[str]:
    """What a jail can read: the system's programs and libraries, Python and its packages, and what starts the jail."""
    if not sys.dont_write_bytecode:
        compileall.compile_dir(HERE / "inside", quiet=2)  # in a jail nobody can
    # Of Python's own directory no more than this: it may be ~/.local, or hold an environment with a user's files.
    prefixes = {os.path.realpath(prefix) for prefix in (sys.base_prefix, sys.base_exec_prefix)}
    own = [f"{prefix}/{folder}" for prefix in sorted(prefixes) for folder in ("lib", "lib64")]
    wanted = [*SYSTEM, *own, python(), *packages(), str(HERE / "inside")]
    chosen: list[str] = []
    for path in dict.fromkeys(str(Path(path).absolute()) for path in wanted if Path(path).exists()):
        if not any(path.startswith(f"{parent}/") for parent in chosen):
            chosen.append(path)
    return chosen
