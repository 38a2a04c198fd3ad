"""A tokenizer and a model from scratch."""

from rlkit.scratch.model import make_model
from rlkit.scratch.special import END, PAD
from rlkit.scratch.tokenizer import make_tokenizer
from rlkit.templates import ROLES

__all__ = ["END", "PAD", "ROLES", "make_model", "make_tokenizer"]
