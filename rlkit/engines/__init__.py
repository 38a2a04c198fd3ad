"""Engines generate groups of completions. One interface (`Engine`), one file an implementation."""

from rlkit.engines.choose import available, choose
from rlkit.engines.engine import Engine, Generated, Sampling

__all__ = ["Engine", "Generated", "Sampling", "available", "choose"]
