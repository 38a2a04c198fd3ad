"""The distribution that tokens are drawn from, and the draw."""

import torch

from rlkit.engines.engine import Sampling


class Sampler:
    """Draws the next token of each row.

    Penalty, temperature, top-k, top-p and min-p, in the order and with the meaning that transformers gives them; of
    tokens as likely as the last one that stays, all stay. Temperature 0 takes the likeliest token, and only the
    penalty bears on it.

    Args:
        sampling: How tokens are drawn.
        prompts: The prompt of each row: the repetition penalty knows its tokens.
        vocabulary: How many tokens there are.
        device: Where the logits are.
    """

    def __init__(self, sampling: Sampling, prompts: list[list[int]], vocabulary: int, device: torch.device):
        self.sampling = sampling
        self.seen = None
        if sampling.repetition_penalty != 1.0:
            self.seen = torch.zeros((len(prompts), vocabulary), dtype=torch.bool)
            for row, ids in zip(self.seen, prompts, strict=True):
                row[torch.tensor(ids)] = True
            self.seen = self.seen.to(device)

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only."""
        if self.seen is not None:
            self.seen = self.seen[rows]

    def draw(self, logits: torch.Tensor, chance: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The next tokens, int64 (rows,), and their log-probabilities where asked for, float32 (rows,).

        Args:
            logits: (rows, vocabulary); overwritten.
            chance: float32 (rows, 1), uniform in [0, 1): what the draw is made by; none where it is greedy.
        """
        logprobs = None
        if chance is None:
            scores = self.scores(logits)
            tokens = scores.argmax(-1, keepdim=True)
            if self.sampling.logprobs:
                logprobs = (scores.gather(-1, tokens) - scores.logsumexp(-1, keepdim=True))[:, 0]
        else:
            weights = self.weights(logits)
            below = weights.cumsum(-1)
            total = below[:, -1:]
            # The first token whose sum reaches a share of the total in (0, 1]: one without weight is never it.
            tokens = torch.searchsorted(below, (1 - chance) * total)
            if self.sampling.logprobs:
                logprobs = (weights.gather(-1, tokens) / total).log_()[:, 0]
        if self.seen is not None:
            self.seen.scatter_(1, tokens, True)
        return tokens[:, 0], logprobs

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits in float32, penalised."""
        scores = logits.float()
        penalty = self.sampling.repetition_penalty
        if self.seen is not None:
            scores = torch.where(self.seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)
        return scores

    def weights(self, logits: torch.Tensor) -> torch.Tensor:
        """Each token's probability up to a factor of the row: float32 (rows, vocabulary), 0 where it is left out."""
        sampling = self.sampling
        scores = self.scores(logits)
        weights = scores.sub_(scores.amax(-1, keepdim=True))
        if sampling.temperature != 1.0:
            weights = weights.div_(sampling.temperature)
        weights = weights.exp_()
        if 0 < sampling.top_k < weights.shape[-1]:
            weights = _at_least(weights, weights.topk(sampling.top_k).values[:, -1:])
        if sampling.top_p < 1.0:
            ordered = weights.sort(-1, descending=True).values
            below = ordered.cumsum(-1)
            inside = below - ordered < sampling.top_p * below[:, -1:]
            weights = _at_least(weights, ordered.where(inside, torch.inf).amin(-1, keepdim=True))
        if sampling.min_p:
            weights = _at_least(weights, sampling.min_p * weights.amax(-1, keepdim=True))
        return weights


def _at_least(weights: torch.Tensor, least: torch.Tensor) -> torch.Tensor:
    return weights.masked_fill_(weights < least, 0.0)
