"""Give up every right that a process has, for good: privileges, resources, and system calls that lead out of a jail."""

import ctypes
import os
import resource
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_CAP_AMBIENT = 1, 24, 38, 22, 47
NEW_NAMESPACES = 0x7E020000  # the flags of clone() that make any but a time namespace
SHARED_NOWHERE = 0x21  # mmap() of memory that is no file's and outlives its mapping: MAP_SHARED and MAP_ANONYMOUS
SOCKETS = (1, 2, 10)  # Unix, IPv4, IPv6; others, such as those to a virtual machine's host, know no namespaces
EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97

# Numbers on x86-64 and on ARM64. Three kinds: what makes namespaces or mounts (in which a process
# has new rights, and memory that no limit counts), memory that outlives its mapping, and the kernel's keys and tracers.
CALLS = {
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186),
    "semget": (64, 190), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "open_by_handle_at": (304, 265),
}  # fmt: skip
MACHINES = {"x86_64": (0, 0xC000003E, 56, 41, 9), "aarch64": (1, 0xC00000B7, 220, 198, 222)}
"""Which column of `CALLS`, the kernel's name of the architecture, and the numbers of clone, socket and mmap."""


def check(result: int, what: str) -> None:
    """Raise what the C library says where a call failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def limit(seconds: int, memory_mb: int, file_mb: int, processes: int) -> None:
    """Set the limits of this process and its children; the seconds are of computing."""
    memory, file = memory_mb << 20, file_mb << 20
    limits = {
        "RLIMIT_AS": memory, "RLIMIT_FSIZE": file, "RLIMIT_CPU": seconds, "RLIMIT_NPROC": processes,
        "RLIMIT_NOFILE": 64, "RLIMIT_CORE": 0, "RLIMIT_MSGQUEUE": 0, "RLIMIT_MEMLOCK": 0,
    }  # fmt: skip
    for name, value in limits.items():
        if hasattr(resource, name):  # macOS has not all of them, and takes no limit of memory
            number = getattr(resource, name)
            hard = resource.getrlimit(number)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            try:
                resource.setrlimit(number, (value, value))
            except (ValueError, OSError):
                if sys.platform == "linux":
                    raise


def drop(uids: list[int]) -> None:
    """Become the first of these users that this machine knows (none: stay), without any capability, for ever."""
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # refused to who has none, who needs it not
    libc.prctl(PR_CAP_AMBIENT, 4, 0, 0, 0)
    for index, uid in enumerate(uids):
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            break
        except OSError:
            if index + 1 == len(uids):
                raise
    header, nothing = struct.pack("=II", 0x20080522, 0), bytes(24)
    check(libc.capset(header, nothing), "capset")
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def close_calls() -> None:
    """Refuse the system calls of `CALLS`, and shared memory without a file, from now on, here and in all children.

    On another machine than `MACHINES` names it does nothing: there the namespaces and limits have to do.
    """
    if os.uname().machine not in MACHINES:
        return
    column, architecture, clone, socket, mmap = MACHINES[os.uname().machine]
    refuse, kill, allow = 0x00050000, 0x80000000, 0x7FFF0000
    load, equal, at_least, any_bit, give, mask = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
    program = [(load, 0, 0, 4), (equal, 1, 0, architecture), (give, 0, 0, kill), (load, 0, 0, 0)]
    if column == 0:  # the numbers of the x32 interface, another door to the same calls
        program += [(at_least, 0, 1, 0x40000000), (give, 0, 0, refuse | EPERM)]
    for numbers in CALLS.values():
        program += [(equal, 0, 1, numbers[column]), (give, 0, 0, refuse | EPERM)]
    program += [(equal, 0, 1, 435), (give, 0, 0, refuse | ENOSYS)]  # clone3: the C library falls back to clone
    program += [(equal, 0, 4, clone), (load, 0, 0, 16), (any_bit, 0, 1, NEW_NAMESPACES)]
    program += [(give, 0, 0, refuse | EPERM), (give, 0, 0, allow)]
    program += [(equal, 0, 5, mmap), (load, 0, 0, 40), (mask, 0, 0, SHARED_NOWHERE), (equal, 0, 1, SHARED_NOWHERE)]
    program += [(give, 0, 0, refuse | EPERM), (give, 0, 0, allow)]
    program += [(equal, 1, 0, socket), (give, 0, 0, allow), (load, 0, 0, 16)]
    for family in SOCKETS:
        program += [(equal, 0, 1, family), (give, 0, 0, allow)]
    program += [(give, 0, 0, refuse | EAFNOSUPPORT)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    filters = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    check(libc.prctl(PR_SET_SECCOMP, 2, filters, 0, 0), "seccomp")
