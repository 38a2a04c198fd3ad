"""Programs that try to get out of the sandbox, to take what is not theirs, or to stay; each against each kind."""

import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rlkit import sandbox
from rlkit.errors import RequestError
from rlkit.sandbox import kinds

WORKING = [kind for kind, reason in sandbox.available().items() if not reason]
each_kind = pytest.mark.parametrize("kind", WORKING)


def run(kind, program, **settings):
    return sandbox.run(textwrap.dedent(program), kind=kind, **settings)


def processes(name):
    """The processes on this machine that call themselves so; a name passes to children."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found += [folder.name] if (folder / "comm").read_text().strip() == name else []
        except OSError:
            continue
    return found


@pytest.fixture
def name():
    """A name for the processes of a test, and the program's lines that take it."""
    made = uuid.uuid4().hex[:12]
    return made, f"import ctypes; ctypes.CDLL(None).prctl(15, b'{made}', 0, 0, 0)\n"


def all_gone(name):
    patience = time.monotonic() + 5
    while processes(name) and time.monotonic() < patience:
        time.sleep(0.02)
    return not processes(name)


@pytest.mark.skipif(sys.platform != "linux", reason="the kinds of isolation are Linux's")
def test_linux_has_a_kind_of_isolation():
    assert WORKING, sandbox.available()


@each_kind
def test_a_program_runs_with_its_input_and_the_installed_packages(kind):
    outcome = run(kind, "import numpy, sys; print(input() * 2); print(numpy.arange(3).sum()); sys.exit(3)", stdin="é\n")
    assert (outcome.stdout, outcome.stderr, outcome.exit_code) == ("éé\n3\n", "", 3)


@each_kind
def test_a_program_does_the_same_each_time(kind):
    assert len({run(kind, "print({'a', 'b', 'c', 'd', 'e', 'f'})").stdout for _ in range(3)}) == 1


@each_kind
def test_closing_its_output_gains_no_time(kind):
    assert run(kind, "import os\nos.close(1)\nos.close(2)\nwhile True: pass", seconds=1).timed_out


@each_kind
def test_an_error_shows_the_programs_own_lines_alone(kind):
    outcome = run(kind, "def f():\n    return 1 / 0\nf()")
    assert outcome.exit_code == 1
    assert outcome.stderr.strip().splitlines()[1:] == [
        '  File "<program>", line 3, in <module>',
        '  File "<program>", line 2, in f',
        "ZeroDivisionError: division by zero",
    ]


