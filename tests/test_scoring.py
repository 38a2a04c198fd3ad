import logging

import pytest

from rlkit.errors import RunError
from rlkit.function import make
from rlkit.scoring import RewardStack


def length(completion):
    return float(len(completion))


def fails_on_x(completion):
    if completion == "x":
        raise ValueError("no x please")
    return 1.0


def fails(completions):
    raise ValueError("always")


async def later(completions):
    return [1.0 for _ in completions]


def stack(*functions, **settings):
    return RewardStack([(make(f.__name__, f), 0.5 + i) for i, f in enumerate(functions)], **settings)


def test_scores_and_weighted_sums():
    made = stack(length, later)
    scores = made.score(completions=["a", "bb"])
    assert scores == {"length": [1.0, 2.0], "later": [1.0, 1.0]}
    assert made.total(scores) == [0.5 + 1.5, 1.0 + 1.5]


def test_a_failing_sample_gives_none_and_costs_the_others_nothing(caplog):
    made = stack(fails_on_x)
    with caplog.at_level(logging.WARNING):
        scores = made.score(completions=["a", "x", "b"], answer=[1, 2, 3])
        made.score(completions=["a", "x", "b"])
    assert scores == {"fails_on_x": [1.0, None, 1.0]}
    assert made.errors == {"fails_on_x": 2}
    assert len([r for r in caplog.records if "no x please" in r.message]) == 1
    assert made.total(scores) == [0.5, 0.0, 0.5]


def test_a_failing_sample_is_scored_once_and_so_are_the_others():
    calls = []

    async def judge(completion):
        calls.append(completion)
        if completion == "x":
            raise ValueError("no x please")
        return 1.0

    made = stack(judge)
    assert made.score(completions=["a", "x", "b"]) == {"judge": [1.0, None, 1.0]}
    assert sorted(calls) == ["a", "b", "x"]
    assert made.errors == {"judge": 1}


def test_too_many_failures_stop_the_run_with_the_last_error():
    made = stack(fails)
    assert made.score(completions=["a"] * 4) == {"fails": [None] * 4}
    with pytest.raises(RunError, match=r"failed on 12 of its last 12 completions.*ValueError: always"):
        made.score(completions=["a"] * 8)


def test_failures_below_the_rate_are_borne():
    made = stack(fails_on_x, max_error_rate=0.2)
    for _ in range(30):
        made.score(completions=["a"] * 9 + ["x"])
    assert made.errors["fails_on_x"] == 30


def test_rewards_see_what_the_chat_template_wrote_of_the_completion():
    made = stack(length, prefill="<think>")
    assert made.score(completions=["ab"])["length"] == [9.0]
    assert made.score(completions=[[{"role": "assistant", "content": "ab"}]])["length"] == [9.0]


def test_functions_for_trl_have_the_names_and_tell_of_each_batch():
    heard = []
    functions = stack(length, later).functions(after=lambda batch, scores: heard.append(scores))
    assert [function.__name__ for function in functions] == ["length", "later"]
    for _ in range(2):
        assert [function(completions=["a"], prompts=["p"]) for function in functions] == [[1.0], [1.0]]
    assert heard == [{"length": [1.0], "later": [1.0]}] * 2


def test_a_stage_does_not_end_well_where_a_reward_never_worked():
    made = stack(length, fails)
    made.score(completions=["a"] * 4)
    with pytest.raises(RunError, match=r"'fails' failed on 4 of its last 4"):
        made.check()
    stack(length).check()


def test_a_few_failures_in_a_large_batch_are_a_small_rate():
    completions = (["a"] * 32 + ["x"]) * 30
    made = stack(fails_on_x)
    values = made.score(completions=completions)["fails_on_x"]
    assert values.count(None) == 30
    made.check()
    with pytest.raises(RunError, match="on 50 of its last 100"):
        made.score(completions=["a", "x"] * 100)


def test_a_value_that_is_no_number_is_its_samples_failure_alone():
    def infinite(completion):
        return float("inf") if completion == "b" else 1.0

    made = stack(infinite)
    assert made.score(completions=["a"] * 31 + ["b"]) == {"infinite": [1.0] * 31 + [None]}
    assert made.errors == {"infinite": 1}
