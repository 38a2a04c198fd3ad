"""The signal check on a real model: what it says of the groups is what the samples are."""

import pytest

from rlkit.errors import RequestError
from rlkit.recipe.load import load
from rlkit.signal_check import _correlation, check


def test_it_finds_the_rewards_that_do_not_differ(recipe_file, tiny_model):
    rewards = ["correctness", {"length": {"target": 4, "unit": "characters"}}]
    signal = check(load(str(recipe_file(rewards=rewards))), str(tiny_model), prompts=6)
    assert (signal.prompts, signal.group) == (6, 4)
    assert signal.rewards["correctness"].flat_share == 1.0  # a random model is never right
    assert signal.rewards["length"].flat_share < 1.0
    assert signal.total.flat_share < 1.0
    assert 0.0 < signal.clipped <= 1.0
    assert signal.correlations == {("correctness", "length"): None}
    said = "\n".join(signal.lines())
    assert "reward correctness: mean 0, std 0; never differs within a group" in said
    assert "raise generation.max_completion_length" in said
    assert signal.as_json()["share_without_variance"] == signal.total.flat_share


def test_two_rewards_that_say_the_same_are_told(recipe_file, tiny_model):
    one = {"length": {"target": 4, "unit": "characters", "name": "one"}}
    other = {"length": {"target": 4, "unit": "characters", "name": "other"}}
    signal = check(load(str(recipe_file(rewards=[one, other]))), str(tiny_model), prompts=4)
    assert signal.correlations["one", "other"] == pytest.approx(1.0)
    assert any("one of them would do" in line for line in signal.lines())


def test_correlation_is_within_groups_and_over_what_has_values():
    numpy = pytest.importorskip("numpy")
    one, other = [1.0, 2.0, 30.0, 33.0, None], [5.0, 1.0, 9.0, 8.0, 2.0]
    x, y = [-0.5, 0.5, -1.5, 1.5], [2.0, -2.0, 0.5, -0.5]
    expected = numpy.corrcoef(x, y)[0, 1]
    assert _correlation(one, other, [[0, 1], [2, 3, 4]]) == pytest.approx(expected)


def test_a_recipe_without_grpo_is_refused(recipe_file, tiny_model):
    recipe = load(str(recipe_file(rewards=None, data={"path": "x.jsonl", "prompt": "a", "completion": "b"})))
    with pytest.raises(RequestError, match="no grpo stage"):
        check(recipe, str(tiny_model))
