"""vLLM's arguments for a policy, and the policies that it cannot serve."""

import dataclasses
import os
from typing import Any

from rlkit import names
from rlkit.engines import adapters
from rlkit.engines.vllm_process import contained, failure
from rlkit.errors import RequestError
from rlkit.policy import Policy
from rlkit.recipe.generation import GenerationSection

OURS = ("model", "revision", "enable_lora", "logprobs_mode", "generation_config", "skip_tokenizer_init")
"""Arguments of vLLM that are not the user's to set: what is served, and what its log-probabilities mean."""
SEQUENCES = 64
"""Completions, as long as the context, that the KV cache on a CPU has room for (where the memory allows)."""
BLOCK = 128
"""Tokens in a block of the KV cache on a CPU."""
PARALLEL = 50_000_000
"""Parameters from which on more threads than one pay on a CPU."""


def check(arguments: dict[str, Any]) -> None:
    """See that vLLM takes the arguments that a user sets (`generation.vllm`).

    Raises:
        RequestError: vLLM has no such argument, or it is rlkit's to set.
    """
    if not arguments:
        return
    with failure("did not start"), contained():
        from vllm import EngineArgs

    known = {field.name for field in dataclasses.fields(EngineArgs)}
    for name in arguments:
        if name not in known:
            raise RequestError(f"generation.vllm: {names.unknown('argument of vLLM', name, known)}")
        if name in OURS:
            raise RequestError(f"generation.vllm.{name}: rlkit sets it, from the model and generation.*")


def refuse(quantized: bool, cuda: bool) -> None:
    """Say no to what vLLM cannot do on this machine.

    Raises:
        RequestError: A model in 4 bits on a CPU; several processes without GPUs.
    """
    if quantized and not cuda:
        raise RequestError(
            "generation.engine vllm: it cannot serve a model in 4 bits on a CPU; use generation.engine=transformers"
        )
    if not cuda and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RequestError(
            "generation.engine vllm: a run of several processes needs GPUs for it; use generation.engine=transformers"
        )


def refuse_policy(policy: Policy) -> None:
    """Say no to a policy in 4 bits whose weights vLLM cannot have.

    Raises:
        RequestError: Its adapter would have to be merged, or its base is not on disk.
    """
    if not policy.in_4bit:
        return
    if adapters.is_adapter(policy) and (why := adapters.hot_swappable(policy)):
        raise RequestError(
            f"generation.engine vllm: {why}, which vLLM does not take, and it cannot be merged into a base in "
            "4 bits; use generation.engine=transformers"
        )
    if policy.base is None:
        raise RequestError(
            "generation.engine vllm: it loads the base of a model in 4 bits from disk, and this one has changed "
            "since; use generation.engine=transformers"
        )


def arguments_for(policy: Policy, settings: GenerationSection, training: bool, cuda: bool) -> dict[str, Any]:
    """vLLM's arguments for the policy, the user's over rlkit's.

    Raises:
        RequestError: vLLM has no such argument, or it is rlkit's to set.
    """
    check(settings.vllm)
    dtype = _dtype(policy) if settings.dtype == "auto" else settings.dtype
    arguments: dict[str, Any] = {
        "model": policy.base,
        "revision": policy.revision,
        "dtype": dtype,
        "skip_tokenizer_init": True,  # tokens go in and tokens come out
        "generation_config": "vllm",  # the model's own would change how tokens are drawn
        "logprobs_mode": "processed_logprobs",
        "enforce_eager": not cuda,
        "use_tqdm_on_load": False,
        "disable_log_stats": True,
    }
    if policy.context is not None:
        arguments["max_model_len"] = policy.context
    if adapters.hot_swappable(policy) is None:
        rank = next(allowed for allowed in adapters.RANKS if allowed >= adapters.rank(policy))
        arguments.update(enable_lora=True, max_lora_rank=rank, max_loras=1, max_cpu_loras=1)
    if policy.in_4bit:
        arguments["quantization"] = "bitsandbytes"
    if not cuda:
        arguments["kv_cache_memory_bytes"] = _cache_bytes(policy, dtype)
        arguments["enable_chunked_prefill"] = False  # vLLM 0.32 dies where it splits a prompt that has a seed
    else:
        arguments.update(gpu_memory_utilization=0.3 if training else 0.8, enable_sleep_mode=training)
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            arguments["distributed_executor_backend"] = "external_launcher"
    arguments.update(settings.vllm)
    if not cuda and "gpu_memory_utilization" in settings.vllm and "kv_cache_memory_bytes" not in settings.vllm:
        del arguments["kv_cache_memory_bytes"]
    return arguments


def threads(policy: Policy) -> int | None:
    """Threads to generate with on a CPU; None: as many as torch has.

    Threads that spin while they wait take the processor from the serial parts of a step: where the environment does
    not forbid that (OMP_WAIT_POLICY=passive), one thread is the safe choice, and vLLM's own.
    """
    if os.environ.get("OMP_WAIT_POLICY", "").lower() != "passive":
        return 1
    return None if sum(p.numel() for p in policy.model.parameters()) >= PARALLEL else 1


def _dtype(policy: Policy) -> str:
    """What the policy computes in, in the words of vLLM."""
    if policy.in_4bit:
        return str(policy.model.config.quantization_config.bnb_4bit_compute_dtype).removeprefix("torch.")
    return str(policy.model.get_input_embeddings().weight.dtype).removeprefix("torch.")


def _cache_bytes(policy: Policy, dtype: str) -> int:
    """Bytes for the KV cache on a CPU: `SEQUENCES` contexts, in a tenth of the free memory; one context in any case."""
    import psutil
    import torch

    config = policy.model.config.get_text_config()
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    token = 2 * config.num_hidden_layers * groups * head * getattr(torch, dtype).itemsize
    context = -(-(policy.context or 4096) // BLOCK) * BLOCK * token
    return max(context + BLOCK * token, min(SEQUENCES * context, psutil.virtual_memory().available // 10))
