import logging

import pytest

from rlkit.errors import RunError
from rlkit.function import make
from rlkit.scoring import RewardStack
from rlkit.weighting import term


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


def hangs_on_x(completion):
    while completion == "x":
        pass
    return 1.0


def exits_on_x(completion):
    import os

    if completion == "x":
        os._exit(0)
    return 1.0


def limited(function, timeout=1.0, **settings):
    return term(make(function.__name__, function, timeout=timeout), settings)


@pytest.mark.parametrize("function", [hangs_on_x, exits_on_x])
def test_a_grader_that_hangs_or_dies_costs_its_sample_alone(function, caplog):
    made = RewardStack([limited(function)], processes=2)
    with caplog.at_level(logging.WARNING):
        scores = made.score(completions=["a"] * 8 + ["x"] + ["b"] * 8)
    assert scores == {function.__name__: [1.0] * 8 + [None] + [1.0] * 8}
    assert made.errors == {function.__name__: 1}
    assert made.timeouts == {function.__name__: int(function is hangs_on_x)}
    assert "'x'" in caplog.text


def test_a_reward_that_scores_the_batch_has_the_limit_for_each_completion():
    def batch(completions):
        while "x" in completions:
            pass
        return [1.0] * len(completions)

    made = RewardStack([limited(batch, 0.1)], max_error_rate=1.0)
    assert made.score(completions=["a"] * 3) == {"batch": [1.0] * 3}
    assert made.score(completions=["a", "x", "b"]) == {"batch": [None] * 3}


def test_columns_and_parameters_reach_a_grader_with_a_time_limit():
    def close(completion, answer, prompt, *, within: int = 0):
        return float(abs(len(completion) - answer) <= within and prompt == "p")

    made = RewardStack([(make("close", close, timeout=5.0).configure(within=1), 1.0)])
    assert made.score(completions=["aa", "a"], prompts=["p", "p"], answer=[3, 3]) == {"close": [1.0, 0.0]}


def test_slow_rewards_run_side_by_side_and_keep_their_order():
    import asyncio
    import time

    async def judge(completion):
        await asyncio.sleep(2.0 if completion == "a" else 0.0)
        return float(ord(completion))

    async def other(completions):
        await asyncio.sleep(2.0)
        return [2.0] * len(completions)

    def grader(completion):
        time.sleep(2.0)
        return 3.0

    made = RewardStack([(make("judge", judge), 1.0), limited(grader, 20.0), (make("other", other), 1.0)], processes=2)
    made.score(completions=["a"])  # the processes are up
    start = time.monotonic()
    scores = made.score(completions=["a", "b"])
    assert time.monotonic() - start < 5.5  # 6 one after another
    assert scores == {"judge": [97.0, 98.0], "grader": [3.0, 3.0], "other": [2.0, 2.0]}
    assert list(scores) == ["judge", "grader", "other"]


def test_an_async_reward_has_its_time_limit_too():
    import asyncio

    async def judge(completion):
        await asyncio.sleep(30 if completion == "x" else 0)
        return 1.0

    made = RewardStack([limited(judge, 0.2)])
    assert made.score(completions=["a", "x", "b"]) == {"judge": [1.0, None, 1.0]}
    assert made.timeouts == {"judge": 1}


def test_large_batches_are_shared_out_over_processes():
    import os

    def pid(completion):
        return float(os.getpid())

    made = RewardStack([(make("pid", pid), 1.0)], processes=2)
    (values,) = made.score(completions=["a"] * 4000).values()
    assert len(values) == 4000
    assert os.getpid() not in values
    order = RewardStack([(make("length", length), 1.0)], processes=2)
    completions = ["a" * (i % 97) for i in range(4001)]
    assert order.score(completions=completions)["length"] == [i % 97 for i in range(4001)]


@pytest.mark.parametrize(("on_error", "value"), [("none", None), (-1.0, -1.0)])
def test_on_error_says_what_a_failure_gives(on_error, value):
    made = RewardStack([term(make("fails_on_x", fails_on_x), {"on_error": on_error})])
    assert made.score(completions=["a", "x"]) == {"fails_on_x": [1.0, value]}
    assert made.errors == {"fails_on_x": 1}


def test_on_error_raise_stops_at_once_and_names_the_sample():
    made = RewardStack([term(make("fails_on_x", fails_on_x), {"on_error": "raise"})])
    with pytest.raises(RunError, match=r"(?s)on_error is raise: ValueError: no x please.*'x'"):
        made.score(completions=["a", "x"])


