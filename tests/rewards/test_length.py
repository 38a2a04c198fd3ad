import itertools

import pytest

from rlkit import plugins
from rlkit.errors import RequestError, RewardError


def length(**parameters):
    return plugins.find("length").configure(**parameters)


def test_the_target_is_best_and_every_step_away_is_worse():
    made = length(target=50)
    values = made(completions=[""] * 201, completion_ids=[[0] * n for n in range(201)])
    assert values[50] == 1.0
    assert all(a < b for a, b in itertools.pairwise(values[:51]))
    assert all(a > b for a, b in itertools.pairwise(values[50:]))
    assert values[0] == 0.5
    assert values[100] == 0.5


def test_a_range_is_flat_inside():
    made = length(minimum=2, maximum=4, unit="words")
    assert made(completions=["a b", "a b c d", "a b c d e f g h"]) == [1.0, 1.0, 0.5]
    assert length(minimum=3, unit="characters")(completions=["abcdefgh"]) == [1.0]
    assert length(maximum=0, unit="characters")(completions=["", "a"]) == [1.0, 0.5]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "set a target"),
        ({"target": 3, "minimum": 2}, "not both"),
        ({"minimum": 5, "maximum": 2}, "above maximum"),
        ({"target": 3, "unit": "bytes"}, "'tokens', 'characters' or 'words'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(parameters, said):
    with pytest.raises(RequestError, match=said):
        length(**parameters)


def test_tokens_need_a_policy():
    with pytest.raises((RewardError, ValueError), match="unit=characters"):
        length(target=3)(completions=["abc"])
