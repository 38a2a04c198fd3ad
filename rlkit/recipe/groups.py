"""`groups:` which groups of completions a step trains on, and how they go through the policy."""

from pydantic import Field

from rlkit.recipe.section import Section


class CurriculumSection(Section):
    """Leave out prompts that teach nothing now, and come back to them."""

    skip_after: int = Field(default=2, ge=1)
    """Groups without variance in a row after which a prompt is left out."""
    return_after: int = Field(default=50, ge=1)
    """Steps after which it is tried again."""


class GroupsSection(Section):
    """What GRPO does with its groups; the defaults change nothing but the time that a step takes."""

    leave_out_flat: bool = True
    """Leave completions without advantage out of forward and backward, where that is exact (training.beta is 0)."""
    shared_prefix: bool = True
    """Send a prompt through the policy once for all of its completions, where that saves a tenth or more."""
    tokens_per_microbatch: int | None = Field(default=None, ge=1)
    """Go through a batch in pieces of at most so many tokens; bounds the memory whatever the completions' lengths."""
    extra_prompts: int = Field(default=0, ge=0)
    """Dynamic sampling (DAPO): up to so many more prompts a step, whose groups replace those without variance."""
    curriculum: CurriculumSection | None = None
    """Leave out prompts that are always right or always wrong for a while: {skip_after: 2, return_after: 50}."""
    overlap: bool = False
    """Generate the next step's groups while this one trains (one step off-policy, corrected; engine vllm_server)."""
