import pytest
from datasets import Dataset

from rlkit import policy
from rlkit.evaluation import measure
from rlkit.function import make
from rlkit.intervals import wilson
from rlkit.recipe.evaluation import EvalSection
from rlkit.recipe.generation import GenerationSection
from rlkit.recipe.model import ModelSection
from rlkit.recipe.recipe import Recipe
from rlkit.scoring import RewardStack


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


def test_the_majority_answer_is_judged():
    from rlkit.answers import extract
    from rlkit.evaluation import _of_groups

    texts = ["A: 3", "A: 4", "A: 3.0", "so?", "A: 5", "A: 6", "A: 6", "A: 6"]
    hits = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    metrics = _of_groups(hits, [extract(text) for text in texts], 4)
    assert (metrics["maj@4"], metrics["pass@4"]) == (0.5, 1.0)


def test_no_measure_of_accuracy_without_a_reward_that_says_it(tiny, stage):
    metrics, _ = measure(tiny, ROWS, RewardStack(STACK[1:]), stage)
    assert "accuracy" not in metrics
    stage.eval = EvalSection(accuracy="size")
    assert measure(tiny, ROWS, RewardStack(STACK[1:]), stage).metrics["accuracy"] == 1.0
