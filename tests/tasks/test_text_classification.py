import json
import random

import pytest
from datasets import Dataset

from rlkit import plugins
from rlkit.tasks import make

ROWS = [
    {"text": "where is my card", "label": "card arrival"},
    {"text": "the film is dull", "label": "bad"},
    {"text": "a joy", "label": "good"},
    {"text": "a great joy", "label": "good"},
]
SEVERAL = [{"text": "goals and votes", "label": ["politics", "sports"]}, {"text": "a vase", "label": []}]


def fitted(rows=ROWS, **parameters):
    task = make({"text-classification": parameters})
    examples = Dataset.from_list([task.read(row) for row in rows])
    return task.fit(examples), examples


def reward(task, text, example):
    name, parameters = task.reward
    columns = {name: [value] for name, value in task.columns(example).items()}
    return plugins.find(name).configure(parameters.get("name")).score({"completions": [text], **columns})[0]


def test_the_labels_are_those_of_the_training_data():
    task, _ = fitted()
    assert task.labels == ["bad", "card arrival", "good"]
    assert task.config()["id2label"] == {0: "bad", 1: "card arrival", 2: "good"}
    assert make({"text-classification": {"labels": ["x", "y"]}}).fit(None).labels == ["x", "y"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "a", "label": ["x"]}, "list of labels"),
        ({"text": "a", "label": " "}, "without a label"),
    ],
)
def test_rows_that_cannot_be_used_say_why(row, said):
    assert said in make("text-classification").read(row)


@pytest.mark.parametrize(("rows", "parameters"), [(ROWS, {}), (SEVERAL, {"multi_label": True})])
def test_every_target_is_read_as_its_label(rows, parameters):
    task, examples = fitted(rows, **parameters)
    for example in examples:
        assert task.parse(f"<answer>{task.target(example)}</answer>", example) == example["label"]
        assert example["text"] in task.prompt(example)
        assert all(label in task.prompt(example) for label in task.labels)


def test_the_figures_are_scikit_learns(shared_data):
    import csv

    from sklearn import metrics

    rows = list(csv.DictReader((shared_data / "classification" / "banking77_train.csv").open()))[::20]
    task, examples = fitted([{"text": row["text"], "label": row["category"]} for row in rows])
    gold = list(examples["label"])
    rng = random.Random(0)
    given = [label if rng.random() < 0.6 else rng.choice(task.labels) for label in gold]
    found = task.measure(given, list(examples))
    assert found["accuracy"] == metrics.accuracy_score(gold, given)
    assert found["f1_macro"] == metrics.f1_score(gold, given, average="macro", zero_division=0)
    assert found["f1_micro"] == metrics.f1_score(gold, given, average="micro", zero_division=0)
    assert found["mcc"] == metrics.matthews_corrcoef(gold, given)


def test_several_labels_are_right_where_the_whole_set_is():
    task, examples = fitted(SEVERAL, multi_label=True)
    found = task.measure([["sports", "politics"], ["sports"]], list(examples))
    assert found["accuracy"] == 0.5
    assert found["f1_micro"] == pytest.approx(2 * 2 / (3 + 2))


@pytest.mark.parametrize(("rows", "parameters"), [(ROWS, {}), (SEVERAL, {"multi_label": True})])
def test_the_score_of_a_sample_is_the_reward(rows, parameters):
    task, examples = fitted(rows, **parameters)
    said = [
        *(task.target(example) for example in examples),
        "no idea",
        "",
        *task.labels,
        ", ".join(task.labels),
        "none",
    ]
    for text in said:
        for example in examples:
            read = task.parse(text, example)
            taken = task.unread(example) if read is None else read
            score = task.scores([taken], [example])[0] if read is not None else 0.0
            assert reward(task, text, example) == score, (text, json.dumps(example))


def test_an_answer_that_cannot_be_read_is_wrong():
    task, examples = fitted()
    assert task.scores([task.unread(e) for e in examples], list(examples)) == [0.0] * len(examples)


def test_pairs_are_encoded_as_pairs(tiny_model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    rows = [{"text": "a cat", "pair": "an animal", "label": "yes"}, {"text": "a cat", "pair": "a dog", "label": "no"}]
    task, examples = fitted(rows)
    made = task.features(examples, tokenizer, training=True)
    assert made["labels"] == [1, 0]
    assert made["input_ids"][0] == tokenizer("a cat", "an animal")["input_ids"]
    assert "Second text: a dog" in task.prompt(examples[1])


def test_the_baseline_is_the_commonest_label():
    task, examples = fitted()
    name, predictions = task.baseline(list(examples), list(examples))
    assert name == "majority class"
    assert task.measure(predictions, list(examples))["accuracy"] == 0.5
