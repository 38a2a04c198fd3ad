"""Processes that hang, crash and raise: the calls beside them come out as if nothing had been."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rlkit.errors import RunError
from rlkit.workers import CrashError, TimeLimitError, WorkerError, Workers


def call(what):
    if what == "hang":
        while True:
            pass
    if what == "hang in C":
        9**9**9**9  # no Python signal handler runs before it is done
    if what == "exit":
        os._exit(0)
    if what == "abort":
        os.abort()
    if what == "raise":
        raise ValueError("no")
    if what == "pid":
        return os.getpid()
    if what == "print":
        print("noise")
    return what


@pytest.fixture
def workers():
    made = Workers(call, 2)
    yield made
    made.close()


def run(workers, *calls, seconds=None):
    return workers.map([{"what": what} for what in calls], seconds)


def test_results_come_in_the_order_of_the_calls(workers):
    assert run(workers, *range(200)) == list(range(200))


@pytest.mark.parametrize("thread", ["main", "other"])
def test_a_call_that_hangs_costs_its_limit_and_nothing_else(workers, thread):
    results = []

    def score():
        start = time.monotonic()
        results.extend(run(workers, "hang in C", *range(100), "hang", seconds=1.0))
        results.append(time.monotonic() - start)

    if thread == "main":
        score()
    else:
        other = threading.Thread(target=score)
        other.start()
        other.join()
    first, *middle, last, seconds = results
    assert isinstance(first, TimeLimitError)
    assert isinstance(last, TimeLimitError)
    assert str(first) == "took longer than 1 s"
    assert middle == list(range(100))
    assert seconds < 3.5  # two limits, where one worker met both, and not one for each of 100


@pytest.mark.parametrize("how", ["exit", "abort"])
def test_a_worker_that_dies_fails_its_own_call_alone(workers, how):
    first, *others = run(workers, how, 1, 2, 3)
    assert isinstance(first, CrashError)
    assert others == [1, 2, 3]
    assert run(workers, 4, 5) == [4, 5]


def test_an_exception_comes_back_with_its_traceback(workers):
    error, other = run(workers, "raise", 1)
    assert isinstance(error, WorkerError)
    assert str(error) == "ValueError: no"
    assert 'raise ValueError("no")' in "".join(error.__notes__)
    assert other == 1


def test_what_a_worker_prints_is_no_data(workers, capfd):
    assert run(workers, "print") == ["print"]
    assert capfd.readouterr().out == ""


def test_workers_are_kept_warm(workers):
    first, second = run(workers, "pid"), run(workers, "pid")
    assert first == second != [os.getpid()]


def test_a_result_that_cannot_be_sent_is_an_error():
    workers = Workers(lambda: threading.Lock(), 1)
    (error,) = workers.map([{}])
    workers.close()
    assert "cannot be sent back" in str(error)


def test_a_function_that_cannot_be_sent_says_so():
    lock = threading.Lock()
    with pytest.raises(RunError, match="cannot be sent to another process"):
        Workers(lambda: lock)


def test_an_interrupted_map_leaves_no_stale_answers(workers, monkeypatch):
    from rlkit import workers as module

    real = module.wait
    monkeypatch.setattr(module, "wait", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(workers, "a", "b")
    monkeypatch.setattr(module, "wait", real)
    assert run(workers, "c", "d") == ["c", "d"]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_no_process_outlives_the_program_that_was_killed():
    code = (
        "import os, signal, sys, threading, time\n"
        "from tests.test_workers import call\n"
        "from rlkit.workers import Workers\n"
        "w = Workers(call, 2)\n"
        "print(w._template.pid, *w.map([{'what': 'pid'}]), flush=True)\n"
        "threading.Thread(target=w.map, args=([{'what': 'hang in C'}] * 2,), daemon=True).start()\n"
        "time.sleep(0.5)\n"
        "print(*[x.pid for x in w._workers], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."}
    )
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 4, done.stderr
    until = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, pids))


def test_a_function_that_forks_answers_once():
    def forks(what):
        if what == "fork" and os.fork() == 0:
            sys.exit(0)
        return what

    workers = Workers(forks, 1)
    assert run(workers, "fork", 1, "fork", 2, 3, seconds=10.0) == ["fork", 1, "fork", 2, 3]
    workers.close()


def test_a_fork_of_the_program_leaves_its_workers_alone(workers):
    assert run(workers, 1, 2) == [1, 2]
    pid = os.fork()
    if pid == 0:
        workers.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert workers.usable
    assert run(workers, 3, 4) == [3, 4]


def test_a_call_whose_worker_died_before_it_is_made_by_another(workers):
    assert run(workers, 1, 2) == [1, 2]
    for worker in list(workers._workers):
        os.kill(worker.pid, 9)
    time.sleep(0.2)
    assert run(workers, 3, 4) == [3, 4]


def test_the_first_call_is_for_its_imports_and_may_crash():
    workers = Workers(call, 1, warm={"what": "abort"})
    assert run(workers, 1) == [1]
    workers.close()

    def imports(what):
        import colorsys  # noqa: F401

        return "colorsys" in what

    def loaded(what):
        return imports(what) if what == "warm" else what in sys.modules

    workers = Workers(loaded, 1, warm={"what": "warm"})
    assert run(workers, "colorsys") == [True]
    workers.close()
