"""Where rlkit keeps what it fetched or had compiled."""

import os
from pathlib import Path


def folder() -> Path:
    """`rlkit` under the user's cache; it may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME")  # relative ones count as unset, by the XDG specification
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache") / "rlkit"
