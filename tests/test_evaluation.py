import itertools
import json

import pytest
from datasets import Dataset

from rlkit import policy
from rlkit.errors import RequestError
from rlkit.evaluation import measure
from rlkit.function import make
from rlkit.intervals import wilson
from rlkit.pipeline import outcome
from rlkit.recipe.evaluation import EvalSection
from rlkit.recipe.generation import GenerationSection
from rlkit.recipe.model import ModelSection
from rlkit.recipe.recipe import Recipe
from rlkit.scoring import RewardStack
from rlkit.side_by_side import same_rows


@pytest.fixture(scope="module")
def tiny(tiny_model):
    return policy.load(ModelSection(path=str(tiny_model)), train=False)


@pytest.fixture
def stage():
    made = Recipe.model_validate({"rewards": ["x"], "stages": ["eval"]}).resolved()[0]
    made.generation = GenerationSection(max_completion_length=4)
    return made


ROWS = Dataset.from_list([{"prompt": [{"role": "user", "content": str(n)}], "answer": str(n)} for n in range(8)])


def correctness(completion, answer):
    return None if answer == "7" else float(int(answer) % 3 == 0)


def size(completion_ids):
    return [float(len(ids)) for ids in completion_ids]


STACK = [(make("correctness", correctness), 2.0), (make("size", size), 0.5)]


def test_every_figure_has_its_interval_and_n(tiny, stage):
    metrics, samples = measure(tiny, ROWS, RewardStack(STACK), stage)
    assert metrics["n"] == 8
    assert metrics["accuracy"] == pytest.approx(3 / 7, abs=1e-6)
    assert (metrics["accuracy_low"], metrics["accuracy_high"]) == pytest.approx(wilson(3, 7), abs=1e-6)
    assert metrics["accuracy_none"] == metrics["correctness_none"] == 1
    lengths = [sample["tokens"] for sample in samples]
    assert metrics["size"] == metrics["mean_length"] == pytest.approx(sum(lengths) / 8)
    assert metrics["size_low"] <= metrics["size"] <= metrics["size_high"]
    assert 0 <= metrics["clipped"] <= 1
    assert [sample["answer"] for sample in samples] == [str(n) for n in range(8)]
    first = samples[0]
    assert first["reward"] == pytest.approx(2.0 * first["rewards"]["correctness"] + 0.5 * first["rewards"]["size"])


def test_samples_of_a_prompt_are_measured_together(tiny, stage):
    stage.eval = EvalSection(samples=4)

    def sometimes(completion, completion_ids):
        return float(sum(completion_ids) % 2 == 0)

    stack = RewardStack([(make("accuracy", sometimes), 1.0)])
    metrics, samples = measure(tiny, ROWS, stack, stage, seed=1)
    hits = [sample["rewards"]["accuracy"] for sample in samples]
    groups = [hits[i : i + 4] for i in range(0, 32, 4)]
    assert 0 < sum(hits) < 32
    assert metrics["accuracy"] == pytest.approx(sum(hits) / 32)
    assert metrics["pass@4"] == pytest.approx(sum(map(any, groups)) / 8)
    assert metrics["n"] == 8
    assert metrics == measure(tiny, ROWS, stack, stage, seed=1).metrics


def test_several_k_are_estimated_from_the_same_samples(tiny, stage):
    stage.eval = EvalSection(samples=4, k=[1, 2, 4])

    def sometimes(completion, completion_ids):
        return float(sum(completion_ids) % 2 == 0)

    metrics, samples = measure(tiny, ROWS, RewardStack([(make("accuracy", sometimes), 1.0)]), stage, seed=1)
    groups = [[sample["correct"] for sample in samples[i : i + 4]] for i in range(0, 32, 4)]
    pairs = [sum(any(pair) for pair in itertools.combinations(group, 2)) / 6 for group in groups]
    assert metrics["pass@1"] == metrics["accuracy"] == pytest.approx(sum(map(sum, groups)) / 32)
    assert metrics["pass@2"] == pytest.approx(sum(pairs) / 8, abs=1e-6)
    assert metrics["pass@4"] == pytest.approx(sum(map(any, groups)) / 8)
    assert metrics["pass@2_low"] <= metrics["pass@2"] <= metrics["pass@2_high"]
    assert "maj@1" not in metrics


def test_each_value_of_a_column_has_its_line(tiny, stage):
    stage.eval = EvalSection(by="level")
    rows = ROWS.add_column("level", [10, 9, 10, 9, 10, 9, 10, 9])
    metrics, samples = measure(tiny, rows, RewardStack(STACK), stage)
    table = metrics["by"]["level"]
    assert list(table) == ["9", "10"]
    assert (table["10"]["n"], table["10"]["accuracy"]) == (4, 0.5)  # 0 and 6 of 0, 2, 4, 6
    assert (table["10"]["accuracy_low"], table["10"]["accuracy_high"]) == pytest.approx(wilson(2, 4), abs=1e-6)
    assert (table["9"]["accuracy"], table["9"]["accuracy_none"]) == (pytest.approx(1 / 3, abs=1e-6), 1)  # 3 of 1, 3, 5
    assert samples[0]["level"] == 10
    said = outcome(metrics)
    assert any(line.startswith("accuracy 0.429 [") for line in said)
    assert not any(line.startswith("by ") for line in said)
    json.dumps(metrics)


@pytest.mark.parametrize(
    ("asked", "said"),
    [({"samples": 2, "k": [1, 4]}, "set eval.samples=4"), ({"by": "answr"}, "did you mean 'answer'")],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_generated(stage, asked, said):
    stage.eval = EvalSection(**asked)
    with pytest.raises(RequestError, match=said):
        measure(None, ROWS, RewardStack(STACK), stage)


def test_samples_tell_what_was_read_and_where_they_were_cut_off(tiny, stage):
    metrics, samples = measure(tiny, ROWS, RewardStack(STACK), stage)
    assert all(sample["readable"] is None for sample in samples)  # no reward of these reads answers
    assert "unreadable" not in metrics
    assert metrics["clipped"] == sum(sample["clipped"] for sample in samples) / 8
    assert samples[7]["correct"] is None
    assert [sample["group"] for sample in samples] == list(range(8))


def test_models_whose_rows_differ_are_not_compared():
    fewer = ROWS.select(range(7))
    with pytest.raises(RequestError, match="max_prompt_length"):
        same_rows(["a", "b"], [ROWS, fewer])
    plain = ROWS.map(lambda row: {"prompt": row["prompt"][0]["content"]}, remove_columns=["prompt"])
    same_rows(["a", "b"], [ROWS, plain])  # of the same rows, each in its own template


def test_no_measure_of_accuracy_without_a_reward_that_says_it(tiny, stage):
    metrics, _ = measure(tiny, ROWS, RewardStack(STACK[1:]), stage)
    assert "accuracy" not in metrics
    stage.eval = EvalSection(accuracy="size")
    assert measure(tiny, ROWS, RewardStack(STACK[1:]), stage).metrics["accuracy"] == 1.0
