"""`model.from_scratch:` a new tokenizer and a new model."""

from typing import Any, Literal

from pydantic import ConfigDict, Field, model_serializer, model_validator

from rlkit.names import unknown
from rlkit.recipe.section import Section

Algorithm = Literal["byte-bpe", "bpe", "wordpiece", "unigram"]
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
ADDITIONAL = "additional_special_tokens"


class TokenizerSection(Section):
    """A tokenizer, trained on the data of the stage that makes the model."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    algorithm: Algorithm = "byte-bpe"
    """byte-bpe: over bytes, so that every text can be written; bpe: over characters (arXiv 1508.07909);
    wordpiece: BERT's; unigram: SentencePiece's (arXiv 1804.10959)."""
    from_: str | None = Field(default=None, alias="from")
    """Instead of an algorithm: a tokenizer (hub id or folder) whose algorithm is trained anew on the data."""
    vocab_size: int = Field(default=1024, ge=64)
    """Tokens at the most, the special ones included."""
    min_frequency: int | None = Field(default=None, ge=0)
    """How often a pair must occur to be merged; unigram has no such number. 0 where it is not given."""
    split_digits: bool | None = None
    """Keep each digit a token of its own, so that arithmetic can be learned by place. byte-bpe does so unless told
    otherwise. Wordpiece then decodes a number with spaces in it."""
    lowercase: bool = False
    """Write every text in small letters; wordpiece also takes the accents off, as uncased BERT does."""
    normalization: Literal["none", "nfc", "nfd", "nfkc", "nfkd", "nmt_nfkc"] | None = None
    """What is done to a text first: a Unicode form, or SentencePiece's nmt_nfkc, for which runs of whitespace are one
    space. unigram: nmt_nfkc unless told otherwise, the others none."""
    special_tokens: dict[str, str | list[str]] = Field(default={})
    """Texts of special tokens (mask_token, pad_token and so on), and a list of additional_special_tokens."""
    post_processor: Literal["none", "bert", "t5", "roberta"] | None = None
    """What stands around texts. bert: [CLS] A [SEP] B [SEP]; t5: A </s> B </s>; roberta: <s> A </s></s> B </s>.
    wordpiece: bert unless told otherwise, unigram: t5, the others none."""
    chat_template: str | None = None
    """chatml, a Jinja file, or Jinja text. byte-bpe has one token a role unless told otherwise, the others none."""

    @model_serializer(mode="wrap")
    def _by_its_key(self, write: Any) -> dict[str, Any]:
        """`from` is no name in Python, and a recipe that is written must read as it was."""
        return {"from" if key == "from_" else key: value for key, value in write(self).items()}

    @model_validator(mode="after")
    def _fits_together(self) -> "TokenizerSection":
        chosen = {
            "algorithm", "split_digits", "lowercase", "normalization", "post_processor"
        } & self.model_fields_set  # fmt: skip
        if self.from_ and chosen:
            raise ValueError(f"{', '.join(sorted(chosen))}: of a new tokenizer; from keeps those of {self.from_}")
        if self.min_frequency and self.algorithm == "unigram":
            raise ValueError("min_frequency: unigram prunes by likelihood and counts no merges; leave it out")
        for name, text in self.special_tokens.items():
            if name not in (*NAMED, ADDITIONAL):
                raise ValueError(f"special_tokens: {unknown('special token', name, [*NAMED, ADDITIONAL])}")
            if isinstance(text, list) != (name == ADDITIONAL):
                right = "a list of texts" if name == ADDITIONAL else "one text"
                raise ValueError(f"special_tokens.{name} is {text!r}; it must be {right}")
            if not text or (isinstance(text, list) and "" in text):
                raise ValueError(f"special_tokens.{name}: a token cannot be empty")
        if self.from_ and set(self.special_tokens) - {ADDITIONAL}:
            raise ValueError(f"special_tokens: from keeps those of {self.from_}; only {ADDITIONAL} may be added")
        return self


class FromScratchSection(Section):
    """A new model with random weights; the sizes have the names of transformers' configurations."""

    shape: str = "llama"
    """Architecture: a `model_type` of transformers that has the head that is trained."""
    hidden_size: int = Field(default=128, ge=1)
    """Width."""
    intermediate_size: int | None = Field(default=None, ge=1)
    """Width of the feed-forward layers; 4 times `hidden_size` where it is not given."""
    num_hidden_layers: int = Field(default=2, ge=1)
    """Layers; of an encoder-decoder, on either side."""
    num_attention_heads: int = Field(default=4, ge=1)
    """Attention heads; must divide `hidden_size`."""
    num_key_value_heads: int | None = Field(default=None, ge=1)
    """Key-value heads, where the shape has them; as many as attention heads where it is not given."""
    max_position_embeddings: int = Field(default=512, ge=8)
    """Longest sequence, in tokens, where the shape has a longest one."""
    tie_word_embeddings: bool = True
    """One matrix for input and output embeddings."""
    config: dict[str, Any] = Field(default={})
    """Further fields of the shape's configuration, such as {dropout: 0.0}."""
    tokenizer: TokenizerSection = TokenizerSection()
    """The tokenizer to train."""

    @model_validator(mode="after")
    def _heads_divide(self) -> "FromScratchSection":
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        if self.num_key_value_heads and self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of num_key_value_heads "
                f"{self.num_key_value_heads}"
            )
        return self
