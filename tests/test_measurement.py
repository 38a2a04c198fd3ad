"""What figures come to, worked out here by hand or by counting every case."""

import itertools
from collections import Counter

import pytest

from rlkit.function import make
from rlkit.intervals import wilson
from rlkit.measurement import _choices, _rules, figures, judged
from rlkit.recipe import spec
from rlkit.scoring import RewardStack


def samples(groups):
    """Groups of (what was read, whether it is correct)."""
    return [
        {
            "group": n,
            "read": read,
            "readable": read is not None,
            "correct": hit,
            "reward": float(hit or 0),
            "rewards": {"accuracy": None if hit is None else float(hit)},
        }
        for n, group in enumerate(groups)
        for read, hit in group
    ]


def test_the_majority_answer_is_judged():
    made = samples(
        [
            [("3", True), ("4", False), ("3.0", True), (None, False)],
            [("5", True), ("6", False), ("6", False), ("6", False)],
        ]
    )
    metrics = figures(made, ["accuracy"])
    assert (metrics["maj@4"], metrics["pass@4"]) == (0.5, 1.0)
    assert metrics["pass@1"] == metrics["accuracy"] == 0.375
    assert metrics["unreadable"] == 0.125
    assert metrics["n"] == 2


def test_of_equally_common_answers_the_first_wins():
    assert figures(samples([[("1", True), ("2", False)]]), ["accuracy"])["maj@2"] == 1.0
    assert figures(samples([[("2", False), ("1", True)]]), ["accuracy"])["maj@2"] == 0.0
    assert figures(samples([[(None, False), (None, False)]]), ["accuracy"])["maj@2"] == 0.0


@pytest.mark.parametrize("k", [2, 3, 5])
def test_a_vote_of_fewer_is_the_mean_over_every_choice(k):
    group = [("7", True), ("8", False), ("7", True), ("9", False), ("8", False)]
    expected = []
    for chosen in itertools.combinations(group, k):
        counts = Counter(read for read, _ in chosen)
        winner = max(counts, key=lambda read: (counts[read], -[r for r, _ in chosen].index(read)))
        expected.append(winner == "7")
    assert figures(samples([group]), ["accuracy"], [k])[f"maj@{k}"] == pytest.approx(
        sum(expected) / len(expected), abs=1e-6
    )


def test_of_too_many_choices_some_are_drawn_the_same_each_time():
    drawn = _choices(64, 8)
    assert drawn == _choices(64, 8)
    assert len(set(drawn)) == 200
    assert all(list(chosen) == sorted(set(chosen)) and len(chosen) == 8 for chosen in drawn)


def test_a_prompt_that_was_not_judged_is_left_out_and_counted():
    metrics = figures(samples([[("1", True), ("1", True)], [("2", None), ("2", False)]]), ["accuracy"])
    assert (metrics["accuracy"], metrics["accuracy_none"]) == (0.5, 1)
    assert (metrics["pass@2"], metrics["pass@2_none"]) == (1.0, 1)


def test_prompts_with_more_completions_count_no_more():
    metrics = figures(samples([[("1", True)], [("2", False), ("2", False), ("2", False)]]), ["accuracy"])
    assert metrics["accuracy"] == 0.5
    assert not any(name.startswith("pass") for name in metrics)


def test_categories_are_cut_across_prompts_too():
    made = samples([[("1", True), ("2", False)], [("1", True), ("2", False)]])
    table = figures(made, ["accuracy"], by="system", categories=["b", "a", "b", "a"])["by"]["system"]
    assert list(table) == ["a", "b"]
    assert [(row["n"], row["accuracy"]) for row in table.values()] == [(2, 0.0), (2, 1.0)]
    assert (table["b"]["accuracy_low"], table["b"]["accuracy_high"]) == pytest.approx(wilson(2, 2), abs=1e-6)


def test_answers_are_read_by_the_rules_of_the_reward_that_judges():
    text = "A: 18\nThat is 3 more."
    for rules, read in (("[phrase]", "18"), ("[number]", "3")):
        stack = RewardStack(spec.terms((f"correctness:rules={rules}",)))
        (row,) = judged([text], {"correctness": [1.0]}, [1.0], stack)
        assert (row["read"], row["readable"], row["correct"]) == (read, True, True)
    assert _rules(make("r", lambda completion, *, rules=("tag",): 0.0)) == ("tag",)


@pytest.mark.parametrize("text", ["no idea", "<answer></answer>", "<think>it is 5"])
def test_what_says_no_answer_is_not_readable(text):
    stack = RewardStack(spec.terms(("correctness",)))
    (row,) = judged([text], {"correctness": [0.0]}, [0.0], stack)
    assert (row["read"], row["readable"]) == (None, False)


def test_a_template_that_opens_the_thinking_is_seen():
    stack = RewardStack(spec.terms(("correctness",)), prefill="<think>")
    first, second = judged(["it is 5", "5?</think>6"], {"correctness": [0.0, 1.0]}, [0.0, 1.0], stack)
    assert (first["readable"], second["read"]) == (False, "6")