def test_gates_clips_and_schedules_count_and_raw_values_are_kept():
    def format(completion):
        return float(completion.startswith("<"))

    made = RewardStack(
        [
            term(make("length", length), {"gate": "format", "clip": [0, 3], "weight": 2}),
            term(make("format", format), {"weight": {"from": 1, "to": 0, "over": 10}}),
        ]
    )
    scores = made.score(completions=["<a", "<abcdef", "abc"])
    assert scores == {"length": [2.0, 7.0, 3.0], "format": [1.0, 1.0, 0.0]}
    assert made.shape(scores) == {"length": [2.0, 3.0, 0.0], "format": [1.0, 1.0, 0.0]}
    assert made.total(scores, step=0) == [5.0, 7.0, 0.0]
    assert made.total(scores, step=5) == [4.5, 6.5, 0.0]
    assert made.total(scores) == [4.0, 6.0, 0.0]
    assert made.figures(scores, 5) == {"rewards/length/raw": 4.0, "rewards/format/weight": 0.5}
    functions = made.functions()
    assert [f(completions=["<a", "<abcdef", "abc"]) for f in functions] == [[2.0, 3.0, 0.0], [1.0, 1.0, 0.0]]


def test_trl_gets_the_groups_mean_where_a_reward_failed():
    """TRL sums a None as 0, which would make a broken grader a wrong answer."""
    made = RewardStack([(make("fails_on_x", fails_on_x), 1.0), (make("length", length), 1.0)], max_error_rate=1.0)
    first, second = made.functions()
    batch = {"completions": ["a", "x", "a", "x"], "prompts": ["p", "p", "q", "r"]}
    assert first(**batch) == [1.0, 1.0, 1.0, None]
    assert second(**batch) == [1.0] * 4


@pytest.mark.parametrize("timeout", [None, 5.0])
def test_a_reward_that_calls_exit_fails_and_does_not_end_the_run(timeout):
    import sys

    def leaves(completion):
        if completion == "x":
            sys.exit(0)
        return 1.0

    made = RewardStack([limited(leaves, timeout)])
    assert made.score(completions=["a", "x", "b"]) == {"leaves": [1.0, None, 1.0]}


def test_an_async_reward_that_is_cancelled_fails():
    import asyncio

    async def cancelled(completion):
        raise asyncio.CancelledError

    async def whole(completions):
        raise asyncio.CancelledError

    made = RewardStack([(make("cancelled", cancelled), 1.0), (make("whole", whole), 1.0)], max_error_rate=1.0)
    assert made.score(completions=["a", "b"]) == {"cancelled": [None, None], "whole": [None, None]}


def test_an_async_reward_of_the_batch_has_its_time_limit():
    import asyncio

    async def whole(completions):
        await asyncio.sleep(30)
        return [1.0] * len(completions)

    made = RewardStack([limited(whole, 0.1)], max_error_rate=1.0)
    assert made.score(completions=["a", "b"]) == {"whole": [None, None]}
    assert made.timeouts == {"whole": 2}


def test_processes_that_are_gone_come_back_for_the_next_batch():
    import os
    import signal

    made = RewardStack([limited(hangs_on_x)], processes=1, max_error_rate=1.0)
    assert made.score(completions=["a"]) == {"hangs_on_x": [1.0]}
    os.kill(made.rewards[0]._isolated._pool._template.pid, signal.SIGKILL)
    made.rewards[0]._isolated._pool._template.wait()
    assert made.score(completions=["a"]) == {"hangs_on_x": [1.0]}
    made.close()
    assert made.score(completions=["b"]) == {"hangs_on_x": [1.0]}


def test_a_stack_that_is_dropped_leaves_no_process():
    made = RewardStack([limited(hangs_on_x)])
    made.score(completions=["a"])
    template = made.rewards[0]._isolated._pool._template
    del made
    assert template.poll() is not None


def test_a_reward_that_changes_its_columns_changes_no_others():
    def spoils(completions, answer):
        answer.clear()
        return [0.0] * len(completions)

    def reads(completions, answer):
        return [float(value) for value in answer]

    made = stack(spoils, reads)
    assert made.score(completions=["a", "b"], answer=[1, 2]) == {"spoils": [0.0, 0.0], "reads": [1.0, 2.0]}


def test_a_failed_completion_counts_as_its_groups_mean_in_the_sum_too():
    made = stack(fails_on_x)
    scores = made.score(completions=["a", "x"], prompts=["p", "p"])
    assert made.total(scores) == [0.5, 0.0]
    assert made.total(scores, prompts=["p", "p"]) == [0.5, 0.5]


def test_a_plugin_files_helpers_go_with_its_reward(tmp_path, clean_registry):
    from rlkit import plugins

    (tmp_path / "mine.py").write_text(
        "from rlkit import reward\n\n\ndef _helper(text):\n    return float(len(text))\n\n\n"
        "@reward('helped', timeout=5.0)\ndef helped(completion):\n    return _helper(completion)\n"
    )
    (helped,) = plugins.load_file(tmp_path / "mine.py")
    assert RewardStack([(helped, 1.0)]).score(completions=["abc"]) == {"helped": [3.0]}


def test_in_plain_trl_a_sample_at_the_time_limit_is_none():
    made = make("hangs_on_x", hangs_on_x, timeout=0.5)
    assert made(completions=["a", "x"], prompts=["p", "p"], trainer_state=None) == [1.0, None]
    broken = make("fails_on_x", fails_on_x)
    with pytest.raises(ValueError, match="no x please"):
        broken(completions=["a", "x"], prompts=["p", "p"], trainer_state=None)
