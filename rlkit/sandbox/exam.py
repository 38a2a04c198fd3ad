"""Do a program's answers pass tests? Two jails: one runs the program, the other the tests and nothing else.

The program's process is its own to do with as it likes; the verdict is written by the other, which gets plain data
from it. So no trick inside the program (leaving early, changing how values compare, looking for the
expected ones) can make a test pass: it has to answer right.
"""

import json
import socket
from typing import NamedTuple

from rlkit.errors import RunError
from rlkit.sandbox.jail import Jail, Limits, watch


class Verdict(NamedTuple):
    """What tests say of a program: the share of them that passes, and why the rest does not."""

    share: float
    why: str = ""


def examine(
    program: str,
    test: str,
    *,
    entry: str = "",
    prompt: str = "",
    fraction: bool = False,
    kind: str,
    seconds: float = 10.0,
    memory_mb: int = 1024,
) -> Verdict:
    """Run tests against a program.

    Args:
        program: Python source, or the body of the prompt's last function.
        test: Python source with assert statements; where it defines `check(candidate)` and does not call it, it is
            called with the entry, and so are functions `test_...()`. It may import the program from `solution`.
        entry: The name under test, where `test` does not use it itself.
        prompt: What the program was to complete: its imports and helpers are there for program and tests.
        fraction: Whether to run on after the first failure, for the share; else it is 1 or 0.
        kind: The kind of isolation.
        seconds: How long the program may compute, and the tests; on a busy machine it may take twice as long, so
            that the verdict does not hang on what else runs there.
        memory_mb: Megabytes of memory for each.

    Raises:
        RunError: A jail did not start, or the tests are at fault: no Python, or nothing is checked.
    """
    limits = Limits(2 * seconds, seconds, memory_mb)
    common = {"entry": entry, "prompt": prompt}
    ours, theirs = socket.socketpair()
    with ours, theirs:
        tests = {"role": "examiner", "test": test, "mode": "fraction" if fraction else "all", **common}
        with (
            Jail(kind, tests, limits, [ours.fileno()]) as examiner,
            Jail(kind, {"role": "candidate", "program": program, **common}, limits, [theirs.fileno()]) as candidate,
        ):
            ours.close()
            theirs.close()
            outcome = watch(examiner, candidate)
    begun, _, said = outcome.stdout.partition("\n")
    if begun != "begun":
        raise RunError(f"the sandbox did not start: {outcome.stderr.strip() or f'exit code {outcome.exit_code}'}")
    if not said.endswith("\n"):
        return Verdict(0.0, f"longer than {seconds:g} s" if outcome.timed_out else "it used too much")
    verdict = json.loads(said)
    if verdict["fault"]:
        raise RunError(f"the tests could not be run: {verdict['fault']}")
    return Verdict(verdict["share"], verdict["why"])
