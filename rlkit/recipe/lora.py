"""`lora:` the adapter, in the words of PEFT's LoraConfig."""

from typing import Literal

from pydantic import Field

from rlkit.recipe.section import Section


class LoraSection(Section):
    """Train a low-rank adapter (LoRA, arXiv 2106.09685) instead of all weights."""

    r: int = Field(default=16, ge=1)
    """Rank."""
    alpha: int = Field(default=32, ge=1)
    """Scale: the adapter's output counts alpha / r."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout before the adapter."""
    target_modules: str | list[str] = "all-linear"
    """Layers that get an adapter: names, a pattern, or all-linear."""
    modules_to_save: list[str] | None = None
    """Layers trained in full beside the adapter."""
    bias: Literal["none", "all", "lora_only"] = "none"
    """Biases that are trained."""
    use_rslora: bool = False
    """Scale by alpha / sqrt(r) (arXiv 2312.03732)."""
    use_dora: bool = False
    """Decompose into magnitude and direction (arXiv 2402.09353)."""
