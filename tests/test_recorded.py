"""Recorded completions: which prompt each row is of, and which rows of two files go together."""

import json

import pytest

from rlkit import recorded
from rlkit.errors import RequestError
from rlkit.recipe import spec
from rlkit.scoring import RewardStack


@pytest.fixture
def write(tmp_path):
    def write(name, rows):
        file = tmp_path / name
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return recorded.read(file)

    return write


def stack(*rewards):
    return RewardStack(spec.terms(rewards or ("correctness",)), max_error_rate=1.0)


def row(prompt, completion, answer, **more):
    return {"prompt": prompt, "completion": completion, "answer": answer, **more}


def test_prompts_with_several_completions(write):
    file = write("a.jsonl", [row("q", "A: 1", "1"), row("r", "A: 2", "3"), row("q", "A: 2", "1"), row("r", "?", "3")])
    metrics, samples = recorded.measure(file, stack())
    assert (metrics["n"], metrics["completions"]) == (2, 4)
    assert (metrics["accuracy"], metrics["pass@2"], metrics["maj@2"]) == (0.25, 0.5, 0.5)
    assert metrics["unreadable"] == 0.25
    assert [sample["group"] for sample in samples] == [0, 1, 0, 1]
    assert [sample["readable"] for sample in samples] == [True, True, True, False]


def test_the_same_prompt_with_another_answer_is_another_one(write):
    file = write("a.jsonl", [row("Find x.", "A: 1", "1"), row("Find x.", "A: 2", "2")])
    assert recorded.measure(file, stack()).metrics["n"] == 2


def test_prompts_may_be_messages_and_completions_too(write):
    chat = [{"role": "user", "content": "1+1"}]
    said = [[{"role": "assistant", "content": f"A: {n}"}] for n in (2, 3)]
    metrics, samples = recorded.measure(write("a.jsonl", [row(chat, each, "2") for each in said]), stack())
    assert (metrics["n"], metrics["pass@2"]) == (1, 1.0)
    assert samples[1]["completion"] == "A: 3"


def test_more_than_a_prompt_has_is_refused(write):
    file = write("a.jsonl", [row("q", "A: 1", "1")] * 3 + [row("r", "A: 1", "1")] * 2)
    assert recorded.measure(file, stack()).metrics["pass@2"] == 1.0  # of the 2 that all have
    with pytest.raises(RequestError, match=r"1 of 2 prompts .* have fewer, one of them 2: k is at most 2"):
        recorded.measure(file, stack(), ks=[1, 3])


def test_what_eval_wrote_is_measured_again(write):
    rows = [row("q", "A: 1", "1", clipped=False, tokens=4), row("r", "A: 1", "1", clipped=True, tokens=8)]
    metrics = recorded.measure(write("a.jsonl", rows), stack()).metrics
    assert (metrics["clipped"], metrics["mean_length"]) == (0.5, 6.0)


def test_a_reward_that_fails_is_told_apart_from_one_that_does_not_apply(write, monkeypatch):
    from rlkit.function import make

    def shaky(completion, answer):
        if completion == "A: 2":
            raise ValueError("no")
        return None if answer == "3" else 1.0

    failing = RewardStack([(make("shaky", shaky), 1.0)], max_error_rate=1.0)
    rows = [row("q", "A: 1", "1"), row("r", "A: 2", "2"), row("s", "A: 3", "3")]
    metrics = recorded.measure(write("a.jsonl", rows), failing).metrics
    assert (metrics["shaky_none"], metrics["reward_errors"]) == (2, {"shaky": 1})


ROWS = [row("q", "A: 1", "1"), row("r", "A: 2", "2"), row("s", "A: 3", "3")]


def test_rows_are_matched_by_prompt_wherever_they_stand(write):
    other = [row("s", "A: 0", "3"), row("x", "A: 9", "9"), row("q", "A: 1", "1")]
    found = recorded.match(write("a.jsonl", ROWS), write("b.jsonl", other))
    assert (found.by, found.left_out) == ("prompt", (1, 1))
    assert [[r["prompt"] for r in file.rows] for file in (found.one, found.other)] == [["q", "s"], ["q", "s"]]
    assert found.groups == ([0, 1], [0, 1])


def test_prompts_of_two_templates_are_matched_by_question(write):
    one = [{**r, "question": r["prompt"], "prompt": f"User: {r['prompt']}"} for r in ROWS]
    other = [{**r, "question": r["prompt"], "prompt": f"<s>{r['prompt']}"} for r in reversed(ROWS)]
    found = recorded.match(write("a.jsonl", one), write("b.jsonl", other))
    assert found.by == "question"
    assert [r["question"] for r in found.other.rows] == ["q", "r", "s"]


def test_rows_that_name_no_prompt_are_matched_by_order(write):
    one, other = ([{k: v for k, v in r.items() if k != "prompt"} for r in ROWS] for _ in range(2))
    assert recorded.match(write("a.jsonl", one), write("b.jsonl", other)).by == "order"
    with pytest.raises(RequestError, match=r"number 1 has\s+the answer '1' in one and '3' in the other"):
        recorded.match(write("a.jsonl", one), write("c.jsonl", other[::-1]))
    with pytest.raises(RequestError, match="3 and 2 prompts"):
        recorded.match(write("a.jsonl", one), write("d.jsonl", other[:2]))
