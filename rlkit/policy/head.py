"""Models with the head of a task's classic pipeline."""

from typing import Any

from rlkit.errors import RequestError
from rlkit.heads import HEADS
from rlkit.policy import location
from rlkit.recipe.model import ModelSection


def load(section: ModelSection, kind: str, config: dict[str, Any]) -> Any:
    """Load a model with a head; a new one where the weights have none of this kind.

    Args:
        section: `model:` with a path.
        kind: One of `rlkit.heads`.
        config: Fields of its configuration, such as the labels.

    Raises:
        RequestError: It does not exist, or there is no such head for it.
    """
    import torch
    import transformers

    path = section.path or ""
    location.exists(path, section.revision)
    if location.is_adapter(path):
        raise RequestError(f"model {path} is an adapter: merge it (rlkit export --to merged) to put a head on it")
    settings: dict[str, Any] = {"revision": section.revision, "dtype": _dtype(section)}
    if section.attn_implementation:
        settings["attn_implementation"] = section.attn_implementation
    try:
        model = getattr(transformers, HEADS[kind].auto).from_pretrained(
            path, **settings, **config, **({"ignore_mismatched_sizes": True} if "num_labels" in config else {})
        )
    except (OSError, ValueError) as error:
        raise RequestError(f"model {path}: it makes no {HEADS[kind].called}: {str(error).splitlines()[0]}") from error
    if model.config.pad_token_id is None:  # decoders find the last token by it
        model.config.pad_token_id = model.config.eos_token_id
    return model.to("cuda") if torch.cuda.is_available() else model


def holds(path: str, kind: str, revision: str | None = None) -> bool:
    """Whether a path holds a model with such a head; asks its configuration alone."""
    classes = (location.described(path, "config.json", revision) or {}).get("architectures") or []
    return any(each.endswith(HEADS[kind].endings) for each in classes)


def _dtype(section: ModelSection) -> Any:
    import torch

    return torch.float32 if section.dtype == "auto" else getattr(torch, section.dtype)
