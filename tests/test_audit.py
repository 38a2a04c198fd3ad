"""Rewards that can be fooled in ways that the field knows are found out, and an honest one passes."""

import random
import time

import pytest

from rlkit import plugins
from rlkit.audit import audit
from rlkit.errors import RequestError
from rlkit.function import make

GOLD = [("<answer>42</answer>", {"answer": "42"}, 1.0), ("<answer>41</answer>", {"answer": "42"}, 0.0)]


def kinds(function, gold=GOLD, **settings):
    return {strike.attack.kind for strike in audit(make("made", function, gold, **settings)).beaten}


def test_an_honest_reward_passes():
    made = audit(plugins.find("correctness"))
    assert made.beaten == made.errors == made.random == made.dependent == []
    assert made.gold >= 1.0
    assert len(made.strikes) > 100
    assert made.best.score < made.best.gold


def test_a_reward_that_looks_for_the_answer_anywhere_takes_several_answers():
    assert "several answers" in kinds(lambda completion, answer: float(answer in completion))


def test_a_reward_that_pays_for_anything_pays_for_nothing():
    assert {"empty", "tags only", "spam", "huge"} <= kinds(lambda completion, answer: 1.0)


def test_open_r1s_format_takes_tags_with_nothing_in_them():
    import re

    def hollow(completion, answer):
        return float(bool(re.match(r"^<think>.*?</think>\s*<answer>.*?</answer>", completion, re.DOTALL)))

    gold = [("<think>a</think><answer>4</answer>", {"answer": "4"}, 1.0)]
    assert "tags only" in kinds(hollow, gold)


def test_a_reward_that_looks_at_the_completion_alone_is_beaten_by_what_scores_higher():
    gold = [("one two three", {}, 3.0)]
    assert "huge" in kinds(lambda completion: float(len(completion.split())), gold)
    assert kinds(lambda completion: min(3.0, len(completion.split())), gold) == set()


def test_exceptions_chance_and_the_batch_are_told():
    def raises(completion, answer):
        return float(int(completion) == int(answer))

    made = audit(make("raises", raises, [("42", {"answer": "42"}, 1.0)]))
    assert any("ValueError" in error for _, error in made.errors)
    chance = audit(make("chance", lambda completion: random.random(), [("a", {}, 1.0)]))
    assert chance.random

    def relative(completions):
        longest = max(map(len, completions)) or 1
        return [len(completion) / longest for completion in completions]

    assert audit(make("relative", relative, [("a", {}, 1.0)])).dependent


def test_a_reward_that_hangs_is_told_by_its_time():
    def slow(completion):
        while "1e400" in completion:
            pass
        return 0.0

    start = time.monotonic()
    made = audit(make("slow", slow, [("a", {}, 0.0)], timeout=0.3))
    assert made.timeouts == 1
    assert made.slowest[0].completion == "<answer>1e400</answer>"
    assert time.monotonic() - start < 10


def test_parameters_that_nobody_sets_are_asked_for():
    def limited(completion, *, limit: int):
        return float(len(completion) < limit)

    with pytest.raises(RequestError, match="rlkit audit limited:limit=VALUE"):
        audit(make("limited", limited))
    assert audit(make("limited", limited).configure(limit=3)).gold is None


def test_an_answer_with_a_default_or_in_any_columns_is_held_against_too():
    def defaulted(completion, answer=""):
        return float(answer in completion)

    def any_column(completions, **columns):
        return [float(answer in text) for text, answer in zip(completions, columns["answer"], strict=True)]

    assert "several answers" in kinds(defaulted)
    assert "several answers" in kinds(any_column)


@pytest.mark.parametrize(
    ("gold", "said"),
    [([("a", {"answer": "a"}, 1.0)], "not 1.0"), ([], "raised on every attack")],
)
def test_a_reward_of_which_nothing_was_proven_does_not_pass(gold, said):
    def never(completion, answer):
        return 0.0

    made = audit(make("never", never, gold))
    assert said in made.broken
