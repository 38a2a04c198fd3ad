"""A tokenizer and a model from scratch."""

from collections.abc import Iterable
from typing import Any

from rlkit.errors import RequestError
from rlkit.recipe.model import FromScratchSection, TokenizerSection

ROLES = ("system", "user", "assistant")
PAD, END = "<|pad|>", "<|end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def make_tokenizer(section: TokenizerSection, texts: Iterable[str]) -> Any:
    """A byte-level BPE tokenizer with a chat template, trained on texts.

    Merges may cross spaces and newlines, so that a piece of layout that always recurs becomes one token.
    Every text can be encoded: the 256 bytes are in the vocabulary.

    Returns:
        A `PreTrainedTokenizerFast`.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = [PAD, END, *(f"<|{role}|>" for role in ROLES)]
    least = 256 + len(special)
    if section.vocab_size < least:
        raise RequestError(
            f"model.from_scratch.tokenizer.vocab_size is {section.vocab_size}; bytes and roles need {least}"
        )
    tokenizer = Tokenizer(models.BPE())
    digits = [pre_tokenizers.Split(Regex(r"\d"), "isolated")] if section.split_digits else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*digits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=section.vocab_size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def make_model(section: FromScratchSection, tokenizer: Any, seed: int) -> Any:
    """A causal language model of the given shape with random weights, in float32.

    Raises:
        RequestError: transformers knows no such shape.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, set_seed

    sizes = section.model_dump(exclude={"shape", "tokenizer"}, exclude_none=True)
    sizes.setdefault("intermediate_size", 4 * section.hidden_size)
    sizes.setdefault("num_key_value_heads", section.num_attention_heads)
    special = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    set_seed(seed)
    try:
        config = AutoConfig.for_model(section.shape, vocab_size=len(tokenizer), **sizes, **special)
        return AutoModelForCausalLM.from_config(config)
    except (KeyError, ValueError) as error:
        said = str(error).split("\n")[0][:200]
        raise RequestError(
            f"model.from_scratch.shape {section.shape!r} makes no causal language model: {said}"
        ) from None
