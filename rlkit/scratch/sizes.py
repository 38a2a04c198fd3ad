"""The sizes of a section in the words of each shape's configuration."""

import dataclasses
import inspect
from typing import Any

from rlkit.errors import RequestError
from rlkit.names import unknown
from rlkit.recipe.scratch import FromScratchSection

KEY = "model.from_scratch"
SPELLINGS = {
    "intermediate_size": (
        "n_inner", "d_ff", "ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim", "ffn_hidden_size", "d_inner", "dff"
    ),
    "num_hidden_layers": (
        "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers", "num_encoder_layers",
        "num_decoder_layers",
    ),
    "num_attention_heads": (
        "n_head", "n_heads", "num_heads", "encoder_attention_heads", "decoder_attention_heads",
        "num_encoder_attention_heads", "num_decoder_attention_heads",
    ),
    "hidden_size": ("n_embd", "d_model", "dim"),
    "max_position_embeddings": (
        "n_positions", "max_seq_len", "max_encoder_position_embeddings", "max_decoder_position_embeddings"
    ),
}  # fmt: skip
"""What configurations call a size, beside their own `attribute_map`; every one that a shape has is set."""
OWN_SPELLINGS = {"distilbert": {"intermediate_size": "hidden_dim"}}
"""Spellings that mean something else in other shapes."""
DERIVED_HEAD = {"d_kv"}
"""Widths of a head, which follow from the others."""
OFFSET = {
    "camembert", "data2vec-text", "esm", "ibert", "layoutlmv3", "lilt", "longformer", "luke", "markuplm", "mpnet",
    "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip
"""Shapes that count positions from the padding token's id plus one."""


def fields(kind: Any) -> set[str]:
    """Names of what a configuration class can be given, in its own spelling."""
    own = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    return own | {name for name in inspect.signature(kind.__init__).parameters if name not in ("self", "kwargs")}


def sizes(section: FromScratchSection, kind: Any, pad: int | None) -> dict[str, Any]:
    """The section's sizes, and its `config`, as arguments of a configuration class.

    Args:
        section: What is asked for.
        kind: The configuration class of the section's shape.
        pad: Id of the padding token.

    Raises:
        RequestError: The shape has no such size, or no such field.
    """
    own, renamed = fields(kind), kind.attribute_map
    asked = section.model_dump(exclude={"shape", "tokenizer", "config"}, exclude_none=True)
    asked.setdefault("intermediate_size", 4 * section.hidden_size)
    asked.setdefault("num_key_value_heads", section.num_attention_heads)
    if section.shape in OFFSET:
        asked["max_position_embeddings"] += (pad or 0) + 1
    found: dict[str, Any] = {}
    for name, value in asked.items():
        here = {renamed.get(name, name), *SPELLINGS.get(name, ())} & own
        here |= {spelling} if (spelling := OWN_SPELLINGS.get(section.shape, {}).get(name)) else set()
        if not here:
            _may_lack(section, kind, name)
        found |= dict.fromkeys(sorted(here), value)
    found |= dict.fromkeys(DERIVED_HEAD & own, section.hidden_size // section.num_attention_heads)
    if "attention_types" in own:  # GPT-Neo names each layer's, two by two
        found["attention_types"] = [[(["global", "local"] * section.num_hidden_layers)[: section.num_hidden_layers], 1]]
    for name, value in section.config.items():
        if renamed.get(name, name) not in own:
            hint = f"the fields are those of transformers.{kind.__name__}"
            said = unknown(f"field of {section.shape}", name, own | set(renamed), hint)
            raise RequestError(f"{KEY}.config: {said}")
        found[renamed.get(name, name)] = value
    return found


def _may_lack(section: FromScratchSection, kind: Any, name: str) -> None:
    """Refuse a size that the shape has no field for, where nothing else stands for it."""
    if name == "hidden_size":
        parts = ", ".join(sorted(part.model_type for part in kind.sub_configs.values() if hasattr(part, "model_type")))
        raise RequestError(
            f"{KEY}.shape {section.shape!r} has no {name} of its own" + (f"; it is made of {parts}" if parts else "")
        )
    wanted = name == "intermediate_size" and section.intermediate_size not in (None, 4 * section.hidden_size)
    if wanted or (name == "num_hidden_layers" and name in section.model_fields_set):
        raise RequestError(f"{KEY}.{name}: {section.shape} has no field for it; see the shape's fields for `config`")
