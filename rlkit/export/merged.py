"""Weights that need no adapter: merged into the base in 16 or 32 bits, with all that a model's folder holds."""

import json
import shutil
from pathlib import Path
from typing import Any

from rlkit import policy
from rlkit.errors import RequestError
from rlkit.policy import Policy
from rlkit.progress import Progress
from rlkit.recipe.model import ModelSection

CARRIED = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
"""Files of a tokenizer that transformers 5 does not write: without them, llama.cpp reads other tokens in silence."""
SHARD = "5GB"


def stored_dtype(model: str) -> str:
    """The dtype in which the weights under a model are kept: the base's for an adapter."""
    import torch
    import transformers

    base, revision = policy.base(model)
    config = transformers.AutoConfig.from_pretrained(base, revision=revision)
    dtype = getattr(config.get_text_config(), "dtype", None) or getattr(config, "dtype", None) or torch.float32
    return str(dtype).removeprefix("torch.")


def load(model: str, dtype: str) -> Policy:
    """The model as it was trained, its base in 16 or 32 bits whatever it was trained over; the adapter unmerged."""
    return policy.load(ModelSection.model_validate({"path": model, "dtype": dtype}), train=False)


def write(model: str, folder: Path, dtype: str, progress: Progress) -> Policy:
    """Merge and save; memory stays near one copy of the model in `dtype`. Returns what was saved.

    Args:
        model: Folder or hub id of an adapter or a whole model.
        folder: An empty folder.
        dtype: float32, bfloat16 or float16.
        progress: Hears where the base came from.

    Raises:
        RequestError: The model cannot be loaded, or its adapter cannot be merged.
    """
    loaded = load(model, dtype)
    if hasattr(loaded.model, "merge_and_unload"):
        progress.say(f"  the adapter is merged into {loaded.base or 'its base'} in {dtype}")
        try:
            loaded.model = loaded.model.merge_and_unload()  # layer by layer, in place
        except (ValueError, AttributeError) as error:
            raise RequestError(f"model {model}: its adapter cannot be merged: {error}") from error
    ends = loaded.end_ids  # an adapter's folder holds no generation config, and its tokenizer may end otherwise
    loaded.model.config.eos_token_id = loaded.tokenizer.eos_token_id
    loaded.model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    loaded.model.save_pretrained(folder, max_shard_size=SHARD)
    _write_tokenizer(model, loaded.tokenizer, folder)
    return loaded


def _write_tokenizer(model: str, tokenizer: Any, folder: Path) -> None:
    """The tokenizer with its chat template, and what transformers leaves out of it."""
    tokenizer.save_pretrained(folder)
    base, revision = policy.base(model)
    for source in dict.fromkeys((model, base)):
        for name in CARRIED:
            found = _file(source, name, revision)
            if found and not (folder / name).exists():
                shutil.copyfile(found, folder / name)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text())
    if "added_tokens_decoder" not in config:
        config["added_tokens_decoder"] = {
            str(index): {
                "content": token.content,
                "lstrip": token.lstrip,
                "normalized": token.normalized,
                "rstrip": token.rstrip,
                "single_word": token.single_word,
                "special": token.special,
            }
            for index, token in sorted(tokenizer.added_tokens_decoder.items())
        }
        file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def _file(model: str, name: str, revision: str | None) -> Path | None:
    """A file of a model: in its folder, or on the hub (in the cache, where the hub cannot be reached)."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(model, name, revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError):
        return None
