"""`lora:` the adapter, in the words of PEFT's LoraConfig."""

from typing import Any, Literal

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
    init_lora_weights: bool | Literal["gaussian", "orthogonal", "olora", "pissa"] = True
    """What A and B begin as: true leaves the model as it is; olora and pissa take them out of the base's weights."""
    exclude_modules: str | list[str] | None = None
    """Layers that get none though `target_modules` names them."""
    layers_to_transform: int | list[int] | None = None
    """Numbers of the layers that get an adapter; all where it is not given."""
    layers_pattern: str | list[str] | None = None
    """What the list of layers is called in the model, for `layers_to_transform`."""
    rank_pattern: dict[str, int] = Field(default_factory=dict)
    """Rank of single layers: {q_proj: 8}."""
    alpha_pattern: dict[str, int] = Field(default_factory=dict)
    """Alpha of single layers."""
    target_parameters: list[str] | None = None
    """Parameters that get an adapter though they are no layer, as the experts of a mixture."""
    trainable_token_indices: list[int] | dict[str, list[int]] | None = None
    """Token ids whose embeddings are trained beside the adapter."""
    layer_replication: list[tuple[int, int]] | None = None
    """Ranges of layers that are stacked anew, each with an adapter of its own."""
    fan_in_fan_out: bool = False
    """Weights of the base are kept as (in, out), as GPT-2's are."""
    lora_bias: bool = False
    """A bias in B."""
    use_qalora: bool = False
    """Adapters on groups of inputs (QA-LoRA, arXiv 2309.14717)."""
    qalora_group_size: int = Field(default=16, ge=1)
    """Inputs in a group, for `use_qalora`."""
    ensure_weight_tying: bool = False
    """Keep tied embeddings tied where an adapter is on one of them."""
    warm_start: Literal["continue", "merge", "fresh"] = "continue"
    """Where the model has an adapter already: train that one on; merge it into the base and put a new one on top; or
    drop it and put a new one on the base. The KL reference (`beta`) is the model as this stage finds it; for fresh, the
    base."""

    def arguments(self) -> dict[str, Any]:
        """What PEFT's LoraConfig takes."""
        renamed = {"alpha": "lora_alpha", "dropout": "lora_dropout"}
        return {renamed.get(key, key): value for key, value in self.model_dump(exclude={"warm_start"}).items()}

    def same_adapter(self, other: "LoraSection") -> bool:
        """Whether both describe one adapter."""
        return self.arguments() == other.arguments()
