"""Which engines there are, and which one is taken."""

import importlib.util
from typing import Any

from rlkit.engines.engine import Engine
from rlkit.errors import MissingExtraError, RequestError
from rlkit.recipe.generation import GenerationSection

ENGINES = {
    "transformers": "the policy's own model in this process: always there, on any hardware",
    "vllm": "vLLM in this process, on a GPU or a CPU: the fastest on a GPU",
    "vllm_server": "vLLM servers on this host or others (generation.servers); the policy is a LoRA adapter",
}


def available() -> dict[str, str]:
    """The engines by name, each with a line that says what it is."""
    return dict(ENGINES)


def choose(
    settings: GenerationSection, policy: Any, batch_size: int = 64, training: bool = False
) -> tuple[Engine, str]:
    """The engine that a recipe asks for (or the best that is there, for auto), and why it was taken.

    Args:
        settings: `generation:` of the recipe.
        policy: What it generates with: the engine serves it as it is now.
        batch_size: Completions generated at a time, for the engine transformers.
        training: The policy is trained beside it: on a GPU, the engine gives its memory back between groups.

    Raises:
        RequestError: The engine cannot serve this policy, or is not installed.
        RunError: The engine did not start.
    """
    name, why = _auto(policy) if settings.engine == "auto" else (settings.engine, "as asked")
    if name == "vllm":
        if not installed():
            raise MissingExtraError("generation.engine vllm", "vllm", "vllm")
        from rlkit.engines.vllm import VllmEngine

        return VllmEngine(policy, settings, training), f"engine vllm: {why}"
    if name == "vllm_server":
        if not settings.servers:
            raise RequestError("generation.engine vllm_server needs generation.servers: [http://HOST:PORT, ...]")
        from rlkit.engines.vllm_server import VllmServerEngine

        return VllmServerEngine(policy, settings, training), f"engine vllm_server: {why}"
    from rlkit.engines.transformers import TransformersEngine

    return TransformersEngine(policy, batch_size, settings.dtype), f"engine transformers: {why}"


def installed() -> bool:
    """Whether vLLM is."""
    return importlib.util.find_spec("vllm") is not None


def _auto(policy: Any) -> tuple[str, str]:
    import torch

    if policy.vllm is not None:
        return "vllm", "model.fast_inference started it"
    if not torch.cuda.is_available():
        return "transformers", "on a CPU it is the fastest, and starts at once"
    if not installed():
        return "transformers", "vLLM is not installed (pip install 'rlkit[vllm]')"
    return "vllm", "it is installed, and there is a GPU"
