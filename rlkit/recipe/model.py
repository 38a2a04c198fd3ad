"""`model:` what is trained."""

from typing import Literal

from pydantic import model_validator

from rlkit.recipe.scratch import FromScratchSection, TokenizerSection
from rlkit.recipe.section import Section

__all__ = ["FromScratchSection", "ModelSection", "TokenizerSection"]


class ModelSection(Section):
    """The model to start from: a path, or a new one."""

    path: str | None = None
    """Hub id or local folder."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    from_scratch: FromScratchSection | None = None
    """Make a new model instead of loading one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the weights. auto: float32 to train them all, the base of an adapter in what the hardware computes best."""
    load_in_4bit: bool = False
    """Load the base in 4 bits (bitsandbytes); needs `lora`."""
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    """The 4 bits: normal float (arXiv 2305.14314), or float."""
    bnb_4bit_use_double_quant: bool = True
    """Quantize the scales too: 0.4 bits a weight less."""
    bnb_4bit_compute_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What products are computed in. auto: the dtype of the weights that are not quantized."""
    chat_template: str | None = None
    """For a base model that has none: chatml, or a Jinja file."""
    attn_implementation: str | None = None
    """Attention kernel, as transformers calls it: sdpa, eager, flash_attention_2 and so on."""
    backend: Literal["peft", "unsloth"] = "peft"
    """What loads the model and applies the adapter where one is trained."""
    fast_inference: bool = False
    """unsloth: generate by a vLLM in this process that shares the base's weights; needs a GPU."""

    def at(self, path: str, revision: str | None = None) -> "ModelSection":
        """The model at another path, which has its chat template already, loaded in the same way."""
        where = {"path": path, "revision": revision, "chat_template": None, "from_scratch": None}
        return self.model_copy(update=where)

    @model_validator(mode="after")
    def _one_source(self) -> "ModelSection":
        if self.path and self.from_scratch:
            raise ValueError(
                "set path or from_scratch, not both; the other one is model.from_scratch=null or model.path=null"
            )
        quantized = {name for name in self.model_fields_set if name.startswith("bnb_4bit_")}
        if quantized and not self.load_in_4bit:
            raise ValueError(f"{', '.join(sorted(quantized))}: of a base in 4 bits; set load_in_4bit: true too")
        if self.fast_inference and self.backend != "unsloth":
            raise ValueError("fast_inference: of the backend unsloth; set backend: unsloth, or generation.engine: vllm")
        loading = {"load_in_4bit", "chat_template", "attn_implementation", "revision"} & self.model_fields_set
        if self.from_scratch and loading:
            raise ValueError(f"{', '.join(sorted(loading))}: for a model that is loaded, not for one from_scratch")
        return self
