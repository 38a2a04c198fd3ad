"""The heads that a model can have: what transformers loads it with, and how one tells it from others."""

from typing import NamedTuple


class Head(NamedTuple):
    """One of the kinds of models that tasks train."""

    auto: str
    """transformers' class that loads and makes it."""
    called: str
    """What messages call such a model."""
    endings: tuple[str, ...]
    """How the names of the classes of such models end."""


HEADS = {
    "causal-lm": Head("AutoModelForCausalLM", "causal language model", ("ForCausalLM", "LMHeadModel")),
    "masked-lm": Head("AutoModelForMaskedLM", "masked language model", ("ForMaskedLM",)),
    "text-classification": Head(
        "AutoModelForSequenceClassification", "text classifier", ("ForSequenceClassification",)
    ),
    "token-classification": Head("AutoModelForTokenClassification", "token classifier", ("ForTokenClassification",)),
    "question-answering": Head(
        "AutoModelForQuestionAnswering", "extractive question answerer", ("ForQuestionAnswering",)
    ),
    "seq2seq": Head("AutoModelForSeq2SeqLM", "sequence-to-sequence model", ("ForConditionalGeneration", "MTModel")),
}
"""By the names that tasks give them."""
