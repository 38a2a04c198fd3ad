"""Loads what is trained: all weights, or a LoRA adapter on a frozen base, in 4 bits where asked for."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlkit import hub
from rlkit.errors import RequestError
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import ModelSection

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass
class Policy:
    """A model with its tokenizer, and what a user should know about how it was loaded."""

    model: Any
    tokenizer: Any
    notes: list[str] = field(default_factory=list)
    base: str | None = None
    """Folder or hub id that holds these weights (under an adapter: the base's); None where none does."""
    revision: str | None = None

    @property
    def context(self) -> int | None:
        """Tokens that the model sees, prompt and completion together; None where its configuration gives no bound."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    @property
    def in_4bit(self) -> bool:
        """Whether the model (an adapter's base) was loaded in 4 bits."""
        return bool(getattr(self.model, "is_loaded_in_4bit", False))

    @property
    def end_ids(self) -> list[int]:
        """Every token that ends a completion: the tokenizer's, and those of the model's generation config."""
        ends = self.model.generation_config.eos_token_id
        listed = [ends] if isinstance(ends, int) else list(ends or [])
        return list(dict.fromkeys([self.tokenizer.eos_token_id, *listed]))


def exists(path: str, revision: str | None = None) -> None:
    """Make sure, before anything is loaded, that a path holds a model.

    Raises:
        RequestError: It is neither a folder with a model nor a model on the hub.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        if not any((folder / name).exists() for name in ("config.json", "adapter_config.json")):
            raise RequestError(f"model {path}: the folder has no config.json and no adapter_config.json")
        return
    if not hub.is_hub_id(path):
        raise RequestError(f"model {path}: there is no such folder (from {Path.cwd()})")
    hub.reachable()
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    for name in ("config.json", "adapter_config.json"):
        try:
            hf_hub_download(path, name, revision=revision)
            return
        except GatedRepoError:
            raise RequestError(
                f"model {path}: the hub grants access on request: ask on its page, then `hf auth login`"
            ) from None
        except LocalEntryNotFoundError:
            raise RequestError(
                f"model {path}: there is no such folder, the hub cannot be reached, and the cache has no such model"
            ) from None
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, ValueError) as error:
            said = str(error).split("\n")[0]
            raise RequestError(f"model {path}: no such folder, and on the hub: {said}") from None
    raise RequestError(f"model {path}: the repository has no config.json and no adapter_config.json")


def load(section: ModelSection, lora: LoraSection | None = None, train: bool = True) -> Policy:
    """Load a model for training or evaluation.

    Args:
        section: `model:` with a path; the folder of an adapter is loaded on its base.
        lora: Train an adapter. Where the path is an adapter already, that one is trained on.
        train: False loads for evaluation.

    Raises:
        RequestError: The model does not exist or cannot be loaded so.
    """
    path = section.path or ""
    exists(path, section.revision)
    adapter = _adapter_config(path)
    base = _base(path, adapter)
    tokenizer = load_tokenizer(section)
    frozen = lora is not None or adapter is not None or not train
    dtype, note = choose_dtype(section.dtype, frozen)
    import torch
    import transformers

    settings: dict[str, Any] = {"dtype": dtype}
    if section.attn_implementation:
        settings["attn_implementation"] = section.attn_implementation
    settings["revision"] = adapter.get("revision") if adapter else section.revision
    if section.load_in_4bit:
        asked = section.bnb_4bit_compute_dtype
        settings["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=section.bnb_4bit_quant_type,
            bnb_4bit_use_double_quant=section.bnb_4bit_use_double_quant,
            bnb_4bit_compute_dtype=dtype if asked == "auto" else getattr(torch, asked),
        )
    device = _device()
    if device != "cpu":
        settings["device_map"] = {"": device}
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(base, **settings)
    except (OSError, ValueError) as error:
        said = str(error).split("\n")[0]
        raise RequestError(f"model {base}: it cannot be loaded: {said}") from error
    policy = Policy(model, tokenizer, [note])
    added = _fit(policy, section)
    if not added:
        policy.base, policy.revision = base, settings["revision"]
    if adapter:
        import peft

        policy.model = peft.PeftModel.from_pretrained(model, path, is_trainable=train)
    elif lora is not None:
        if added and not lora.modules_to_save:
            policy.notes.append(
                "under lora they stay as they are: lora.modules_to_save=[embed_tokens,lm_head] trains them"
            )
        policy = add_adapter(policy, lora)
    if train:
        policy.notes.append(_share(policy.model))
    return policy


def rehearse(section: ModelSection, lora: LoraSection | None) -> None:
    """Build the model without weights, and the adapter on it, to see that the settings go together.

    Raises:
        RequestError: The shape, the attention kernel or the adapter's layers do not exist.
    """
    import torch
    import transformers

    path = section.path or ""
    adapter = _adapter_config(path)
    base, revision = _base(path, adapter), adapter.get("revision") if adapter else section.revision
    settings = {"attn_implementation": section.attn_implementation} if section.attn_implementation else {}
    try:
        config = transformers.AutoConfig.from_pretrained(base, revision=revision)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(config, **settings)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise RequestError(f"model {path}: {str(error).splitlines()[0]}") from error
    if lora is not None and not adapter:
        with torch.device("meta"):
            add_adapter(Policy(model, None), lora)


def load_tokenizer(section: ModelSection) -> Any:
    """The tokenizer of a model, set to pad on the left, as generation needs, with the chat template that it is given.

    ChatML's two tokens are added where the vocabulary lacks them, and the end of a turn ends a completion.

    Raises:
        RequestError: There is none, or no such template.
    """
    import transformers

    path = section.path or ""
    adapter = _adapter_config(path)
    source = _base(path, adapter) if adapter and not _has_tokenizer(path) else path
    revision = section.revision if source == path else None
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, revision=revision, padding_side="left")
    except Exception as error:
        raise RequestError(f"model {path}: it has no tokenizer that loads: {str(error).splitlines()[0]}") from error
    if section.chat_template == "chatml":
        tokenizer.chat_template = CHATML
        tokenizer.add_special_tokens({"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]})
    elif section.chat_template:
        if not Path(section.chat_template).is_file():
            raise RequestError(f"model.chat_template {section.chat_template!r}: neither chatml nor a file")
        tokenizer.chat_template = Path(section.chat_template).read_text()
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _fit(policy: Policy, section: ModelSection) -> int:
    """Make room for tokens that a chat template added, and end completions with its end token; returns how many."""
    model, tokenizer = policy.model, policy.tokenizer
    more = max(0, len(tokenizer) - model.get_input_embeddings().num_embeddings)
    if more:
        model.resize_token_embeddings(len(tokenizer))
        policy.notes.append(f"chat template: {more} tokens added, their embeddings are new")
    if section.chat_template:
        model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    return more


def add_adapter(policy: Policy, lora: LoraSection) -> Policy:
    """Freeze the model and put a new LoRA adapter on it.

    Raises:
        RequestError: `target_modules` fits no layer.
    """
    import peft

    try:
        config = peft.LoraConfig(task_type="CAUSAL_LM", **lora.arguments())
    except (ValueError, TypeError) as error:
        raise RequestError(f"lora: {str(error).splitlines()[0]}") from error
    if policy.in_4bit:
        policy.model = peft.prepare_model_for_kbit_training(policy.model, use_gradient_checkpointing=False)
    try:
        policy.model = peft.get_peft_model(policy.model, config)
    except (ValueError, TypeError, RuntimeError) as error:
        raise RequestError(f"lora.target_modules {lora.target_modules!r}: {str(error).splitlines()[0]}") from error
    if not any(parameter.requires_grad for parameter in policy.model.parameters()):
        raise RequestError("lora: no parameter is trained; see target_modules, layers_to_transform, exclude_modules")
    return policy


def choose_dtype(asked: str, frozen: bool) -> tuple[Any, str]:
    """The dtype of the weights for this hardware, and why.

    Args:
        asked: auto, or a dtype by name.
        frozen: The weights are not trained (an adapter is, or nothing is).
    """
    import torch

    cuda = torch.cuda.is_available()
    fast_bf16 = torch.cuda.is_bf16_supported() if cuda else cpu_has_bf16()
    if asked != "auto":
        dtype = getattr(torch, asked)
        if asked == "bfloat16" and not fast_bf16:
            return dtype, "dtype bfloat16, as asked; this hardware computes it slowly (float32 is faster here)"
        if asked == "float16" and not cuda:
            return dtype, "dtype float16, as asked; on a CPU it is slow and overflows easily (float32 is safer)"
        return dtype, f"dtype {asked}, as asked"
    if not frozen:
        return torch.float32, "dtype float32: all weights are trained, and small updates are lost in 16 bits"
    if cuda:
        name = "bfloat16" if fast_bf16 else "float16"
        return getattr(torch, name), f"dtype {name}: frozen weights, and the GPU computes it fast"
    return torch.float32, "dtype float32: on a CPU"


def cpu_has_bf16() -> bool:
    """Whether the CPU has instructions for bfloat16."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _device() -> str:
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


def _share(model: Any) -> str:
    parameters = list(model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    if trained == 0:
        raise RequestError("no parameter is trained: check lora.target_modules")
    total = sum(p.numel() for p in parameters)
    return f"{trained:,} of {total:,} parameters are trained ({trained / total:.2%})"


def _adapter_config(path: str) -> dict[str, Any] | None:
    import json

    file = Path(path).expanduser() / "adapter_config.json"
    if not Path(path).expanduser().is_dir():
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(path, "adapter_config.json")
        if not isinstance(cached, str):
            return None
        file = Path(cached)
    return json.loads(file.read_text()) if file.exists() else None


def is_adapter(path: str) -> bool:
    """Whether a path (a folder, or a hub id that `exists` has looked at) holds an adapter."""
    return _adapter_config(path) is not None


def base(path: str) -> tuple[str, str | None]:
    """The model under an adapter (a model itself is its own), and the revision that the adapter was trained on."""
    adapter = _adapter_config(path)
    return _base(path, adapter), adapter.get("revision") if adapter else None


def _base(path: str, adapter: dict[str, Any] | None) -> str:
    """The model that an adapter was trained on (the model itself where it is none); local ones as absolute paths.

    Raises:
        RequestError: The adapter's base is neither where it was, nor beside the adapter, nor on the hub.
    """
    base = str(adapter["base_model_name_or_path"]) if adapter else path
    beside = Path(path).expanduser().resolve().parent / Path(base).name  # a run directory that was moved
    for folder in (Path(base).expanduser(), beside) if adapter else (Path(base).expanduser(),):
        if folder.is_dir():
            return str(folder.resolve())
    if adapter:
        try:
            exists(base)
        except RequestError as error:
            raise RequestError(f"model {path} is an adapter, and its base is not there: {error}") from None
    return base


def _has_tokenizer(path: str) -> bool:
    return (Path(path).expanduser() / "tokenizer_config.json").exists()
