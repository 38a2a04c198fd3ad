"""Models as transformers loads them, with adapters of PEFT (`model.backend: peft`)."""

import os
from typing import Any

from rlkit.errors import RequestError
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import ModelSection


def base(section: ModelSection, path: str, revision: str | None, dtype: Any, lora: LoraSection | None) -> Any:
    """Load a model, in 4 bits where the section asks for them.

    Args:
        section: How.
        path: Folder or hub id of the model itself, not of an adapter.
        revision: Its revision on the hub.
        dtype: Of the weights that are not quantized.
        lora: The adapter that will be put on it.

    Raises:
        RequestError: It cannot be loaded so.
    """
    import torch
    import transformers

    settings: dict[str, Any] = {"dtype": dtype, "revision": revision}
    if section.attn_implementation:
        settings["attn_implementation"] = section.attn_implementation
    if section.load_in_4bit:
        asked = section.bnb_4bit_compute_dtype
        settings["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=section.bnb_4bit_quant_type,
            bnb_4bit_use_double_quant=section.bnb_4bit_use_double_quant,
            bnb_4bit_compute_dtype=dtype if asked == "auto" else getattr(torch, asked),
        )
    if torch.cuda.is_available():
        settings["device_map"] = {"": f"cuda:{os.environ.get('LOCAL_RANK', '0')}"}
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(path, **settings)
    except (OSError, ValueError) as error:
        said = str(error).split("\n")[0]
        raise RequestError(f"model {path}: it cannot be loaded: {said}") from error
    _keep_gradients(model)
    return model


def saved(model: Any, path: str, train: bool, checkpointing: bool) -> Any:
    """Put the adapter in the folder `path` on its base."""
    import peft

    return peft.PeftModel.from_pretrained(model, path, is_trainable=train)


def new(model: Any, lora: LoraSection, checkpointing: bool) -> Any:
    """Freeze the model and put a new adapter on it.

    Args:
        model: From `base`.
        lora: The adapter.
        checkpointing: Whether training will keep activations at the layers' borders alone; the trainer sees to that.

    Raises:
        RequestError: It fits no layer.
    """
    import peft

    try:
        config = peft.LoraConfig(task_type="CAUSAL_LM", **lora.arguments())
    except (ValueError, TypeError) as error:
        raise RequestError(f"lora: {str(error).splitlines()[0]}") from error
    if getattr(model, "is_loaded_in_4bit", False):
        model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    try:
        return peft.get_peft_model(model, config)
    except (ValueError, TypeError, RuntimeError) as error:
        raise RequestError(f"lora.target_modules {lora.target_modules!r}: {str(error).splitlines()[0]}") from error


def _keep_gradients(model: Any) -> None:
    """Keep weights in 4 bits as they are.

    On a CPU with bfloat16, bitsandbytes 0.50 repacks them at the first forward pass in evaluation mode, for good, and
    no gradient goes through a packed layer: a policy that generates once would not learn any more.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
