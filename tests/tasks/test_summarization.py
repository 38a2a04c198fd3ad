import json
import random

import pytest

from rlkit import plugins
from rlkit.tasks.summarization import Summarization


@pytest.fixture(scope="module")
def papers(shared_data):
    task, lines = Summarization(), (shared_data / "summarization" / "scitldr_a_dev.jsonl").read_text().splitlines()
    return [task.read({"document": row["source"], "summary": row["target"]}) for row in map(json.loads, lines)]


def dataset(rows):
    from datasets import Dataset

    return Dataset.from_list(list(rows))


def written(papers, seed=0):
    """Summaries as models write them: a part of the paper, a summary with words lost, several lines, nothing."""
    draw = random.Random(seed)
    for row in papers:
        gold = draw.choice(row["summary"])
        words = [word for word in gold.split(" ") if draw.random() > 0.2]
        lines = row["document"].split(". ")
        yield draw.choice(
            [
                " ".join(words),
                "\n".join(draw.sample(lines, min(2, len(lines)))),
                lines[0],
                f"{gold}\n{lines[-1]}",
                "",
                "!",
            ]
        )


def test_the_figures_are_rouge_scores(papers):
    from rouge_score import rouge_scorer

    assert len(papers) > 600
    assert sum(len(row["summary"]) > 1 for row in papers) > 100
    given, kinds = list(written(papers)), ("rouge1", "rouge2", "rougeL", "rougeLsum")
    sums, each = dict.fromkeys(kinds, 0.0), []
    for text, row in zip(given, papers, strict=True):
        for kind in kinds:
            scorer = rouge_scorer.RougeScorer([kind], use_stemmer=True)
            best = max(scorer.score(target=gold, prediction=text)[kind].fmeasure for gold in row["summary"])
            sums[kind] += best
            if kind == "rougeLsum":
                each.append(best)
    task = Summarization()
    assert task.measure(given, papers) == {kind: total / len(papers) for kind, total in sums.items()}
    assert task.scores(given, papers) == each
    assert len({round(value, 3) for value in each}) > 100


def test_one_summarys_figure_is_its_reward(papers):
    task = Summarization()
    name, parameters = task.reward
    reward = plugins.find(name).configure(**parameters)
    for text, row in zip(written(papers, seed=1), papers[:150], strict=False):
        for completion in (text, f"<think>{row['document']}</think>{text}", f"So: <answer>{text}</answer>"):
            read = task.parse(completion, row)
            given = task.unread(row) if read is None else read
            want = task.scores([given], [row])[0]
            assert reward(completion=completion, **task.columns(row)) == pytest.approx(want, abs=1e-12)
    assert all(reward(completion=task.target(row), **task.columns(row)) == 1.0 for row in papers[:50])


def test_what_the_classic_pipeline_writes_has_a_sentence_a_line():
    """Else rougeLsum would take it for one long sentence."""

    class Tokenizer:
        pad_token_id = 0

        def batch_decode(self, ids, skip_special_tokens):
            assert ids == [[5, 6, 0]]
            return [" A dog ran. It saw a cat. "]

    task = Summarization()
    row = task.read({"document": "x", "summary": "It saw a cat and a dog ran."})
    given = task.predict([[5, 6, -100]], None, None, Tokenizer())
    assert given == ["A dog ran.\nIt saw a cat."]
    assert task.scores(given, [row]) == [pytest.approx(14 / 15)]
    assert task.scores(["A dog ran. It saw a cat."], [row]) == [pytest.approx(8 / 15)]


def test_features_hold_document_and_first_summary(papers):
    from rlkit import scratch
    from rlkit.recipe.model import TokenizerSection

    task = Summarization(prefix="summarize: ", max_source_length=60, max_target_length=40)
    tokenizer = scratch.make_tokenizer(TokenizerSection(vocab_size=400), [row["document"] for row in papers[:50]])
    features = task.features(dataset(papers[:60]), tokenizer, training=True)
    assert features.column_names == ["input_ids", "attention_mask", "labels"]
    for row, made in zip(papers, features, strict=False):
        assert f"summarize: {row['document']}".startswith(tokenizer.decode(made["input_ids"]))
        label = tokenizer.decode(made["labels"], skip_special_tokens=True)
        assert label and row["summary"][0].replace("\n", " ").startswith(label)
        assert made["labels"][-1] == tokenizer.eos_token_id
        assert len(made["labels"]) <= 40 and len(made["input_ids"]) <= 60


@pytest.mark.parametrize("shape", ["t5", "bart"])
def test_a_model_from_scratch_takes_a_step_and_writes(papers, shape):
    import torch

    from rlkit import scratch
    from rlkit.recipe.model import FromScratchSection, TokenizerSection

    rows = dataset([*papers[:3], papers[3] | {"summary": ["A cat."]}])
    task = Summarization(max_source_length=30, max_target_length=12)
    section = FromScratchSection(
        shape=shape, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=64,
        tokenizer=TokenizerSection(vocab_size=300),
    )  # fmt: skip
    tokenizer = scratch.make_tokenizer(section.tokenizer, [text for row in papers[:20] for text in task.texts(row)])
    model = scratch.make_model(section, tokenizer, seed=0, kind=task.head, **task.config())
    batch = task.collator(tokenizer, model)(list(task.features(rows, tokenizer, training=True)))
    assert (batch["labels"] == -100).any()
    before = model(**batch).loss
    before.backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert model(**batch).loss < before
    made = model.eval().generate(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    assert made.shape[1] <= 13
    given = task.predict(made.numpy(), None, rows, tokenizer)
    assert len(given) == 4 and all(isinstance(text, str) for text in given)
    assert set(task.measure(given, list(rows))) == {"rouge1", "rouge2", "rougeL", "rougeLsum"}


def test_the_face_as_text(papers):
    task, row = Summarization(), papers[0]
    assert task.prompt(row).endswith(f"one sentence a line.\n\nText: {row['document']}")
    assert task.columns(row) == {"answer": row["summary"]}
    assert task.parse("<think>Hm.</think>It works.\nWell.", row) == "It works.\nWell."
    assert task.parse("  ", row) is None
    assert task.measure([task.unread(row)], [row]) == dict.fromkeys(("rouge1", "rouge2", "rougeL", "rougeLsum"), 0.0)


def test_columns_and_rows_that_cannot_be_used():
    read = Summarization().read
    assert read({"document": ["A cat. ", "It sat."], "summary": "A cat sat. It purred."}) == {
        "document": "A cat.  It sat.",
        "summary": ["A cat sat.\nIt purred."],
    }
    assert read({"document": "A cat.", "summary": ["", "猫", "Cat."]})["summary"] == ["Cat."]
    assert read({"document": " ", "summary": "A cat."}) == "without a document"
    assert read({"document": "A cat.", "summary": None}) == "without a summary"
    assert read({"document": "A cat.", "summary": []}) == "without a summary"
    assert "letters a to z" in read({"document": "猫坐在垫子上", "summary": "猫"})


def test_the_baseline_is_the_first_sentences(papers):
    task = Summarization()
    name, given = task.baseline([], papers)
    assert name == "lead-3"
    assert all(0 < len(text.split("\n")) <= 3 for text in given)
    assert papers[0]["document"].startswith(given[0].replace("\n", " "))
    assert 0.1 < task.measure(given, papers)["rougeLsum"] < 0.5
    assert Summarization(lead=1).baseline([], papers)[0] == "lead-1"
