"""The sandbox: run code that a model wrote as another process, which can do no harm."""

from rlkit.sandbox.exam import Verdict, examine
from rlkit.sandbox.jail import Outcome, run
from rlkit.sandbox.kinds import KINDS, available, choose

__all__ = ["KINDS", "Outcome", "Verdict", "available", "choose", "examine", "run"]
