"""A model from scratch."""

import inspect
from typing import Any

from rlkit.errors import RequestError
from rlkit.heads import HEADS
from rlkit.names import unknown
from rlkit.recipe.scratch import FromScratchSection
from rlkit.scratch.sizes import KEY, fields, sizes

STARTS_WITH_END = {
    "bart", "bigbird_pegasus", "fsmt", "led", "m2m_100", "mbart", "mvp", "nllb-moe", "plbart"
}  # fmt: skip
"""Encoder-decoders whose decoder starts from the end token; the others start from the padding, as T5 and Marian do."""


def make_model(section: FromScratchSection, tokenizer: Any, seed: int, kind: str = "causal-lm", **config: Any) -> Any:
    """A model of the given shape and head with random weights, in float32; the same seed gives the same weights.

    The ids of the special tokens are the tokenizer's. A tokenizer that tells two texts apart by token_type_ids stops
    doing so where the model takes none.

    Args:
        section: Shape and sizes.
        tokenizer: What the model will read.
        seed: Of the weights.
        kind: The head, one of `rlkit.heads`.
        **config: Fields of the configuration that the data decide, such as num_labels, id2label and problem_type.

    Raises:
        RequestError: transformers knows no such shape, it has no such head, a size or field is not the shape's, or
            the tokenizer lacks a token that the head needs.
    """
    import transformers

    if kind not in HEADS:
        raise RequestError(unknown("kind of model", kind, HEADS))
    auto, called, _ = HEADS[kind]
    refused = f"{KEY}.shape {section.shape!r} makes no {called}"
    if section.shape not in transformers.CONFIG_MAPPING:
        raise RequestError(f"{refused}: {unknown('shape', section.shape, transformers.CONFIG_MAPPING.keys())}")
    configuration, make = transformers.CONFIG_MAPPING[section.shape], getattr(transformers, auto)
    if configuration not in make._model_mapping:
        raise RequestError(f"{refused}: transformers has none of this shape")
    _tokens_suffice(section, configuration, tokenizer, kind)
    special = _special(configuration, tokenizer)
    arguments = sizes(section, configuration, tokenizer.pad_token_id)
    own = fields(configuration)
    both_ways = configuration in transformers.AutoModelForMaskedLM._model_mapping
    if kind == "causal-lm" and both_ways and "is_decoder" in own:  # BERT and its kin see the whole text otherwise
        arguments["is_decoder"] = True
    transformers.set_seed(seed)
    try:
        built = configuration(**{"vocab_size": len(tokenizer)} | special | arguments | config)
        if built.is_encoder_decoder:
            for name, value in _of_decoder(section.shape, tokenizer).items():
                if name not in section.config and (name in own or name == "decoder_start_token_id"):
                    setattr(built, name, value)
        model = make.from_config(built)
    except Exception as error:  # each shape has its own ways to refuse sizes
        said = " ".join(str(error).split()) or type(error).__name__
        raise RequestError(f"{refused} of these sizes: {said[:200]}") from None
    _generates_so(model, built)
    _reads(model, tokenizer)
    return model


def _end(tokenizer: Any) -> int | None:
    return tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id


def _special(configuration: Any, tokenizer: Any) -> dict[str, Any]:
    """Ids of the tokenizer's special tokens; BERT's own [CLS] and [SEP] begin and end a text."""
    begin = tokenizer.cls_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    found = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": begin, "eos_token_id": _end(tokenizer)}
    more = {"unk_token_id": tokenizer.unk_token_id, "mask_token_id": tokenizer.mask_token_id}
    more |= {"cls_token_id": begin, "sep_token_id": _end(tokenizer)}
    own = fields(configuration)
    return found | {name: n for name, n in more.items() if name in own and n is not None}


def _of_decoder(shape: str, tokenizer: Any) -> dict[str, Any]:
    start = _end(tokenizer) if shape in STARTS_WITH_END else tokenizer.pad_token_id
    return {"decoder_start_token_id": start, "forced_eos_token_id": _end(tokenizer)}


def _tokens_suffice(section: FromScratchSection, configuration: Any, tokenizer: Any, kind: str) -> None:
    if kind == "masked-lm" and tokenizer.mask_token_id is None and not configuration.is_encoder_decoder:
        raise RequestError(
            f"{KEY}: a masked language model needs a mask token: set tokenizer.special_tokens.mask_token, "
            "or tokenizer.algorithm wordpiece, which has one"
        )
    if not configuration.is_encoder_decoder:
        return
    if tokenizer.pad_token_id is None or _end(tokenizer) is None:
        raise RequestError(f"{KEY}.shape {section.shape}: the tokenizer has no padding or no end token")
    if kind == "text-classification" and tokenizer("a")["input_ids"][-1] != _end(tokenizer):
        raise RequestError(
            f"{KEY}.shape {section.shape} classifies a text by its end token, which the tokenizer does not write: "
            "set tokenizer.post_processor to t5 or roberta"
        )


def _generates_so(model: Any, built: Any) -> None:
    """Give the generation config the ids that the configuration has."""
    if not model.can_generate():
        return
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "forced_eos_token_id"):
        if getattr(built, name, None) is not None:
            setattr(model.generation_config, name, getattr(built, name))


def _reads(model: Any, tokenizer: Any) -> None:
    """Have the tokenizer return what the model takes."""
    kept = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
    if (
        kept != list(tokenizer.model_input_names)
        and "token_type_ids" not in inspect.signature(model.forward).parameters
    ):
        tokenizer.model_input_names = tokenizer.init_kwargs["model_input_names"] = kept
