"""What Unsloth takes of a recipe (`model.backend: unsloth`)."""

import importlib.util
from collections.abc import Iterator

from rlkit.errors import MissingExtraError
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import ModelSection

LORA = {
    *("r", "lora_alpha", "lora_dropout", "target_modules", "modules_to_save", "bias", "use_rslora"),
    *("init_lora_weights", "layers_to_transform", "layers_pattern"),
}
"""Fields of PEFT's LoraConfig that its `get_peft_model` has, on every hardware."""
MODEL = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "auto"}
"""What its 4 bits are; it has no other ones."""


def problems(model: ModelSection, lora: LoraSection | None) -> Iterator[tuple[str, str, str]]:
    """Section, field and what is wrong with it, for a stage that trains (to measure, no backend is needed)."""
    if importlib.util.find_spec("unsloth") is None:
        yield "model", "backend", str(MissingExtraError("model.backend unsloth", "unsloth", "unsloth"))
    if model.from_scratch or lora is None:
        yield "model", "backend", "unsloth trains adapters here: add lora: {r: 16}, or set backend: peft"
    for name, only in MODEL.items():
        if getattr(model, name) != only:
            yield "model", name, f"unsloth's 4 bits have {name}: {str(only).lower()}; other ones need backend: peft"
    if model.attn_implementation:
        yield "model", "attn_implementation", "unsloth has attention of its own; another one needs backend: peft"
    if lora is None:
        return
    plain = LoraSection().arguments()
    for name, value in lora.arguments().items():
        if name not in LORA and value != plain[name]:
            yield "lora", name, f"unsloth does not take {name}; it needs model.backend: peft"
