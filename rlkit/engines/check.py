"""Does an engine have the policy's weights? Its log-probabilities say."""

from typing import Any

from rlkit.engines.engine import Engine, Sampling
from rlkit.errors import RunError
from rlkit.policy import Policy

TOKENS = 8
"""Completion tokens that are compared."""


def difference(engine: Engine, policy: Policy, prompt_ids: list[int] | None = None) -> float:
    """The greatest difference (nats) of the log-probabilities that engine and policy give a completion.

    Args:
        engine: What generates.
        policy: What it should have the weights of.
        prompt_ids: By default some tokens spread over the vocabulary.
    """
    import torch

    model = policy.model
    if prompt_ids is None:
        size = model.get_input_embeddings().num_embeddings
        special = set(policy.tokenizer.all_special_ids)
        prompt_ids = [i for i in range(size // 17, size, max(size // 16, 1)) if i not in special][:16]
    sampling = Sampling(max_completion_length=TOKENS, temperature=1.0, n=1, seed=0, logprobs=True)
    made = engine.generate([prompt_ids], sampling)
    completion, given = made.completion_ids[0], made.logprobs[0]
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            ids = torch.tensor([prompt_ids + completion], device=model.device)
            scores = model(input_ids=ids, use_cache=False).logits[0, len(prompt_ids) - 1 : -1].float().log_softmax(-1)
    finally:
        model.train(training)
    expected = scores.gather(-1, torch.tensor(completion, device=model.device)[:, None])[:, 0]
    return float((expected - torch.tensor(given, device=model.device)).abs().max())


def bound(policy: Policy, computed: Any = None) -> float:
    """How far apart they may be: rounding, which in 16 bits is large.

    Args:
        policy: Its weights' dtype counts.
        computed: The dtype that the engine computes in, where it is another.
    """
    import torch

    wide = {torch.float32, torch.float64}
    kinds = {policy.model.dtype, computed or policy.model.dtype}
    return 1e-3 if kinds <= wide and not policy.in_4bit else 0.5


def agree(engine: Engine, policy: Policy) -> None:
    """See that an engine has the policy's weights.

    Raises:
        RunError: Their log-probabilities differ by more than rounding.
    """
    apart = difference(engine, policy)
    limit = bound(policy, getattr(engine, "dtype", None))
    if not apart <= limit:
        raise RunError(
            f"generation.check_sync: after the sync the engine's log-probabilities are up to {apart:.3g} nats from the "
            f"policy's, and {limit:g} is the bound: it has other weights, or samples from other logits (a vLLM server "
            f"needs --logprobs-mode processed_logprobs)"
        )
