"""The dtype of the weights."""

from pathlib import Path
from typing import Any


def choose_dtype(asked: str, frozen: bool) -> tuple[Any, str]:
    """The dtype of the weights for this hardware, and why.

    Args:
        asked: auto, or a dtype by name.
        frozen: The weights are not trained (an adapter is, or nothing is).
    """
    import torch

    cuda = torch.cuda.is_available()
    fast_bf16 = torch.cuda.is_bf16_supported() if cuda else cpu_has_bf16()
    if asked != "auto":
        dtype = getattr(torch, asked)
        if asked == "bfloat16" and not fast_bf16:
            return dtype, "dtype bfloat16, as asked; this hardware computes it slowly (float32 is faster here)"
        if asked == "float16" and not cuda:
            return dtype, "dtype float16, as asked; on a CPU it is slow and overflows easily (float32 is safer)"
        return dtype, f"dtype {asked}, as asked"
    if not frozen:
        return torch.float32, "dtype float32: all weights are trained, and small updates are lost in 16 bits"
    if cuda:
        name = "bfloat16" if fast_bf16 else "float16"
        return getattr(torch, name), f"dtype {name}: frozen weights, and the GPU computes it fast"
    return torch.float32, "dtype float32: on a CPU"


def cpu_has_bf16() -> bool:
    """Whether the CPU has instructions for bfloat16."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
