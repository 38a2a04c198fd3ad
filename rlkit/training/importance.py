"""Importance sampling: completions drawn from another distribution than the policy's own."""

import math
from typing import Any

import torch


def ratios(policy: torch.Tensor, sampled: torch.Tensor, mask: torch.Tensor, args: Any) -> torch.Tensor:
    """How much likelier the policy makes what was sampled, bounded as TRL's GRPOConfig says.

    `args.vllm_importance_sampling_mode`: by token or by sequence; a ratio beyond the bounds is cut to them (truncate)
    or counts 0 (mask). See TRL's documentation of the field, and "Your Efficient RL Framework Secretly Brings You
    Off-Policy RL Training" (Yao et al., 2025).

    Args:
        policy: (rows, length), the log-probability of each token under the policy (nats).
        sampled: The same under what it was drawn from; NaN where it is not known, which counts as no difference.
        mask: The same shape: which tokens count.
        args: GRPOConfig.

    Returns:
        (rows, length), or (rows, 1) by sequence.

    Raises:
        ValueError: The mode is not known.
    """
    level, _, way = args.vllm_importance_sampling_mode.partition("_")
    difference = torch.nan_to_num((policy - sampled) * mask, nan=0.0)
    if level == "sequence":
        difference = difference.sum(-1, keepdim=True)
    made = difference.exp()
    low, high = args.vllm_importance_sampling_clip_min, args.vllm_importance_sampling_clip_max
    if way == "truncate":
        return made.clamp(low, high)
    if way == "mask":
        low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
        return made.masked_fill((made < low) | (made > high), 0.0)
    raise ValueError(f"vllm_importance_sampling_mode {args.vllm_importance_sampling_mode!r} is not known")


def weigh(piece: dict[str, Any], logps: torch.Tensor, args: Any, loss_type: str) -> torch.Tensor:
    """Weigh the tokens of a piece of a batch by their ratios; returns these.

    Every loss of TRL but VESPO's is proportional to the advantage, so that is what is weighed.

    Args:
        piece: As TRL keeps a batch, with `sampling_per_token_logps`.
        logps: (rows, length), under the policy as it is now.
        args: GRPOConfig.
        loss_type: As TRL calls it.
    """
    old = piece.get("old_per_token_logps")
    made = ratios(logps if old is None else old, piece["sampling_per_token_logps"], piece["completion_mask"], args)
    if loss_type == "vespo":
        piece["importance_sampling_ratio"] = made
    else:
        piece["advantages"] = piece["advantages"].view(len(made), -1) * made
    return made
