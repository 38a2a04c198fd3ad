"""`generation:` how groups of completions are made."""

from typing import Literal

from pydantic import Field

from rlkit.recipe.section import Section


class GenerationSection(Section):
    """Sampling, in the words of GRPOConfig."""

    engine: Literal["auto", "transformers"] = "auto"
    """What generates. auto: transformers."""
    num_generations: int = Field(default=8, ge=2, le=65536)
    """Completions of a prompt: the group that advantages are relative to."""
    max_completion_length: int = Field(default=256, ge=1)
    """Tokens of a completion at the most."""
    temperature: float = Field(default=1.0, gt=0.0)
    """Sampling temperature; at 0 all completions of a group would be the same."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Nucleus sampling."""
    top_k: int = Field(default=0, ge=0)
    """Sample from the k likeliest tokens; 0 for all."""
    min_p: float | None = Field(default=None, ge=0.0, le=1.0)
    """Leave out tokens less likely than so much of the likeliest."""
    repetition_penalty: float = Field(default=1.0, gt=0.0)
    """Above 1, tokens that stand already become less likely."""
