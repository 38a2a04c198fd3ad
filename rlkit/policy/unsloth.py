"""Models and adapters by Unsloth (`model.backend: unsloth`): its kernels, its checkpointing, its 4 bits.

Unsloth also rewrites classes of transformers and TRL as it is imported. rlkit trains with TRL's own, under this
backend as under the other, so TRL's trainers are put back; what else it makes of a configuration is found by `changed`.
"""

import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from rlkit import cache
from rlkit.errors import MissingExtraError, RequestError
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import ModelSection

OURS = {
    "grpo_config": "GRPOConfig",
    "sft_config": "SFTConfig",
    "grpo_trainer": "GRPOTrainer",
    "sft_trainer": "SFTTrainer",
}
"""TRL's modules, with the class of each that rlkit trains with; those that others need come first."""
TRANSLATED = ("output_dir", "report_to")
"""Fields that transformers itself writes in another way."""
_late: list[str] = []


def switch_on() -> None:
    """Import Unsloth; before transformers, it can do all that it does.

    Raises:
        MissingExtraError: It is not installed.
        RequestError: It is installed, and does not start here.
    """
    if "unsloth" in sys.modules:
        return
    if importlib.util.find_spec("unsloth") is None:
        raise MissingExtraError("model.backend unsloth", "unsloth", "unsloth")
    _late[:] = [name for name in ("transformers", "trl", "peft") if name in sys.modules]
    os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")  # it would ask the hub for a file, to be counted
    os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(cache.folder() / "unsloth"))  # not the working directory
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TRL's, which it imports, about versions of vLLM
            importlib.import_module("unsloth")
            _put_back()
    except Exception as error:  # it looks at drivers, compilers and versions, each of which can fail in its own way
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise RequestError(f"model.backend unsloth: it does not start here ({said[0]}); use peft") from error


def notes() -> list[str]:
    """What a user should know: which Unsloth loads the model, and what keeps it from its best."""
    from importlib import metadata

    said = [f"backend unsloth {metadata.version('unsloth')}"]
    if _late:
        said.append(f"{', '.join(_late)} was imported before unsloth, so not all of its kernels are in place")
    return said


def base(section: ModelSection, path: str, revision: str | None, dtype: Any, lora: LoraSection | None) -> Any:
    """Load a model; see `rlkit.policy.peft.base`.

    Raises:
        RequestError: Unsloth cannot load it, or would load it otherwise than was asked.
    """
    switch_on()
    from unsloth import FastLanguageModel

    settings: dict[str, Any] = {}
    if section.fast_inference:
        settings = {"fast_inference": True, "max_lora_rank": lora.r if lora else 64}
    try:
        with quiet():
            model, _ = FastLanguageModel.from_pretrained(
                path,
                max_seq_length=_context(path, revision),
                dtype=dtype,
                load_in_4bit=section.load_in_4bit,
                revision=revision,
                use_gradient_checkpointing=False,  # `new` and `saved` say
                use_exact_model_name=True,  # else it takes another repository, with weights that it quantized before
                **settings,
            )
    except (OSError, ValueError, RuntimeError, NotImplementedError) as error:
        raise RequestError(f"model {path}: unsloth cannot load it: {str(error).strip().splitlines()[0]}") from error
    if bool(getattr(model, "is_loaded_in_4bit", False)) != section.load_in_4bit:
        raise RequestError(
            f"model.load_in_4bit: unsloth cannot hold {path} in 4 bits here (layers narrower than 64?), and loaded it "
            "in 16; set load_in_4bit=false or backend=peft"
        )
    got = model.get_input_embeddings().weight.dtype
    if got != dtype:
        raise RequestError(f"model.dtype: unsloth loads {path} as {got} where {dtype} is asked for; set model.dtype")
    return model


def saved(model: Any, path: str, train: bool, checkpointing: bool) -> Any:
    """Put the adapter in the folder `path` on its base."""
    import peft
    from unsloth import FastLanguageModel

    adapted = peft.PeftModel.from_pretrained(model, path, is_trainable=train)
    with quiet():
        if hasattr(FastLanguageModel, "patch_peft_model"):
            return FastLanguageModel.patch_peft_model(adapted, _checkpoints(checkpointing))
        if checkpointing:
            adapted.enable_input_require_grads()
        return FastLanguageModel.for_training(adapted, _checkpoints(checkpointing))


def new(model: Any, lora: LoraSection, checkpointing: bool) -> Any:
    """Freeze the model and put a new adapter on it.

    Args:
        model: From `base`.
        lora: The adapter.
        checkpointing: Whether activations are made anew in the backward pass, by Unsloth's own way, which on a GPU
            keeps those at the layers' borders in main memory.

    Raises:
        RequestError: It fits no layer, or Unsloth does not take it.
    """
    import torch
    from unsloth import FastLanguageModel

    from rlkit.recipe.unsloth import LORA

    fields = {key: value for key, value in lora.arguments().items() if key in LORA}
    try:
        with quiet():
            return FastLanguageModel.get_peft_model(
                model,
                **fields,
                use_gradient_checkpointing=_checkpoints(checkpointing),
                random_state=torch.initial_seed() % 2**32,  # it would seed torch with a number of its own
            )
    except (ValueError, TypeError, RuntimeError, NotImplementedError) as error:
        raise RequestError(f"lora: unsloth does not take it: {str(error).strip().splitlines()[0]}") from error


def changed(asked: dict[str, Any], config: Any) -> dict[str, tuple[Any, Any]]:
    """What Unsloth made of a configuration: name -> the value that it was made with, and the one that it has."""
    if "unsloth" not in sys.modules:
        return {}
    found = {}
    for name, value in asked.items():
        got = getattr(config, name, value)
        got = getattr(got, "value", got)  # transformers makes enumerations of some strings
        if isinstance(value, int | float | str) and name not in TRANSLATED and got != value:
            found[name] = (value, got)
    return found


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Unsloth greets on stdout, where data goes: to stderr with it."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _put_back() -> None:
    """Give TRL its own trainers again, from their source."""
    import trl
    import trl.trainer

    for module, name in OURS.items():
        sys.modules.pop(f"trl.trainer.{module}", None)
        own = importlib.import_module(f"trl.trainer.{module}")
        for room in (trl, trl.trainer):
            setattr(room, name, getattr(own, name))


def _context(path: str, revision: str | None) -> int | None:
    import transformers

    config = transformers.AutoConfig.from_pretrained(path, revision=revision)
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def _checkpoints(asked: bool) -> str | bool:
    return "unsloth" if asked else False
