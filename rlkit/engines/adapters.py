"""LoRA adapters as engines take them, and whole weights where an engine cannot take an adapter."""

import copy
import dataclasses
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from rlkit.policy import Policy

TAKEN = {
    *("task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
    *("inference_mode", "runtime_config", "r", "rank_pattern", "lora_alpha", "alpha_pattern", "use_rslora"),
    *("lora_dropout", "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
    *("fan_in_fan_out", "init_lora_weights", "eva_config", "ensure_weight_tying"),
}
"""Fields of PEFT's LoraConfig that leave the adapter a plain A and B for each layer, whatever they hold."""
PLAIN_INITS = ("gaussian", "eva", "orthogonal")
"""Values of `init_lora_weights` that leave the base as it was (others, as pissa, change its weights)."""
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM allows for max_lora_rank."""


def is_adapter(policy: Policy) -> bool:
    """Whether an adapter is trained (or served) on a base that stays as it is."""
    return bool(getattr(policy.model, "peft_config", None))


def rank(policy: Policy) -> int:
    """The largest rank of a layer of the active adapter (a LoRA)."""
    config = _config(policy)
    return max([config.r, *(config.rank_pattern or {}).values()])


def hot_swappable(policy: Policy) -> str | None:
    """Why vLLM cannot put the adapter on its own base as it is, as half a sentence; None: it can."""
    if not is_adapter(policy):
        return "there is no adapter: all weights are trained"
    active = policy.model.active_adapters
    if len(active) > 1:
        return f"several adapters are active at once ({', '.join(active)})"
    import peft

    config = _config(policy)
    kind = getattr(config.peft_type, "value", config.peft_type)
    if kind != "LORA":
        return f"the adapter is of type {kind}, not LoRA"
    plain = peft.LoraConfig()
    for field in dataclasses.fields(plain):
        value = getattr(config, field.name, None)
        if field.name not in TAKEN and value != getattr(plain, field.name):
            return f"the adapter has {field.name}={value}"
    init = config.init_lora_weights
    if isinstance(init, str) and init not in PLAIN_INITS:
        return f"the adapter's init_lora_weights={init} changed the weights of the base"
    if rank(policy) > RANKS[-1]:
        return f"the adapter has rank {rank(policy)}, and vLLM takes {RANKS[-1]} at the most"
    base = policy.model.get_base_model()
    ends = (base.get_input_embeddings(), base.get_output_embeddings())
    for name, module in base.named_modules():
        if any(module is end for end in ends) and hasattr(module, "base_layer"):
            return f"the adapter is on {name} too"
    return None


def publish(policy: Policy, folder: Path, version: int) -> Path:
    """Write the active adapter (hot-swappable) to `folder`/step-`version`; it is there whole, or not at all.

    The folder holds adapter_model.safetensors and adapter_config.json as PEFT writes them; other adapters, as the
    reference that TRL keeps, are left out. What stood there under this version is replaced.
    """
    from safetensors.torch import save_file

    config = copy.copy(_config(policy))
    config.inference_mode = True
    folder.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        made.chmod(0o755)  # a server may run as another user
        save_file(
            {name: tensor.cpu().contiguous() for name, tensor in _factors(policy).items()},
            made / "adapter_model.safetensors",
            metadata={"format": "pt"},
        )
        config.save_pretrained(str(made))
        target = folder / f"step-{version}"
        if target.exists():
            target.rename(made.with_name(made.name + "-old"))
        made.rename(target)
    finally:
        for left in (made, made.with_name(made.name + "-old")):
            shutil.rmtree(left, ignore_errors=True)
    return target


def weights(policy: Policy, merge: bool = False) -> dict[str, Any]:
    """Name -> tensor of the model's own layers, under the names of a checkpoint, tied ones under each name.

    Args:
        policy: It is left as it is: where no tensor had to be computed, the result shares its memory.
        merge: With the active adapter counted in (a copy of the layers that it changes); False: the base alone.
    """
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper
    from transformers.core_model_loading import revert_weight_conversion

    if not is_adapter(policy):
        return revert_weight_conversion(policy.model, dict(policy.model.state_dict()))
    base, inside, found = policy.model.get_base_model(), "\0", {}
    with torch.no_grad():
        for name, module in base.named_modules(remove_duplicate=False):
            if name.startswith(inside):
                continue
            if isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper):
                inside = name + "."
                found.update({inside + key: value for key, value in _plain(module, merge).state_dict().items()})
            else:
                own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
                lost = module._non_persistent_buffers_set
                prefix = f"{name}." if name else ""
                found.update({prefix + key: value.detach() for key, value in own.items() if key not in lost})
    return revert_weight_conversion(base, found)


def save(policy: Policy, folder: Path, merge: bool = False) -> Path:
    """Write `weights` with the model's configuration to `folder`, as a model that loads; returns the folder."""
    from huggingface_hub import save_torch_state_dict

    base = policy.model.get_base_model() if is_adapter(policy) else policy.model
    state, config = weights(policy, merge), copy.deepcopy(base.config)
    head = next((name for name, module in base.named_modules() if module is base.get_output_embeddings()), "")
    if getattr(config, "tie_word_embeddings", False) and f"{head}.weight" in state:
        own = state[f"{head}.weight"].data_ptr()
        if any(name != f"{head}.weight" and tensor.data_ptr() == own for name, tensor in state.items()):
            del state[f"{head}.weight"]  # a loader takes it from the embeddings
        else:
            config.tie_word_embeddings = False  # it is trained as a matrix of its own, or will be
    folder.mkdir(parents=True, exist_ok=True)
    save_torch_state_dict({name: tensor.contiguous() for name, tensor in state.items()}, folder)
    config.save_pretrained(folder)
    return folder


def _factors(policy: Policy) -> dict[str, Any]:
    """Name -> A or B of each layer of the active adapter, which is hot-swappable, under the names of PEFT's files."""
    # PEFT's get_peft_model_state_dict walks the whole state dict, which takes half of a sync.
    active = re.compile(rf"(\.lora_\w+)\.{re.escape(policy.model.active_adapters[0])}(?=\.|$)")
    named = ((active.subn(r"\1", name), factor) for name, factor in policy.model.named_parameters())
    return {name: factor.detach() for (name, found), factor in named if found}


def _plain(module: Any, merge: bool) -> Any:
    """The layer under an adapter's wrapper; with `merge`, a copy that computes what the wrapper does."""
    if not merge:
        return module.original_module if hasattr(module, "original_module") else module.get_base_layer()
    copied = copy.deepcopy(module)
    if hasattr(copied, "unload_and_optionally_merge_module"):
        return copied.unload_and_optionally_merge_module(merge=True, safe_merge=False, adapter_names=None)
    copied.merge()
    return copied.get_base_layer()


def _config(policy: Policy) -> Any:
    return policy.model.peft_config[policy.model.active_adapters[0]]
