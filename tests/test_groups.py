import time

import pytest

from rlkit import groups

ASK = [{"role": "user", "content": "2+2?"}]
OTHER = [{"role": "user", "content": "2+3?"}]


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ([], []),
        (["a", "a", "b", "b"], [[0, 1], [2, 3]]),
        (["b", "a", "b", "a"], [[0, 2], [1, 3]]),
        ([ASK, OTHER, list(ASK)], [[0, 2], [1]]),
        ([[{"content": "2+2?", "role": "user"}], ASK], [[0, 1]]),
        (["a", "A", "a "], [[0], [1], [2]]),
    ],
)
def test_completions_of_equal_prompts_are_a_group(prompts, expected):
    assert groups.split(prompts) == expected


def test_a_large_batch_is_split_in_one_pass():
    prompts = [f"question {i % 25_000}" for i in range(100_000)]
    start = time.process_time()
    found = groups.split(prompts)
    assert time.process_time() - start < 5.0
    assert len(found) == 25_000
    assert found[7] == [7, 25_007, 50_007, 75_007]
