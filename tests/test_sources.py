import gzip
import json

import pytest

from rlkit import sources
from rlkit.errors import RequestError
from rlkit.recipe.data import DataSection

ROWS = [{"question": "1+1?", "answer": "2"}, {"question": "2+2?", "answer": "4"}]


def rows(path, **fields):
    return sources.load(DataSection(path=str(path), **fields)).to_list()


def write(folder, kind):
    from datasets import Dataset

    dataset, path = Dataset.from_list(ROWS), folder / f"data.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif kind == "jsonl.gz":
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode()))
    elif kind == "json":
        path.write_text(json.dumps(ROWS))
    elif kind in ("csv", "tsv"):
        mark = "," if kind == "csv" else "\t"
        path.write_text("\n".join(mark.join(row) for row in [("question", "answer"), *(r.values() for r in ROWS)]))
    elif kind == "parquet":
        dataset.to_parquet(path)
    elif kind == "arrow":
        dataset.save_to_disk(folder / "saved")
        (folder / "saved").joinpath("data-00000-of-00001.arrow").rename(path)
    elif kind == "saved":
        path = folder / "saved"
        dataset.save_to_disk(path)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "json", "csv", "tsv", "parquet", "arrow", "saved"])
def test_every_local_format_gives_the_same_rows(tmp_path, kind):
    found = [{key: str(value) for key, value in row.items()} for row in rows(write(tmp_path, kind))]
    assert found == ROWS


def test_a_slice_of_a_split(tmp_path):
    assert rows(write(tmp_path, "jsonl"), split="train[:1]") == ROWS[:1]
    assert rows(write(tmp_path, "saved"), split="train[1:]") == ROWS[1:]
    assert rows(tmp_path / "saved", split="train[:50%]") == ROWS[:1]
    assert rows(tmp_path / "saved", split="train[1:]+train[:1]") == ROWS[::-1]


def test_a_folder_of_files_has_splits(tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps({"split": split}) + "\n")
    assert rows(tmp_path, split="test") == [{"split": "test"}]


