"""A tokenizer from scratch."""

import json
from collections.abc import Iterable
from typing import Any

from rlkit.errors import RequestError
from rlkit.recipe.scratch import ADDITIONAL, TokenizerSection
from rlkit.scratch import forms, training
from rlkit.scratch.special import Special, chat_template
from rlkit.scratch.special import special as special_tokens

KEY = "model.from_scratch.tokenizer"
BYTES = 256


def make_tokenizer(section: TokenizerSection, texts: Iterable[str]) -> Any:
    """A tokenizer trained on texts; the same texts give the same tokenizer.

    byte-bpe: merges may cross spaces and newlines, so that a piece of layout that always recurs becomes one token.
    Every text can be encoded: the 256 bytes are in the vocabulary.

    Returns:
        A `PreTrainedTokenizerFast`, or with `from` one of the old tokenizer's class.

    Raises:
        RequestError: `vocab_size` cannot hold what must be in it, the old tokenizer does not load, or the special
            tokens do not fit the post-processor.
    """
    if section.from_:
        return _anew(section, texts)
    from transformers import PreTrainedTokenizerFast

    special = special_tokens(section)
    if section.algorithm == "byte-bpe":
        _has_room(section.vocab_size, BYTES + len(special.texts), f"bytes and {_called(special)}")
    tokenizer = _trained(section, forms.blank(section, special), texts, special.texts)
    around = forms.post_processor(special, tokenizer.get_vocab())
    if around is not None:
        tokenizer.post_processor = around
    options: dict[str, Any] = dict(special.named)
    if special.additional:
        options["extra_special_tokens"] = special.additional
    if special.chat_template:
        options["chat_template"] = special.chat_template
    if special.post_processor == "bert":
        options["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **options)


def _trained(
    section: TokenizerSection, tokenizer: Any, texts: Iterable[str], special: list[str], later: int = 0
) -> Any:
    """The tokenizer with its model trained, and room left for tokens that are added later."""
    size = section.vocab_size - later
    try:
        tokenizer = training.train(tokenizer, texts, special, size, section.min_frequency or 0)
    except Exception as error:
        if "vocabulary is not large enough" not in str(error):
            raise
        raise RequestError(
            f"{KEY}.vocab_size is {section.vocab_size}; the characters of the texts and "
            f"{len(special) + later} special tokens need more"
        ) from None
    pieces = set(tokenizer.get_vocab()) - set(special)
    least = len(pieces) + len(special) + later  # the alphabet comes in whole, whatever was asked for
    _has_room(section.vocab_size, least, "the texts' characters and special tokens")
    return tokenizer


def _called(special: Special) -> str:
    return "special tokens" if special.additional or len(special.roles) != 3 else "roles"


def _has_room(size: int, least: int, what: str) -> None:
    if size < least:
        raise RequestError(f"{KEY}.vocab_size is {size}; {what} need {least}")


def _anew(section: TokenizerSection, texts: Iterable[str]) -> Any:
    """An old tokenizer's algorithm, steps and special tokens, with a vocabulary from other texts."""
    from transformers import AutoTokenizer

    source = section.from_ or ""
    try:
        old = AutoTokenizer.from_pretrained(source)
        state = json.loads(old.backend_tokenizer.to_str())
    except Exception as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise RequestError(f"{KEY}.from {source}: it has no tokenizer that can be trained anew: {said}") from None
    added = [str(text) for text in section.special_tokens.get(ADDITIONAL, [])]
    unigram = state["model"]["type"] == "Unigram"
    kept = [token["content"] for token in state["added_tokens"] if token["special"] or unigram]
    special = list(dict.fromkeys([*kept, *added]))
    # transformers puts the ids of the special tokens, which come first, where the old ones were; what it trains
    # itself differs from run to run, and so it gets one letter to train on.
    added = [text for text in added if text not in kept]
    new = old.train_new_from_iterator(["a"], len(special) + BYTES + 64, new_special_tokens=added, show_progress=False)
    shell = new.backend_tokenizer
    later = len(set(new.get_added_vocab()) - set(special))  # the old one's ordinary words, which come after all others
    if "ByteLevel" in str(state["pre_tokenizer"]):
        _has_room(section.vocab_size, BYTES + len(special) + later, "bytes and special tokens")
    trained = _trained(section, _without_words(shell), texts, special, later)
    new._tokenizer = _with(shell, trained, special)
    if section.chat_template:
        new.chat_template = chat_template(section.chat_template)
    if new.pad_token is None:
        new.pad_token = new.eos_token
    return new


def _without_words(shell: Any) -> Any:
    """The steps of a tokenizer, with none of its added tokens."""
    from tokenizers import Tokenizer

    data = json.loads(shell.to_str())
    data |= {"added_tokens": [], "post_processor": None}
    if data["model"]["type"] != "Unigram":
        data["model"]["vocab"] = {}
    if "merges" in data["model"]:
        data["model"]["merges"] = []
    return Tokenizer.from_str(json.dumps(data))


def _with(shell: Any, trained: Any, special: list[str]) -> Any:
    """The shell with the trained model; the special tokens have the same ids in both."""
    from tokenizers import Tokenizer

    data = json.loads(shell.to_str())
    data["model"] = json.loads(trained.to_str())["model"]
    whole = Tokenizer.from_str(json.dumps(data))
    assert [whole.token_to_id(text) for text in special] == list(range(len(special)))
    return whole