@each_kind
def test_the_users_files_are_not_there(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    secrets = [tmp_path / "secret", Path.home() / f"rlkit-{uuid.uuid4().hex}"]
    try:
        for file in secrets:
            file.write_text("secret")
            file.chmod(0o644)
        outcome = run(
            kind,
            f"""
            import os
            for path in {[str(file) for file in secrets]} + ["/etc/passwd", "/etc/shadow", "/proc/1/root/etc/passwd"]:
                try:
                    print(open(path).read())
                except OSError as error:
                    print(type(error).__name__)
            print(sorted(os.listdir("/tmp")), os.getcwd())
            """,
        )
    finally:
        secrets[1].unlink()
    assert set(outcome.stdout.splitlines()[:-1]) <= {"FileNotFoundError", "PermissionError"}
    own = {Path(path).parts[2] for path in kinds.mounted() if path.startswith("/tmp/")}  # rlkit itself may lie there
    assert outcome.stdout.splitlines()[-1] == f"{sorted(own)} /tmp"


@each_kind
def test_nothing_but_tmp_can_be_written(kind):
    outcome = run(
        kind,
        """
        import os
        from pathlib import Path
        for folder in ["/", "/usr", "/dev", "/etc", os.path.dirname(os.__file__), "/proc/sys/kernel"]:
            try:
                Path(folder, "written").write_text("x")
                print(folder)
            except OSError:
                pass
        """,
    )
    assert (outcome.stdout, outcome.stderr) == ("", "")


@each_kind
def test_the_environment_and_open_files_are_not_there(kind, monkeypatch, tmp_path):
    monkeypatch.setenv("API_TOKEN", "secret")
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        outcome = run(
            kind,
            """
            import glob, os
            print(dict(os.environ))
            for file in glob.glob("/proc/[0-9]*/environ"):
                try:
                    print(open(file).read())
                except OSError:
                    pass
            print(sorted(os.listdir("/proc/self/fd")))
            """,
        )
    assert "secret" not in outcome.stdout
    assert outcome.stdout.splitlines()[-1] == "['0', '1', '2', '3']"  # the last is the listing itself


@each_kind
def test_the_network_is_out_of_reach(kind):
    with socket.create_server(("127.0.0.1", 0)) as server:
        outcome = run(
            kind,
            f"""
            import socket
            try:
                socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), timeout=2)
                print("connected")
            except OSError as error:
                print("refused")
            """,
        )
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert outcome.stdout == "refused\n"


@each_kind
def test_there_are_no_rights_to_gain(kind):
    outcome = run(
        kind,
        """
        import ctypes, os, socket
        status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
        print(int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"].strip())
        libc = ctypes.CDLL(None, use_errno=True)
        print(libc.unshare(0x10000000), libc.ptrace(0, 0, 0, 0), libc.mount(b"x", b"/tmp", b"tmpfs", 0, None))
        tries = [lambda: os.memfd_create("x"), lambda: socket.socket(40, socket.SOCK_STREAM), lambda: os.setuid(0)]
        for call in tries[: 2 if os.getuid() == 0 else 3]:
            try:
                call()
                print("allowed")
            except OSError:
                pass
        """,
    )
    assert outcome.stdout == "0 0 1\n-1 -1 -1\n", outcome


@each_kind
def test_a_fork_bomb_is_bounded_and_gone(kind, name):
    mark, take_name = name
    bomb = take_name + "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n"
    with ThreadPoolExecutor(1) as pool:
        bombed = pool.submit(run, kind, bomb, seconds=2)
        counts = []
        while not bombed.done():
            counts.append(len(processes(mark)))
            time.sleep(0.05)
    assert bombed.result().timed_out
    assert 2 < max(counts) <= 16
    assert all_gone(mark)


@each_kind
def test_ten_gigabytes_are_refused(kind):
    outcome = run(kind, "bytearray(10 << 30)")
    assert outcome.exit_code == 1
    assert "MemoryError" in outcome.stderr


@each_kind
def test_memory_counts_over_all_processes_together(kind, name):
    mark, take_name = name
    program = (
        take_name + "import os, time\nos.fork(); os.fork(); os.fork()\nheld = bytearray(150 << 20)\ntime.sleep(20)"
    )
    start = time.monotonic()
    outcome = run(kind, program, memory_mb=512, seconds=20)
    assert outcome.exit_code is None
    assert not outcome.timed_out
    assert time.monotonic() - start < 10
    assert all_gone(mark)


@each_kind
def test_memory_counts_where_a_thread_starts_the_processes(kind):
    program = """
        import os, threading, time
        def children():
            for _ in range(6):
                if os.fork() == 0:
                    held = bytearray(90 << 20)
                    time.sleep(20)
                    os._exit(0)
            time.sleep(20)
        threading.Thread(target=children).start()
        """
    start = time.monotonic()
    outcome = run(kind, program, memory_mb=300, seconds=20)
    assert outcome.exit_code is None
    assert not outcome.timed_out
    assert time.monotonic() - start < 10


@each_kind
def test_memory_that_is_in_no_process_cannot_be_had(kind):
    """Shared memory stays after all but a page of its mapping is gone; that of a file in /tmp is bounded with it."""
    outcome = run(
        kind,
        """
        import mmap, os
        for size, flags in [(1 << 20, mmap.MAP_SHARED), (4096, mmap.MAP_SHARED), (1 << 20, mmap.MAP_PRIVATE)]:
            try:
                print(len(mmap.mmap(-1, size, flags=flags | mmap.MAP_ANONYMOUS)))
            except PermissionError:
                print("refused")
        print(os.path.exists("/dev/zero"))
        """,
    )
    assert outcome.stdout.split() == ["refused", "refused", "1048576", "False"]


@each_kind
def test_processes_share_values_as_python_has_it(kind):
    outcome = run(
        kind,
        """
        import multiprocessing
        shared = multiprocessing.Array("i", 3)
        def fill():
            shared[1] = 7
        child = multiprocessing.get_context("fork").Process(target=fill)
        child.start()
        child.join()
        print(shared[:])
        """,
    )
    assert outcome.stdout == "[0, 7, 0]\n", outcome


@each_kind
def test_the_files_are_counted(kind):
    outcome = run(
        kind,
        """
        for number in range(20_000):
            try:
                open(f"/tmp/{number}", "w").close()
            except OSError:
                break
        print(number)
        """,
    )
    assert 1000 < int(outcome.stdout) < 10_000


@each_kind
def test_the_disk_is_bounded(kind):
    outcome = run(
        kind,
        """
        written = 0
        for number in range(1000):
            try:
                with open(f"/tmp/{number}", "wb") as file:
                    while True:
                        written += file.write(bytes(1 << 20))
            except OSError:
                if not written or number > 20:
                    break
        print(written >> 20)
        """,
        disk_mb=20,
        memory_mb=256,
    )
    assert 10 <= int(outcome.stdout) <= 40  # what did not fit is counted once a file


@each_kind
def test_an_endless_loop_ends_at_its_time(kind, name):
    mark, take_name = name
    start = time.monotonic()
    outcome = run(kind, take_name + "while True: pass", seconds=1)
    assert outcome.timed_out
    assert outcome.exit_code is None
    assert 1 <= time.monotonic() - start < 10
    assert all_gone(mark)


@each_kind
def test_an_endless_print_ends_at_its_length(kind):
    outcome = run(kind, "while True: print('x' * 1000)", output_mb=0.1)
    assert outcome.truncated
    assert not outcome.timed_out
    assert 100_000 < len(outcome.stdout) <= 0.1 * 2**20


@each_kind
def test_killing_everything_kills_nothing_outside(kind):
    outcome = run(
        kind,
        f"""
        import os
        for pid in (os.getppid(), 1, {os.getpid()}, {os.getppid()}):
            try:
                os.kill(pid, 9)
            except OSError:
                pass
        print("tried", flush=True)
        os.kill(-1, 9)
        """,
    )
    assert outcome.stdout == "tried\n"


@each_kind
def test_what_it_leaves_behind_ends_with_it(kind, name):
    mark, take_name = name
    program = """
        import os, time
        if os.fork() == 0:
            os.setsid()
            for number in range(3):
                os.close(number)
            if os.fork() == 0:
                time.sleep(60)
            os._exit(0)
        print("done")
        """
    outcome = run(kind, take_name + textwrap.dedent(program))
    assert (outcome.stdout, outcome.exit_code) == ("done\n", 0)
    assert all_gone(mark)


@each_kind
def test_the_jail_dies_with_who_started_it(kind, name):
    mark, take_name = name
    code = f"from rlkit import sandbox; sandbox.run({take_name + 'while True: pass'!r}, kind={kind!r}, seconds=60)"
    with subprocess.Popen([sys.executable, "-c", code]) as starter:
        patience = time.monotonic() + 20
        while not processes(mark) and time.monotonic() < patience:
            time.sleep(0.02)
        assert processes(mark)
        starter.kill()
    assert all_gone(mark)


@each_kind
def test_it_works_in_a_thread_and_in_a_forked_process(kind):
    with ThreadPoolExecutor(2) as pool:
        assert [one.stdout for one in pool.map(lambda n: run(kind, f"print({n})"), range(4))] == [
            f"{n}\n" for n in range(4)
        ]
    forked = multiprocessing.get_context("fork").Process(target=_exit_by_stdout, args=(kind,))
    forked.start()
    forked.join(30)
    assert forked.exitcode == 42


def _exit_by_stdout(kind):
    os._exit(int(run(kind, "print(42)").stdout))


@pytest.mark.skipif(os.geteuid() != 0 or "unshare" not in WORKING, reason="becoming another user takes root")
def test_an_ordinary_user_has_it_too():
    """In a mount namespace of its own, where that user can read Python, its packages and rlkit."""
    packages = next(path for path in kinds.packages() if Path(path, "pydantic").exists())
    mounts = {sys.base_prefix: "/mnt/base", packages: "/mnt/site-packages", str(kinds.HERE.parents[1]): "/mnt/repo"}
    steps = ["mount -t tmpfs none /mnt"]
    steps += [f"mkdir {there} && mount --bind {here} {there}" for here, there in mounts.items()]
    python = Path("/mnt/base/bin", Path(kinds.python()).name)
    steps += [f'cd / && exec setpriv --reuid=4242 --regid=4242 --clear-groups {python} -B -c "$CODE"']
    code = (
        "import os\nfrom rlkit import sandbox\nassert os.getuid() == 4242\n"
        "for kind, reason in sandbox.available().items():\n"
        "    program = 'import os; forks = 0\\ntry:\\n    while os.fork(): forks += 1\\nexcept OSError: print(forks)'\n"
        "    forks = sandbox.run(program, kind=kind).stdout.strip() if not reason else reason\n"
        "    share = sandbox.examine('f = abs', 'assert f(-1) == 1', kind=kind).share if not reason else 0\n"
        "    print(kind, forks, share)\n"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": "/mnt/repo:/mnt/site-packages", "CODE": code}
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", "\n".join(steps)], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    shown = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    for kind in WORKING:
        forks, share = shown[kind].split()
        assert int(forks) < 16
        assert share == "1.0"


def test_without_isolation_it_refuses_and_says_what_would_help(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    kinds.available.cache_clear()
    try:
        for kind in ("auto", "bubblewrap"):
            with pytest.raises(RequestError, match="apt install bubblewrap"):
                sandbox.choose(kind)
        assert sandbox.choose("none") == "none"
    finally:
        kinds.available.cache_clear()
    with pytest.raises(RequestError, match="no sandbox is called 'docker'"):
        sandbox.choose("docker")


def test_none_has_a_clean_environment_a_folder_and_limits(monkeypatch):
    monkeypatch.setenv("API_TOKEN", "secret")
    outcome = run("none", "import os; print('API_TOKEN' in os.environ, os.listdir('.'), os.getcwd())")
    present, listing, folder = outcome.stdout.split()
    assert (present, listing) == ("False", "[]")
    assert not Path(folder).exists()
    assert run("none", "while True: pass", seconds=1).timed_out


@each_kind
def test_it_finds_its_own_files_under_tmp_too(kind, tmp_path):
    """A checkout or an environment may lie there, under the jail's own /tmp."""
    import shutil

    import rlkit

    shutil.copytree(Path(rlkit.__file__).parent, tmp_path / "rlkit", ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "from rlkit.sandbox import examine, kinds\n"
        f"assert str(kinds.HERE).startswith({str(tmp_path)!r})\n"
        f"print(examine('def add(a, b): return a + b', 'assert add(1, 2) == 3', kind={kind!r}).share)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd="/", capture_output=True, text=True)
    assert done.stdout == "1.0\n", done.stderr