def test_a_generator_by_dotted_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made_here.py").write_text("def make(n=1):\n    for i in range(n):\n        yield {'i': i}\n")
    assert rows("made_here:make", args={"n": 3}) == [{"i": 0}, {"i": 1}, {"i": 2}]
    assert rows("made_here.make", args={"n": 3}, split="train[1:]") == [{"i": 1}, {"i": 2}]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"path": "absent.jsonl"}, "no such file or folder"),
        ({"path": "./absent"}, "no such file or folder"),
        ({"path": "data.jsonl", "split": "tset"}, "no split 'tset'"),
        ({"path": "notes.doc"}, "the name should end in .jsonl, .*, .txt, .conll, .iob2, .bio$"),
        ({"path": "rows.conll", "split": "test"}, "rows.conll: no split 'test': a single file has the split train"),
        ({"path": "rows.conll", "split": "train[3]"}, "write train, or a slice of rows as train"),
        ({"path": "no_tag.conll"}, "no_tag.conll: line 4: no tag after the token, a tab between them: 'stray'"),
        ({"path": "squad.json"}, r"squad.json: data\[0\].paragraphs\[0\].qas\[0\] has no 'question'"),
        ({"path": "empty.jsonl"}, "empty"),
        ({"path": "broken.jsonl"}, "broken.jsonl"),
        ({"path": "no_such_module:make"}, "there is no module 'no_such_module'"),
        ({"path": "rlkit.recipes.addition:problemz"}, "did you mean 'problems'"),
        ({"path": "rlkit.recipes.addition:problems", "args": {"m": 1}}, "the generator failed: TypeError"),
        ({"path": "rlkit.recipes.addition:problems", "split": "test"}, "a generator has no split 'test'"),
        ({"path": "nobody/nothing"}, "the model hub cannot be reached"),
        ({"path": "data.jsonl", "args": {"n": 1}}, "data.args are for a generator"),
    ],
)
def test_what_cannot_be_loaded_is_told(tmp_path, monkeypatch, fields, said):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "jsonl")
    (tmp_path / "notes.doc").write_text("hello")
    (tmp_path / "rows.conll").write_text("Paris\tB-loc\n")
    (tmp_path / "no_tag.conll").write_text("Paris\tB-loc\n\nis\tO\nstray\n")
    (tmp_path / "squad.json").write_text(
        json.dumps({"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "1"}]}]}]})
    )
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "broken.jsonl").write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(RequestError, match=said):
        sources.load(DataSection(**fields))


def test_columns_without_a_hub_are_unknown():
    assert sources.columns(DataSection(path="nobody/nothing")) is None
    assert sources.columns(DataSection(path="rlkit.recipes.addition:problems", args={"n": 1})) == ["question", "answer"]


def test_odd_files_and_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a[1].jsonl").write_text('{"x": 1}\n')
    assert rows("a[1].jsonl") == [{"x": 1}]
    (tmp_path / "odd_rows.py").write_text(
        "def late():\n    yield {'a': 1}\n    yield {'b': 2}\n\ndef wrong():\n    yield 3\n"
    )
    assert rows("odd_rows:late") == [{"a": 1, "b": None}, {"a": None, "b": 2}]
    with pytest.raises(RequestError, match="the generator failed"):
        rows("odd_rows:wrong")
    with pytest.raises(RequestError, match="no such file, and"):
        rows("train.doc")
    with pytest.raises(RequestError, match="no such file or folder"):
        rows("train.txt")


def test_a_saved_dictionary_of_splits(tmp_path):
    from datasets import Dataset, DatasetDict

    DatasetDict(train=Dataset.from_list(ROWS), test=Dataset.from_list(ROWS[:1])).save_to_disk(tmp_path / "both")
    assert rows(tmp_path / "both", split="test") == ROWS[:1]
    assert rows(tmp_path / "both", split="train[:1]") == ROWS[:1]
    with pytest.raises(RequestError, match="unknown split 'tset'; did you mean 'test'"):
        rows(tmp_path / "both", split="tset")


def test_a_text_file_has_a_row_a_line(tmp_path):
    (tmp_path / "lines.txt").write_text("one\n\nthree, and more\n")
    assert rows(tmp_path / "lines.txt") == [{"text": "one"}, {"text": ""}, {"text": "three, and more"}]
    assert rows(tmp_path / "lines.txt", split="train[2:]") == [{"text": "three, and more"}]


def test_formats_of_their_own_are_read_as_any_other(tmp_path):
    (tmp_path / "rows.bio.gz").write_bytes(gzip.compress(b"Paris B-loc\n. O\n\nHm O\n"))
    section = DataSection(path=str(tmp_path / "rows.bio.gz"), split="train[:50%]")
    assert sources.columns(section) == ["tokens", "tags"]
    assert sources.load(section).to_list() == [{"tokens": ["Paris", "."], "tags": ["B-loc", "O"]}]
    (tmp_path / "empty.conll").write_text("-DOCSTART- O\n\n")
    with pytest.raises(RequestError, match="is empty"):
        rows(tmp_path / "empty.conll")


def test_squad_without_any_answer_keeps_the_types_of_the_columns(tmp_path):
    qas = [{"id": 7, "question": "Who?", "answers": [], "is_impossible": True, "plausible_answers": [{"text": "x"}]}]
    (tmp_path / "q.json").write_text(json.dumps({"data": [{"paragraphs": [{"context": "c", "qas": qas}]}]}))
    found = sources.load(DataSection(path=str(tmp_path / "q.json")))
    answers = {"text": [], "answer_start": []}
    assert found.to_list() == [{"id": "7", "title": "", "context": "c", "question": "Who?", "answers": answers}]
    assert found.features["answers"]["answer_start"].feature.dtype == "int32"


def test_real_files_of_entities_and_questions(shared_data):
    train, dev = (rows(shared_data / "ner" / f"wnut17_{part}.conll") for part in ("train", "dev"))
    assert (len(train), len(dev)) == (3394, 1009)
    assert all(len(row["tokens"]) == len(row["tags"]) > 0 for row in train + dev)
    (file,) = (shared_data / "qa").glob("*.json")
    asked = rows(file)
    assert len(asked) == 970
    for row in asked:
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert row["context"][start:].startswith(text)
