"""Paired tests, held against scipy's."""

import itertools
import random

import numpy
import pytest
from scipy import stats

from rlkit.comparison import mcnemar, paired, sign_flip


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (1, 0), (5, 5), (3, 12), (12, 3), (237, 63), (2000, 1800)])
def test_mcnemar_is_the_binomial_test_of_the_pairs_that_differ(better, worse):
    expected = stats.binomtest(better, better + worse, 0.5).pvalue if better + worse else 1.0
    assert mcnemar(better, worse) == pytest.approx(expected, rel=1e-9)


def scipy_p(differences, resamples):
    def mean(x, axis):
        return numpy.mean(x, axis=axis)

    return stats.permutation_test(
        (numpy.array(differences),), mean, permutation_type="samples", n_resamples=resamples, vectorized=True, rng=3
    ).pvalue


@pytest.mark.parametrize("seed", range(4))
def test_sign_flip_is_exact_for_few(seed):
    rng = random.Random(seed)
    differences = [round(rng.gauss(0.4, 1.0), 1) for _ in range(9)]
    assert sign_flip(differences) == pytest.approx(scipy_p(differences, numpy.inf))


def test_sign_flip_of_many_is_close_to_scipy_and_repeats():
    rng = random.Random(5)
    differences = [rng.gauss(0.13, 1.0) for _ in range(200)]
    p = sign_flip(differences)
    assert p == pytest.approx(scipy_p(differences, 20_000), abs=0.015)
    assert 0.01 < p < 0.5
    assert sign_flip(differences) == p


def test_of_zeroes_and_ones_both_tests_say_the_same():
    for better, worse in itertools.product(range(5), repeat=2):
        assert sign_flip([1.0] * better + [-1.0] * worse + [0.0] * 3) == pytest.approx(mcnemar(better, worse))


def test_no_p_is_0():
    assert sign_flip([1.0] * 500) == pytest.approx(1 / 20_001)


def test_pairs_are_compared_on_the_prompts_that_both_have():
    found = paired([1.0, 1.0, 0.0, None, 1.0], [0.0, 1.0, 0.0, 1.0, None])
    assert (found.n, found.better, found.worse, found.test) == (3, 1, 0, "mcnemar")
    assert found.difference == pytest.approx(1 / 3)
    assert paired([0.5, 1.0], [0.25, 1.0]).test == "sign-flip"
    assert paired([None], [1.0]) is None
    with pytest.raises(ValueError, match="zip"):
        paired([1.0], [1.0, 0.0])


def test_pairing_finds_what_two_intervals_hide():
    rng = random.Random(0)
    hard = [rng.random() for _ in range(400)]  # how good any answer to a prompt is
    found = paired([h + rng.gauss(0.03, 0.05) for h in hard], hard)
    assert found.low > 0
    assert found.p < 0.001
    alone = stats.bootstrap((hard,), numpy.mean, method="percentile", rng=0).confidence_interval
    assert alone.high - alone.low > 2 * (found.high - found.low)


def test_the_interval_covers_the_true_difference_95_times_in_100():
    rng = numpy.random.default_rng(1)
    covered = 0
    for _ in range(100):
        both = rng.random(60) < 0.5
        one, other = ((both | (rng.random(60) < share)).astype(float) for share in (0.4, 0.2))
        found = paired(list(one), list(other))
        covered += found.low <= 0.1 <= found.high
    assert covered >= 88
