"""Benchmarks of lm-evaluation-harness on rlkit's models."""

from rlkit.harness.measure import measure
from rlkit.harness.tasks import load

__all__ = ["load", "measure"]
