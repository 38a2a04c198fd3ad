"""95% intervals of shares and means."""

import math
import random
from collections.abc import Sequence

Z = 1.959963984540054
"""The 97.5th percentile of the normal distribution."""


def wilson(successes: float, n: int) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927); stays within 0 and 1, and is right for small n too."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = successes / n, Z * Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap(values: Sequence[float], resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean (Efron 1979), the same for the same values."""
    if not values:
        return math.nan, math.nan
    rng = random.Random(seed)
    n = len(values)
    means = sorted(math.fsum(rng.choices(values, k=n)) / n for _ in range(resamples))
    return means[int(0.025 * resamples)], means[math.ceil(0.975 * resamples) - 1]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Wilson's interval where every value is 0 or 1, the bootstrap's elsewhere."""
    if all(value in (0.0, 1.0) for value in values):
        return wilson(math.fsum(values), len(values))
    return bootstrap(values)


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Chance that one of k samples is correct, unbiased from n of them (Chen et al., arXiv 2107.03374, equation 1)."""
    if not 0 < k <= n:
        raise ValueError(f"pass@{k} needs at least {k} samples and there are {n}")
    return 1.0 - math.comb(n - correct, k) / math.comb(n, k)
