"""The policy: a model with its tokenizer."""

from dataclasses import dataclass, field
from typing import Any

from rlkit.errors import RequestError
from rlkit.policy import location
from rlkit.policy.dtype import choose_dtype
from rlkit.policy.tokenizer import fit, load_tokenizer
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import ModelSection


@dataclass
class Policy:
    """A model with its tokenizer, and what a user should know about how it was loaded."""

    model: Any
    tokenizer: Any
    notes: list[str] = field(default_factory=list)
    base: str | None = None
    """Folder or hub id that holds these weights (under an adapter: the base's); None where none does."""
    revision: str | None = None
    checkpoints: bool = False
    """Whether the model checkpoints its activations by itself, so that no trainer has to."""

    @property
    def context(self) -> int | None:
        """Tokens that the model sees, prompt and completion together; None where its configuration gives no bound."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    @property
    def in_4bit(self) -> bool:
        """Whether the model (an adapter's base) was loaded in 4 bits."""
        return bool(getattr(self.model, "is_loaded_in_4bit", False))

    @property
    def vllm(self) -> Any:
        """The vLLM that shares the base's weights (`model.fast_inference`); None where there is none."""
        return getattr(self.model, "vllm_engine", None)

    @property
    def end_ids(self) -> list[int]:
        """Every token that ends a completion: the tokenizer's, and those of the model's generation config."""
        ends = self.model.generation_config.eos_token_id
        listed = [ends] if isinstance(ends, int) else list(ends or [])
        return list(dict.fromkeys([self.tokenizer.eos_token_id, *listed]))


def load(
    section: ModelSection, lora: LoraSection | None = None, train: bool = True, checkpointing: bool = False
) -> Policy:
    """Load a model for training or evaluation.

    Args:
        section: `model:` with a path; the folder of an adapter is loaded on its base. Its backend counts where an
            adapter is trained.
        lora: Train an adapter. Where the path is an adapter already, that one is trained on.
        train: False loads for evaluation.
        checkpointing: Training will make activations anew in the backward pass instead of keeping them.

    Raises:
        RequestError: The model does not exist or cannot be loaded so.
    """
    from rlkit.policy import peft, unsloth

    path = section.path or ""
    location.exists(path, section.revision)
    under, revision = location.base(path)
    adapted = location.is_adapter(path)
    tokenizer = load_tokenizer(section)
    dtype, note = choose_dtype(section.dtype, frozen=lora is not None or adapted or not train)
    fast = section.backend == "unsloth" and train and (adapted or lora is not None)
    backend: Any = unsloth if fast else peft
    revision = revision if adapted else section.revision
    model = backend.base(section, under, revision, dtype, lora)
    policy = Policy(model, tokenizer, [note], checkpoints=fast and checkpointing)
    if fast:
        policy.notes += unsloth.notes()
    added = fit(model, tokenizer, section)
    if added:
        policy.notes.append(f"chat template: {added} tokens added, their embeddings are new")
    else:
        policy.base, policy.revision = under, revision
    if adapted:
        policy.model = backend.saved(model, path, train, checkpointing)
    elif lora is not None:
        if added and not lora.modules_to_save:
            policy.notes.append(
                "under lora they stay as they are: lora.modules_to_save=[embed_tokens,lm_head] trains them"
            )
        policy.model = backend.new(model, lora, checkpointing)
    if train:
        policy.notes.append(share(policy.model))
    return policy


def rehearse(section: ModelSection, lora: LoraSection | None) -> None:
    """Build the model without weights, and the adapter on it, to see that the settings go together.

    Raises:
        RequestError: The shape, the attention kernel or the adapter's layers do not exist.
    """
    import torch
    import transformers

    path = section.path or ""
    under, revision = location.base(path)
    adapted = location.is_adapter(path)
    settings = {"attn_implementation": section.attn_implementation} if section.attn_implementation else {}
    try:
        config = transformers.AutoConfig.from_pretrained(under, revision=revision if adapted else section.revision)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(config, **settings)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise RequestError(f"model {path}: {str(error).splitlines()[0]}") from error
    if lora is not None and not adapted:
        with torch.device("meta"):
            add_adapter(Policy(model, None), lora)


def add_adapter(policy: Policy, lora: LoraSection) -> Policy:
    """Freeze the model and put a new LoRA adapter of PEFT on it.

    Raises:
        RequestError: `target_modules` fits no layer.
    """
    from rlkit.policy import peft

    policy.model = peft.new(policy.model, lora, checkpointing=False)
    share(policy.model)
    return policy


def share(model: Any) -> str:
    """How many of the parameters are trained, in words.

    Raises:
        RequestError: None is.
    """
    if hasattr(model, "get_nb_trainable_parameters"):
        trained, total = model.get_nb_trainable_parameters()  # PEFT knows how many weights a byte of 4-bit ones holds
    else:
        total = sum(p.numel() for p in model.parameters())
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if trained == 0:
        raise RequestError("lora: no parameter is trained; see target_modules, layers_to_transform, exclude_modules")
    return f"{trained:,} of {total:,} parameters are trained ({trained / total:.2%})"
