import itertools
import math
import time

import pytest

from rlkit import plugins, reward
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


def answers(*texts, **columns):
    n = len(texts)
    return {"completions": [f"<answer>{text}</answer>" for text in texts], **{k: [v] * n for k, v in columns.items()}}


def cosine(**parameters):
    return plugins.find("cosine_length").configure(by="correctness", **parameters)


def test_the_cosine_goes_from_one_value_to_the_other_and_stays():
    ids = [[0] * n for n in (0, 25, 50, 75, 100, 101, 200, 100_000)]
    made = cosine(max_length=100, correct=(2.0, 1.0), wrong=(-10.0, 0.0))
    right = made(**answers(*"44444444", answer="4"), completion_ids=ids)
    wrong = made(**answers(*"55555555", answer="4"), completion_ids=ids)
    share = [(1 + math.cos(math.pi * min(len(i), 100) / 100)) / 2 for i in ids]
    assert right == pytest.approx([1 + s for s in share])
    assert wrong == pytest.approx([-10 * s for s in share])
    assert right[-4:] == [1.0] * 4, "open-r1's is 2.0 again at twice the length"


def test_by_default_no_wrong_completion_scores_like_a_right_one():
    ids = [[0] * n for n in range(0, 301, 10)]
    made = cosine(max_length=100)
    right = made(**answers(*["4"] * 31, answer="4"), completion_ids=ids)
    wrong = made(**answers(*["5"] * 31, answer="4"), completion_ids=ids)
    assert min(right) == 0.5
    assert max(wrong) == -0.5
    assert wrong[0] == -1.0


def test_a_completion_that_ran_out_of_room_gets_what_the_recipe_says():
    made = cosine(max_length=10, exceeded=-2.0)
    batch = answers("4", "5", "4", answer="4")
    assert made(**batch, completion_ids=[[0] * 10, [0] * 11, [0] * 5]) == [-2.0, -2.0, 0.75]


def brevity(**parameters):
    return plugins.find("brevity").configure(by="correctness", **parameters)


def test_brevity_is_relative_to_the_completions_of_the_same_prompt():
    batch = answers("4", "4", "4", "5", "4", "4", answer="4")
    ids = [[0] * n for n in (10, 20, 30, 10, 500, 900)]
    prompts = ["easy", "easy", "easy", "easy", "hard", "hard"]
    assert brevity()(**batch, prompts=prompts, completion_ids=ids) == [0.5, 0, -0.5, 0, 0.5, -0.5]
    order = [4, 0, 3, 5, 2, 1]
    shuffled = {key: [values[i] for i in order] for key, values in batch.items()}
    mixed = brevity()(**shuffled, prompts=[prompts[i] for i in order], completion_ids=[ids[i] for i in order])
    assert mixed == [0.5, 0.5, 0, -0.5, -0.5, 0]


def test_a_wrong_completion_gains_nothing_by_being_short_and_loses_by_being_long():
    batch = answers("5", "5", "4", "5", answer="4")
    values = brevity()(**batch, prompts=["a"] * 4, completion_ids=[[0] * n for n in (10, 20, 30, 50)])
    assert values == pytest.approx([0, 0, 0, -0.5])


def test_equal_lengths_and_rows_without_an_answer():
    ids = [[0] * 7] * 2
    assert brevity()(**answers("4", "5", answer="4"), prompts=["a", "a"], completion_ids=ids) == [0, 0]
    assert brevity()(**answers("4", "4", answer=None), prompts=["a", "a"], completion_ids=ids) == [None, None]
    made = cosine(max_length=10)
    assert made(**answers("4", "4", answer=None), completion_ids=ids) == [None, None]


@pytest.mark.parametrize("name", ["cosine_length", "brevity"])
def test_the_judging_reward_says_what_columns_are_needed(name):
    setting = {"max_length": 10} if name == "cosine_length" else {}
    assert plugins.find(name).configure(by="correctness", **setting).columns == ("answer",)
    assert plugins.find(name).configure(by="int", **setting).columns == ()
    with pytest.raises(RequestError, match="correctnes"):
        plugins.find(name).configure(by="correctnes", **setting)
    with pytest.raises(RequestError, match="set a target"):
        plugins.find(name).configure(by="length", **setting)


def test_a_judge_that_fails_on_one_completion_leaves_the_others(clean_registry):
    @reward("picky")
    def picky(completion: str) -> float:
        if "x" in completion:
            raise OSError("no connection")
        return 1.0

    made = plugins.find("cosine_length").configure(by="picky", max_length=4, unit="characters")
    assert made(completions=["", "x", "aaaa"]) == [1.0, None, 0.5]
    with pytest.raises(OSError, match="no connection"):
        made(completions=["x", "xx"])


def test_an_async_judge_is_waited_for(clean_registry):
    @reward("slow_judge")
    async def slow_judge(completions: list[str]) -> list[float]:
        return [1.0 if "4" in text else 0.5 for text in completions]

    made = plugins.find("cosine_length").configure(by="slow_judge", max_length=2, unit="characters")
    assert made(completions=["4", "5"]) == [0.75, -0.75]


def overlong(**parameters):
    return plugins.find("soft_overlong").configure(**parameters)


def test_the_charge_grows_over_the_cache_alone():
    ids = [[0] * n for n in (0, 16384, 16385, 18432, 20480, 20481, 1_000_000)]
    expected = [0, 0, -1 / 4096, -0.5, -1, -1, -1]
    assert overlong(max_length=20480, cache=4096)(completion_ids=ids) == expected
    assert overlong(max_length=20480)(completion_ids=ids) == expected, "a fifth, as in the paper"
    assert overlong(max_length=2, cache=0)(completion_ids=[[0, 0], [0, 0, 0]]) == [0, -1]


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("soft_overlong", {"max_length": 0}, "1 or more"),
        ("soft_overlong", {"max_length": 10, "cache": 11}, "between 0 and max_length"),
        ("soft_overlong", {"max_length": 10, "cache": -1}, "between 0 and max_length"),
        ("soft_overlong", {}, "max_length"),
        ("cosine_length", {"max_length": 0, "by": "int"}, "1 or more"),
        ("cosine_length", {"max_length": 10, "correct": [1.0], "by": "int"}, "correct"),
        ("cosine_length", {"max_length": 10, "exceeded": 0.0, "compat": "trl"}, "no exceeded"),
        ("brevity", {"unit": "words", "by": "int"}, "'tokens' or 'characters'"),
    ],
)
def test_length_rewards_refuse_settings_that_make_no_sense(name, parameters, said):
    with pytest.raises(RequestError, match=said):
        plugins.find(name).configure(**parameters)


def test_every_length_in_tokens_needs_a_policy():
    for made in (cosine(max_length=10), brevity()):
        with pytest.raises((RewardError, ValueError), match="unit=characters"):
            made(**answers("4", answer="4"), prompts=["a"])
    with pytest.raises(RewardError, match="completion_ids"):
        overlong(max_length=10)(completions=["a"])


def test_a_large_batch_of_groups_takes_no_time():
    batch = answers(*["4"] * 20_000, answer="4")
    start = time.process_time()
    brevity(unit="characters")(**batch, prompts=[f"question {i // 8}" for i in range(20_000)])
    assert time.process_time() - start < 5.0
