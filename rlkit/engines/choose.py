"""Which engines there are, and which one is taken."""

from typing import Any

from rlkit.engines.engine import Engine

ENGINES = {"transformers": "transformers' own generate: always there, on any hardware"}


def available() -> dict[str, str]:
    """The engines by name, each with a line that says what it is."""
    return dict(ENGINES)


def choose(name: str, policy: Any, batch_size: int = 64) -> tuple[Engine, str]:
    """The engine of that name (or the best that is installed, for auto), and why it was taken."""
    from rlkit.engines.transformers import TransformersEngine

    why = "engine transformers" + (": it needs nothing installed" if name == "auto" else ", as asked")
    return TransformersEngine(policy, batch_size), why
