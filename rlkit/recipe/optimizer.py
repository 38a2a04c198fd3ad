"""`training.optim`: which optimizers this machine has."""

import importlib.util

from rlkit.errors import MissingExtraError

PAGED = "paged_"
ELSE = {"adamw_32bit": "adamw_torch", "lion_32bit": "lion_32bit", "ademamix_32bit": "ademamix"}
"""The nearest of each paged optimizer in 32 bits, without pages."""


def problem(name: str | None, cuda: bool) -> str | None:
    """Why an optimizer of bitsandbytes does not work here, and the nearest that does; None: it works.

    Args:
        name: As transformers calls it, such as adamw_8bit.
        cuda: Whether there is a GPU, whose memory pages can be moved out of.
    """
    if not isinstance(name, str):
        return None
    if name.startswith(PAGED) and not cuda:
        bare = name.removeprefix(PAGED)
        return f"{name} moves its state between a GPU and main memory, and there is no GPU: use {ELSE.get(bare, bare)}"
    ours = name.startswith((PAGED, "adamw_8bit", "adamw_bnb", "ademamix", "lion_", "rmsprop_bnb"))
    if ours and importlib.util.find_spec("bitsandbytes") is None:
        return str(MissingExtraError(name, "bitsandbytes", "bnb"))
    return None
