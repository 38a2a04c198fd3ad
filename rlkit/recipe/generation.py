"""`generation:` how groups of completions are made: by what engine, and how tokens are drawn."""

from typing import Any, Literal

from pydantic import Field

from rlkit.recipe.section import Section


class GenerationSection(Section):
    """Sampling, in the words of GRPOConfig."""

    engine: Literal["auto", "transformers", "vllm", "vllm_server"] = "auto"
    """What generates. auto: vllm where it is installed and there is a GPU, else transformers."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the engine computes in; auto: as the policy. bfloat16 is the faster where the hardware has it."""
    vllm: dict[str, Any] = Field(default_factory=dict)
    """More arguments of vLLM's own (EngineArgs), for the engine vllm, as {gpu_memory_utilization: 0.5}."""
    servers: list[str] = Field(default_factory=list)
    """Addresses of running vLLM servers, for the engine vllm_server: [http://localhost:8000]."""
    adapter_folder: str | None = None
    """A folder that this process and the servers see, where each step's adapter is published, for vllm_server."""
    check_sync: bool = False
    """After each sync, compare the engine's log-probabilities with the policy's; a mismatch ends the run."""
    num_generations: int = Field(default=8, ge=2, le=65536)
    """Completions of a prompt: the group that advantages are relative to."""
    max_completion_length: int = Field(default=256, ge=1)
    """Tokens of a completion at the most."""
    temperature: float = Field(default=1.0, gt=0.0)
    """Sampling temperature; at 0 all completions of a group would be the same."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Nucleus sampling."""
    top_k: int = Field(default=0, ge=0)
    """Sample from the k likeliest tokens; 0 for all."""
    min_p: float | None = Field(default=None, ge=0.0, le=1.0)
    """Leave out tokens less likely than so much of the likeliest."""
    repetition_penalty: float = Field(default=1.0, gt=0.0)
    """Above 1, tokens that stand already become less likely."""

    def drawn(self) -> dict[str, Any]:
        """How tokens are drawn, in the words of GRPOConfig."""
        return {name: getattr(self, name) for name in DRAWN}


DRAWN = ("max_completion_length", "temperature", "top_p", "top_k", "min_p", "repetition_penalty")
"""Fields that every engine takes (`rlkit.engines.Sampling`)."""
