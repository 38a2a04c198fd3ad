"""The jail's file system: its /tmp, and for a process that `unshare` put into namespaces what bubblewrap does."""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from .lock import check, libc

BIND, REC, DETACH = 4096, 16384, 2
NOSUID, NODEV, NOEXEC = 2, 4, 8
RECURSIVE = 0x8000
READ_ONLY = 1 | 2 | 4  # and no set-user-ID programs, no devices
MOUNT_SETATTR = 442
FILES = 10_000
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


def enter(paths: list[str], links: dict[str, str], devices: list[str], disk_mb: int) -> None:
    """Make a root directory that holds `paths` read-only, an empty /tmp and a /proc, and nothing else; go there.

    Args:
        paths: Files and directories of the machine that appear at the same place.
        links: Symbolic links and where they point.
        devices: Device files.
        disk_mb: The size of /tmp.
    """
    # The old root moves to /old of an empty file system, so that nothing hides what is to appear.
    _mount("tmpfs", "/tmp", "tmpfs", NOSUID | NODEV, "size=1m,mode=755")
    os.chdir("/tmp")
    for folder in ("old", "new"):
        Path(folder).mkdir()
    _pivot(".", "old")
    os.chdir("/")
    _mount("tmpfs", "/new", "tmpfs", NOSUID | NODEV, "size=1m,mode=755")
    for folder in ("proc", "tmp"):
        Path("/new", folder).mkdir()
    writable("/new/tmp", disk_mb)  # first: what is to appear may lie in it
    for path in (*paths, *devices):
        source, target = Path("/old" + path), Path("/new" + path)
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        _mount(str(source), str(target), None, BIND | REC, None)
        if path in paths:
            _read_only(str(target), RECURSIVE)
    for link, target_of in links.items():
        Path("/new" + link).parent.mkdir(parents=True, exist_ok=True)
        Path("/new" + link).symlink_to(target_of)
    _mount("proc", "/new/proc", "proc", NOSUID | NODEV | NOEXEC, None)
    _read_only("/new", 0)
    os.chdir("/new")
    _pivot(".", ".")  # the old root lies under the new one now
    check(libc.umount2(b".", DETACH), "umount")
    os.chdir("/tmp")


def writable(target: str, disk_mb: int, keep: Iterable[str] = ()) -> None:
    """Put a directory there that anybody may write to, up to so many megabytes and `FILES` files.

    Args:
        target: Where.
        disk_mb: Its size.
        keep: What is mounted below it already and is to stay: Python may be installed there.
    """
    held = {path: os.open(path, os.O_PATH) for path in keep}
    _mount("tmpfs", target, "tmpfs", NOSUID | NODEV, f"size={disk_mb}m,nr_inodes={FILES},mode=1777")
    for path, descriptor in held.items():
        source, place = f"/proc/self/fd/{descriptor}", Path(path)
        if Path(source).is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        _mount(source, path, None, BIND | REC, None)
        os.close(descriptor)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None) -> None:
    texts = [text.encode() if text is not None else None for text in (source, target, kind, options)]
    check(libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]), f"mount {target}")


def _read_only(target: str, flags: int) -> None:
    attributes = struct.pack("=QQQQ", READ_ONLY, 0, 0, 0)
    call = libc.syscall(MOUNT_SETATTR, -100, target.encode(), flags, attributes, ctypes.c_size_t(len(attributes)))
    check(call, f"mount {target} read-only")


def _pivot(new: str, old: str) -> None:
    check(libc.syscall(PIVOT_ROOT[os.uname().machine], new.encode(), old.encode()), "pivot_root")
