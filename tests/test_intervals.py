import itertools

import numpy
import pytest
from scipy import stats

from rlkit.intervals import bootstrap, interval, pass_at_k, wilson


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (1, 3), (250, 500), (499, 500)])
def test_wilson_equals_scipy(successes, n):
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_bootstrap_is_close_to_scipy_and_repeats():
    values = list(numpy.random.default_rng(0).gamma(2.0, size=200))
    expected = stats.bootstrap((values,), numpy.mean, method="percentile", n_resamples=5000, rng=0).confidence_interval
    low, high = bootstrap(values)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.03)
    assert bootstrap(values) == (low, high)


def test_shares_take_wilson_and_means_the_bootstrap():
    assert interval([1.0, 0.0, 1.0]) == wilson(2, 3)
    assert interval([0.5, 0.0, 1.0]) == bootstrap([0.5, 0.0, 1.0])


@pytest.mark.parametrize(("n", "correct", "k"), [(5, 2, 1), (5, 2, 3), (5, 0, 2), (5, 5, 2), (6, 1, 6)])
def test_pass_at_k_equals_counting_every_subset(n, correct, k):
    subsets = list(itertools.combinations([1] * correct + [0] * (n - correct), k))
    assert pass_at_k(n, correct, k) == pytest.approx(sum(any(s) for s in subsets) / len(subsets))


def test_pass_at_more_than_there_are_is_refused():
    with pytest.raises(ValueError, match="needs at least 3 samples"):
        pass_at_k(2, 1, 3)
