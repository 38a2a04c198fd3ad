import json

import pytest

from rlkit.recipe.groups import CurriculumSection
from rlkit.training.prompts import PromptPool, key

ROWS = [{"prompt": f"p{i}", "answer": str(i)} for i in range(10)]


@pytest.fixture
def pool(tmp_path):
    return PromptPool(
        ROWS, tmp_path / "prompts" / "1-grpo.jsonl", curriculum=CurriculumSection(skip_after=2, return_after=5)
    )


def groups(*names, n=2):
    return [name for name in names for _ in range(n)]


def test_pass_rates_are_kept_a_line_a_group(pool):
    pool.record(0, groups("p1", "p2"), [1.0, 0.0, 2.0, 2.0], [True, False, True, True])
    first, second = map(json.loads, pool.file.read_text().splitlines())
    assert first == {"step": 0, "prompt": key("p1"), "n": 2, "passed": 1, "mean": 0.5, "settled": False}
    assert (second["passed"], second["settled"]) == (2, True)
    assert pool.figures() == {"prompts_seen": 2, "prompts_always_right": 0.5, "prompts_always_wrong": 0.0}


def test_what_is_always_right_or_always_wrong_rests_and_comes_back(pool):
    for step, passed in enumerate(([True, True], [True, True])):
        assert not pool.rests("p1", step)
        pool.record(step, groups("p1"), [1.0, 1.0], passed)
    assert [pool.rests("p1", step) for step in (2, 5, 6)] == [True, True, False]
    pool.record(6, groups("p1"), [1.0, 0.0], [True, False])
    assert not pool.rests("p1", 7)
    pool.record(7, groups("p1"), [0.0, 0.0], [False, False])
    assert not pool.rests("p1", 8), "settled once again, not twice in a row"


def test_without_a_reward_that_says_what_is_right_groups_without_variance_rest(pool):
    for step in range(2):
        pool.record(step, groups("p1", "p2"), [0.3, 0.3, 0.1, 0.2], [None] * 4)
    assert pool.rests("p1", 2) and not pool.rests("p2", 2)
    assert pool.figures() == {"prompts_seen": 2}


def test_draws_are_different_rows_that_do_not_rest_and_repeat(pool):
    for step in range(2):
        pool.record(step, groups("p1", "p2"), [1.0] * 4, [True] * 4)
    drawn = pool.draw(8, step=3, salt=1)
    assert sorted(row["prompt"] for row in drawn) == ["p0", *(f"p{i}" for i in range(3, 10))]
    assert drawn == pool.draw(8, step=3, salt=1)
    assert drawn != pool.draw(8, step=3, salt=2)
    assert len(pool.draw(10, step=3)) == 8


def test_a_resumed_run_forgets_the_groups_that_it_makes_again(pool, tmp_path):
    for step in range(4):
        pool.record(step, groups("p1"), [1.0, 1.0], [True, True])
    with pool.file.open("a") as file:
        file.write('{"step": 4, "pro')
    again = PromptPool(ROWS, pool.file, curriculum=pool.curriculum, since=2)
    assert [json.loads(line)["step"] for line in pool.file.read_text().splitlines()] == [0, 1]
    assert again.rests("p1", 2)
    assert again.known[key("p1")].groups == 2
