import random

import pytest
from datasets import Dataset

from rlkit import plugins
from rlkit.recipe.data import DataSection
from rlkit.sources import load as load_rows
from rlkit.tasks import make

ROWS = [
    {"tokens": ["Ada", "Lovelace", "saw", "Paris"], "tags": ["B-PER", "I-PER", "O", "B-LOC"]},
    {"tokens": ["Nobody", "came"], "tags": ["O", "O"]},
    {"tokens": ["New", "York", ",", "New", "York"], "tags": ["B-LOC", "I-LOC", "O", "B-LOC", "I-LOC"]},
]


@pytest.fixture
def task():
    return make("token-classification").fit(Dataset.from_list(ROWS))


@pytest.fixture
def wnut(shared_data):
    rows = load_rows(DataSection(path=str(shared_data / "ner" / "wnut17_dev.conll")))
    task = make("token-classification")
    return task.fit(rows), [task.read({"tokens": row["tokens"], "tags": row["tags"]}) for row in rows]


def test_the_tags_are_those_of_the_data_and_whole(task):
    assert task.tags == ["O", "B-LOC", "B-PER", "I-LOC", "I-PER"]


def test_only_the_first_piece_of_a_word_is_learned(task, tiny_model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    examples = Dataset.from_list(ROWS)
    for labels in task.features(examples, tokenizer, training=True)["labels"]:
        assert sum(label != -100 for label in labels) in {len(row["tags"]) for row in ROWS}
    every = task.model_copy(update={"label_all_pieces": True}).features(examples, tokenizer, training=True)
    row = every[0]["labels"]
    assert -100 not in row
    assert task.tags[row[0]] == "B-PER"
    words = tokenizer(ROWS[0]["tokens"], is_split_into_words=True).word_ids()
    assert {task.tags[label] for label, word in zip(row, words, strict=True) if word == 1} == {"I-PER"}


def test_what_the_model_says_of_the_first_piece_is_the_words_tag(task, tiny_model):
    import numpy
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    examples = Dataset.from_list(ROWS)
    features = task.features(examples, tokenizer, training=False)
    longest = max(map(len, features["labels"]))
    outputs = numpy.zeros((len(ROWS), longest, len(task.tags)))
    for row, labels in enumerate(features["labels"]):
        for position, label in enumerate(labels):
            outputs[row, position, label if label >= 0 else -1] = 1.0  # other pieces say something else
    assert task.predict(outputs, features, examples, tokenizer) == [row["tags"] for row in ROWS]


def test_words_that_were_cut_off_are_no_entities(task, tiny_model):
    import numpy
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    short = task.model_copy(update={"max_length": 1})
    examples = Dataset.from_list(ROWS[:1])
    outputs = numpy.zeros((1, 1, len(task.tags)))
    outputs[0, 0, 1] = 1.0
    assert short.predict(outputs, None, examples, tokenizer) == [["B-LOC", "O", "O", "O"]]


def test_every_target_is_read_as_its_tags(task):
    for row in ROWS:
        assert task.parse(task.target(row), row) == row["tags"]
    assert task.target(ROWS[1]) == "none"
    assert task.target(ROWS[2]) == "LOC: New York"


def test_real_targets_are_read_back(wnut):
    task, examples = wnut
    read = [task.parse(task.target(example), example) for example in examples]
    assert None not in read
    found = task.measure(read, examples)
    assert found["recall"] > 0.97, "a name that is an entity once and a word another time is one name as text"
    assert found["precision"] > 0.97


def test_the_figures_are_seqevals(wnut):
    from seqeval.metrics import f1_score, precision_score, recall_score

    task, examples = wnut
    rng = random.Random(0)
    gold = [example["tags"] for example in examples]
    given = [[tag if rng.random() < 0.9 else rng.choice(task.tags) for tag in tags] for tags in gold]
    found = task.measure(given, examples)
    assert found["precision"] == precision_score(gold, given)
    assert found["recall"] == recall_score(gold, given)
    assert found["f1"] == f1_score(gold, given)


def test_the_reward_is_the_f1_of_names(task):
    columns = {name: [value] for name, value in task.columns(ROWS[0]).items()}
    said = {"completions": ["PER: Ada Lovelace\nLOC: Rome"], **columns}
    assert plugins.find(task.reward[0]).score(said) == [0.5]


def test_an_answer_that_is_no_list_cannot_be_read(task):
    assert task.parse("I see two people.", ROWS[0]) is None
    assert task.unread(ROWS[0]) == ["O"] * 4


def test_the_baseline_remembers_what_it_saw(task):
    name, predictions = task.baseline(ROWS[:1], [{"tokens": ["Paris", "and", "Ada", "Lovelace"], "tags": []}])
    assert name == "entities seen in training"
    assert predictions == [["B-LOC", "O", "B-PER", "I-PER"]]


@pytest.mark.parametrize(
    ("row", "said"),
    [({"tokens": [], "tags": []}, "without words"), ({"tokens": ["a"], "tags": []}, "differ in number")],
)
def test_rows_that_cannot_be_used_say_why(row, said):
    assert said in make("token-classification").read(row)
