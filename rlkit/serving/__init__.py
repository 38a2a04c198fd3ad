"""Serves what was made: a run, a folder, a hub id or a GGUF file, behind one interface (`Served`), one file a way."""

from rlkit.serving.open import open_model
from rlkit.serving.served import Served

__all__ = ["Served", "open_model"]
