import itertools
import json
import random
import re
import string

import numpy as np
import pytest
from pydantic import ValidationError

from rlkit import plugins
from rlkit.errors import RequestError
from rlkit.tasks.question_answering import QuestionAnswering
from rlkit.tasks.sentences import sentences


def rows_of(folder):
    """The questions in the flat form of the hub's `squad`."""
    for file in sorted((folder / "qa").glob("*.json")):
        for document in json.loads(file.read_text())["data"]:
            for paragraph in document["paragraphs"]:
                for each in paragraph["qas"]:
                    answers = {key: [answer[key] for answer in each["answers"]] for key in ("text", "answer_start")}
                    yield {**{key: each[key] for key in ("id", "question")}, "context": paragraph["context"]} | {
                        "answers": answers
                    }


@pytest.fixture(scope="module")
def questions(shared_data):
    return [QuestionAnswering().read(row) for row in rows_of(shared_data)]


@pytest.fixture(scope="module")
def wordpieces(questions):
    """BERT's kind of tokenizer, trained on the contexts."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=2000, special_tokens=special, show_progress=False)
    made.train_from_iterator({row["context"] for row in questions}, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


@pytest.fixture(scope="module")
def pieces(questions):
    """A byte-level tokenizer without CLS or SEP, whose pieces run across spaces."""
    from rlkit import scratch
    from rlkit.recipe.model import TokenizerSection

    return scratch.make_tokenizer(TokenizerSection(vocab_size=700), [row["context"] for row in questions[::9]])


def dataset(rows):
    from datasets import Dataset

    return Dataset.from_list(list(rows))


def squad(given, golds, version):
    """Exact match and F1 by the definition (arXiv 1606.05250, section 6.1; 2.0: 1806.03822), words crossed off."""

    def bag(text):
        letters = [" " if letter.isspace() else letter for letter in text.lower()]
        tokens = "".join(letter for letter in letters if letter not in set(string.punctuation))
        return [w for w in re.split(r"\s+", re.sub(r"(?<!\w)(an?|the)(?!\w)", " ", tokens)) if w]

    def overlap(have, want):
        if version == 2 and not (have and want):
            return float(have == want)
        left, hits = list(want), 0
        for word in have:
            if word in left:
                left.remove(word)
                hits += 1
        precision, recall = hits / max(len(have), 1), hits / max(len(want), 1)
        return 2 * precision * recall / (precision + recall) if hits else 0.0

    bags = [bag(gold) for gold in golds]
    if version == 2:
        bags = [each for each in bags if each] or [[]]
    return max(float(bag(given) == each) for each in bags), max(overlap(bag(given), each) for each in bags)


def perturbed(rows, seed=0):
    """Something like what models say: right, cut, longer, dressed up, from elsewhere, nothing."""
    draw = random.Random(seed)
    for row in rows:
        gold, context = row["answers"]["text"][0], row["context"]
        at, words = context.find(gold), gold.split()
        yield draw.choice(
            [
                gold,
                gold.upper() + ".",
                f"the {gold}!",
                f"“{gold}”",
                " ".join(words[: max(1, len(words) // 2)]),
                " ".join(words + words[:1]),
                context[max(0, at - 25) : at + len(gold) + 10],
                f"It is {gold} - an answer, the only one",
                draw.choice(rows)["answers"]["text"][0],
                "the",
                "",
            ]
        )


def test_the_figures_are_squads(questions):
    assert len(questions) == 970
    given = list(perturbed(questions))
    want = [squad(text, row["answers"]["text"], 1) for text, row in zip(given, questions, strict=True)]
    task = QuestionAnswering()
    assert task.scores(given, questions) == pytest.approx([f1 for _, f1 in want], abs=1e-12)
    assert task.measure(given, questions) == {
        "exact_match": pytest.approx(sum(exact for exact, _ in want) / 970, abs=1e-12),
        "f1": pytest.approx(sum(f1 for _, f1 in want) / 970, abs=1e-12),
    }
    assert len({round(f1, 3) for _, f1 in want}) > 40


def test_several_answers_take_the_best():
    row = {"answers": {"text": ["Paris", "the city of Paris", "in Paris, France"], "answer_start": [0, 0, 0]}}
    assert QuestionAnswering().measure(["city of Paris"], [row]) == {"exact_match": 1.0, "f1": 1.0}
    assert QuestionAnswering().scores(["Paris in France"], [row]) == [1.0]
    assert QuestionAnswering().scores(["Paris Texas"], [row]) == [pytest.approx(2 / 3)]


def test_questions_without_an_answer_count_as_in_squad_2(questions):
    draw = random.Random(1)
    rows = [row if draw.random() < 0.6 else row | {"answers": {"text": [], "answer_start": []}} for row in questions]
    given = [text if draw.random() < 0.7 else "" for text in perturbed(questions)]
    want = [squad(text, row["answers"]["text"], 2) for text, row in zip(given, rows, strict=True)]
    figures = QuestionAnswering(no_answer=True).measure(given, rows)
    for kind, which in (("", None), ("_has_answer", True), ("_no_answer", False)):
        chosen = [w for w, row in zip(want, rows, strict=True) if which in (None, bool(row["answers"]["text"]))]
        for column, name in enumerate(("exact_match", "f1")):
            assert figures[name + kind] == pytest.approx(np.mean([each[column] for each in chosen]), abs=1e-12)
    assert 0.1 < figures["f1_no_answer"] < 0.9


def test_f1_is_the_reward_of_what_the_policy_says(questions):
    task, compared = QuestionAnswering(), 0
    name, parameters = task.reward
    reward = plugins.find(name).configure(**parameters)
    for text, row in zip(perturbed(questions, seed=2), questions, strict=True):
        for completion in (text, f"<think>Hm, {row['question']}</think>\n{text}", f"So: <answer>{text}</answer>."):
            read = task.parse(completion, row)
            given = task.unread(row) if read is None else read
            assert reward(completion=completion, **task.columns(row)) == pytest.approx(
                task.scores([given], [row])[0], abs=1e-12
            )
            compared += 1
    assert compared == 3 * 970


def test_no_answer_is_rewarded_as_it_is_measured():
    task = QuestionAnswering(no_answer=True)
    reward = plugins.find("token_f1").configure()
    none = task.read({"question": "Who?", "context": "It rained.", "answers": {"text": [], "answer_start": []}})
    some = task.read(
        {"question": "What?", "context": "It rained.", "answers": {"text": ["rained"], "answer_start": [3]}}
    )
    assert task.target(none) == "unanswerable"
    assert "unanswerable" in task.prompt(none)
    assert "unanswerable" not in QuestionAnswering().prompt(some)
    for row, completion, want in [
        (none, "Unanswerable.", 1.0),
        (none, "<think>?</think><answer>unanswerable</answer>", 1.0),
        (none, "rained", 0.0),
        (none, "", 0.0),
        (none, "<think>never done", 0.0),
        (some, "unanswerable", 0.0),
        (some, "It rained", 2 / 3),
    ]:
        read = task.parse(completion, row)
        given = task.unread(row) if read is None else read
        assert task.scores([given], [row]) == [pytest.approx(want)], completion
        assert reward(completion=completion, **task.columns(row)) == pytest.approx(want), completion


@pytest.mark.parametrize("tokenizer", ["wordpieces", "pieces"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_every_window_points_at_the_answer(questions, tokenizer, side, request):
    tokenizer = request.getfixturevalue(tokenizer)
    tokenizer.padding_side = side
    task, rows = QuestionAnswering(max_length=120, stride=40), questions[::3]
    train = task.features(dataset(rows), tokenizer, training=True)
    seen = task.features(dataset(rows), tokenizer, training=False)
    assert "example" not in train.column_names
    assert train["input_ids"] == seen["input_ids"]
    answered, missing, tight = set(), 0, 0
    for window, place in zip(train, seen, strict=True):
        row, offsets = rows[place["example"]], place["offsets"]
        at, gold = row["answers"]["answer_start"][0], row["answers"]["text"][0]
        first, last = window["start_positions"], window["end_positions"]
        assert len(window["input_ids"]) <= 120
        inside = [each for each in offsets if each]
        if offsets[first] is None or (first, last) == (0, 0):
            assert first == last == 0
            assert window["input_ids"][0] == tokenizer.cls_token_id or tokenizer.cls_token_id is None
            assert inside[0][0] > at or inside[-1][1] < at + len(gold)
            missing += 1
            continue
        answered.add(place["example"])
        assert offsets[first][0] <= at < offsets[first][1]
        assert offsets[last][0] < at + len(gold) <= offsets[last][1]
        said = row["context"][offsets[first][0] : offsets[last][1]].strip()
        assert gold in said
        tight += said == gold
    assert answered == set(range(len(rows)))
    assert missing > 50
    if tokenizer.cls_token:  # its pieces end where words do
        assert tight > 0.95 * (len(train) - missing)


def test_perfect_logits_read_as_the_answers_whatever_side_is_padded(questions, wordpieces):
    rows = questions[::20]
    for side in ("left", "right"):
        wordpieces.padding_side = side
        task = QuestionAnswering(max_length=100, stride=30)
        train, seen = (task.features(dataset(rows), wordpieces, training=on) for on in (True, False))
        batch = task.collator(wordpieces, None)(list(train))
        assert set(batch) == {"input_ids", "attention_mask", "start_positions", "end_positions"}
        width = batch["input_ids"].shape[1]
        logits = [np.eye(width)[batch[key].numpy()] for key in ("start_positions", "end_positions")]
        logits = [np.concatenate([each, np.full((len(each), 7), -100.0)], axis=1) for each in logits]  # as the Trainer
        given = task.predict(tuple(logits), seen, dataset(rows), wordpieces)
        assert task.measure(given, rows)["f1"] > 0.97
        eval_batch = task.collator(wordpieces, None)(list(seen))
        assert set(eval_batch) == {"input_ids", "attention_mask"}


def best_by_force(task, outputs, features, examples):
    """All spans of all windows, with nothing left out."""
    found = []
    for number, example in enumerate(examples):
        spans, null = [], []
        for window, starts, ends in zip(features, *outputs, strict=True):
            if window["example"] != number:
                continue
            null.append(starts[0] + ends[0])
            for s, e in itertools.product(range(len(window["offsets"])), repeat=2):
                a, b = window["offsets"][s], window["offsets"][e]
                if a and b and 0 <= e - s < task.max_answer_length:
                    spans.append((starts[s] + ends[e], example["context"][a[0] : b[1]]))
        score, text = max(spans)
        found.append("" if task.no_answer and min(null) - score > task.null_threshold else text)
    return found


@pytest.mark.parametrize("settings", [{}, {"no_answer": True}, {"no_answer": True, "null_threshold": 2.0}])
def test_n_best_is_the_best_of_all_spans(wordpieces, settings):
    draw = np.random.default_rng(0)
    task = QuestionAnswering(max_length=14, stride=3, n_best=14, max_answer_length=4, **settings)
    contexts = ["It rained in Paris, and then it rained no more in all of the city.", "The sun was in the sky."]
    given = {"question": "Where?", "answers": {"text": [], "answer_start": []}}
    rows = dataset([{**given, "context": text} for text in contexts])
    features, kinds = task.features(rows, wordpieces, training=False), set()
    assert len(features) == 4
    for _ in range(100):
        outputs = tuple(draw.normal(scale=2.0, size=(len(features), 16)) for _ in range(2))
        outputs[0][:, 0] += 3.5
        got = task.predict(outputs, features, rows, wordpieces)
        assert got == best_by_force(task, outputs, features, rows)
        kinds |= {bool(text) for text in got}
    assert kinds == ({True, False} if task.no_answer else {True})


def test_few_starts_and_ends_are_paired_with_a_small_n_best(wordpieces):
    task = QuestionAnswering(max_length=20, stride=0, n_best=1)
    rows = dataset([{"question": "Where?", "context": "one two six ten", "answers": {"text": [], "answer_start": []}}])
    features = task.features(rows, wordpieces, training=False)
    inside = [token for token, at in enumerate(features[0]["offsets"]) if at]
    starts, ends = np.zeros((1, 20)), np.zeros((1, 20))
    starts[0, inside[-1]] = ends[0, inside[0]] = 5.0  # the best start is after the best end: there is no span of both
    assert task.predict((starts, ends), features, rows, wordpieces) == [""]
    assert QuestionAnswering(max_length=20, stride=0).predict((starts, ends), features, rows, wordpieces) != [""]


def test_a_small_model_learns_where_answers_are(questions, wordpieces):
    import torch
    from transformers import BertConfig, BertForQuestionAnswering, set_seed

    set_seed(0)
    wordpieces.padding_side = "right"
    rows, task = questions[:4], QuestionAnswering(max_length=96, stride=16)
    config = BertConfig(
        vocab_size=len(wordpieces), hidden_size=64, num_hidden_layers=1, num_attention_heads=2, intermediate_size=128,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model, collate = BertForQuestionAnswering(config), task.collator(wordpieces, None)
    train, seen = (task.features(dataset(rows), wordpieces, training=on) for on in (True, False))
    batch, steps = collate(list(train)), torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(100):
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        steps.step()
        steps.zero_grad()
    with torch.no_grad():
        made = model.eval()(**collate(list(seen)))
    given = task.predict((made.start_logits.numpy(), made.end_logits.numpy()), seen, dataset(rows), wordpieces)
    assert task.measure(given, rows)["f1"] > 0.9


def test_a_long_question_leaves_room_for_the_context(wordpieces):
    task = QuestionAnswering(max_length=40, stride=10)
    row = {
        "question": "why " * 300,
        "context": "It rained in Paris.",
        "answers": {"text": ["Paris"], "answer_start": [13]},
    }
    seen = task.features(dataset([task.read(row)]), wordpieces, training=False)
    assert "".join(row["context"][slice(*at)] for at in seen[-1]["offsets"] if at).endswith("Paris.")
    assert max(map(len, seen["input_ids"])) <= 40
    with pytest.raises(RequestError, match="set stride below 20"):
        QuestionAnswering(max_length=40, stride=36).features(dataset([task.read(row)]), wordpieces, training=True)
    with pytest.raises(ValidationError, match="stride 40 leaves no new token"):
        QuestionAnswering(max_length=40, stride=40)


def test_answers_without_a_place_are_for_the_face_as_text(wordpieces):
    task = QuestionAnswering(stride=10, max_length=40)
    row = task.read({"question": " Where? ", "context": "It rained in Paris.", "answer": "Paris"})
    assert row["question"] == "Where?"
    assert (task.target(row), task.columns(row)) == ("Paris", {"answer": ["Paris"]})
    assert task.prompt(row).endswith("\n\nText: It rained in Paris.\n\nQuestion: Where?")
    with pytest.raises(RequestError, match="where an answer stands"):
        task.features(dataset([row]), wordpieces, training=True)
    assert len(task.features(dataset([row]), wordpieces, training=False)) == 1


WHERE = {"question": "Where?", "context": "It rained in Paris."}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({**WHERE, "answers": {"text": [], "answer_start": []}}, "without an answer"),
        ({**WHERE, "answers": {"text": ["  "], "answer_start": [2]}}, "does not stand"),
        ({**WHERE, "answers": None, "answer": ""}, "without an answer"),
        (WHERE, "without a column"),
        ({**WHERE, "question": " ", "answer": "Paris"}, "without a question"),
        ({**WHERE, "context": None, "answer": "Paris"}, "without a context"),
        ({**WHERE, "answers": {"text": ["Paris"], "answer_start": [12]}}, "does not stand"),
        ({**WHERE, "answers": {"text": ["Paris"], "answer_start": [12, 13]}}, "differ in number"),
        ({**WHERE, "answers": "Paris"}, "are no"),
    ],
)
def test_rows_that_cannot_be_used_say_why(row, why):
    assert why in QuestionAnswering().read(row)


def test_blanks_around_an_answer_are_no_part_of_it():
    row = QuestionAnswering().read({**WHERE, "id": 7, "answers": {"text": [" Paris"], "answer_start": [12]}})
    assert row["answers"] == {"text": ["Paris"], "answer_start": [13]}
    assert row["id"] == "7"


def test_the_baselines(questions):
    task = QuestionAnswering()
    name, given = task.baseline([], questions)
    assert name == "sentence nearest the question"
    assert all(text in sentences(row["context"]) for text, row in zip(given, questions, strict=True))
    assert 0.05 < task.measure(given, questions)["f1"] < 0.4
    assert QuestionAnswering(no_answer=True).baseline([], questions[:2]) == ("never an answer", ["", ""])


def test_where_sentences_end():
    text = 'Dr. J. Smith et al. We left. He said "No." Then 3.5 of them (e.g. Ann) came! Was it so? yes.\nA new line'
    assert sentences(text) == [
        "Dr. J. Smith et al. We left.",
        'He said "No."',
        "Then 3.5 of them (e.g. Ann) came!",
        "Was it so? yes.",
        "A new line",
    ]
