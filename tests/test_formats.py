import json

import pytest

from rlkit import formats
from rlkit.errors import RequestError


def sentences(folder, text):
    file = folder / "x.conll"
    file.write_bytes(text.encode())
    return [list(zip(row["tokens"], row["tags"], strict=True)) for row in formats.conll(file)]


def test_first_column_and_last(tmp_path):
    text = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\nPeter NNP B-NP B-PER"
    assert sentences(tmp_path, text) == [[("EU", "B-ORG"), ("rejects", "O")], [("Peter", "B-PER")]]


def test_a_token_may_hold_spaces_where_tabs_part_the_columns(tmp_path):
    assert sentences(tmp_path, "New York\tB-LOC\n\t\nsome\u2028thing\tO\n") == [
        [("New York", "B-LOC")],
        [("some\u2028thing", "O")],
    ]


def test_line_ends_and_marks_of_other_systems(tmp_path):
    assert sentences(tmp_path, "\ufeffone\tO\r\ntwo\tO\r\n\r\nthree\tO\r\n") == [
        [("one", "O"), ("two", "O")],
        [("three", "O")],
    ]


@pytest.mark.parametrize("mark", ["\t", " "])
def test_a_hash_is_a_comment_only_where_it_has_no_tag(tmp_path, mark):
    text = f"# id 5239d808-f300\tdomain=en\n# text = one\n#{mark}O\n#rare{mark}B-tag\none{mark}O\n"
    assert sentences(tmp_path, text) == [[("#", "O"), ("#rare", "B-tag"), ("one", "O")]]


def test_any_tag_makes_a_hash_a_token_where_other_tokens_have_it(tmp_path):
    assert sentences(tmp_path, "# NN\n# comment\none NN\n") == [[("#", "NN"), ("one", "NN")]]
    assert sentences(tmp_path, "# B-rank\none O\n") == [[("#", "B-rank"), ("one", "O")]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one\tO\n\ntwo\n", "line 3: no tag after the token, a tab between them: 'two'"),
        ("one O\ntwo\n", "line 2: no tag after the token, a space between them"),
        ("one\tO\ntwo O\n", "line 2: no tag"),
        ("one NN O\ntwo O\n", "line 2: 2 columns, and the first line has 3"),
        ("one\tO\n\tO\n", "line 2: the token is empty"),
        ("one\tO\ntwo\t\n", "line 2: the tag is empty"),
        ("one\ntwo\n", "line 1: no tag"),
    ],
)
def test_malformed_lines_are_told_by_number(tmp_path, text, said):
    with pytest.raises(RequestError, match=said):
        sentences(tmp_path, text)


def squad(folder, value):
    file = folder / "x.json"
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    return formats.squad(file)


def test_every_question_is_a_row(tmp_path):
    answers = [{"text": "two", "answer_start": 4}, {"text": "two", "answer_start": 9}]
    qas = [{"id": "a", "question": "How many?", "answers": answers}, {"id": "b", "question": "Why?"}]
    articles = [
        {
            "title": "T",
            "paragraphs": [{"context": "One two. two", "qas": qas}, {"context": "Nothing asked.", "qas": []}],
        },
        {"title": "U", "paragraphs": [{"context": "C", "qas": [{"id": "c", "question": "Who?", "answers": []}]}]},
    ]
    found = squad(tmp_path, {"version": "v2.0", "data": articles})
    assert [(row["id"], row["title"], row["context"]) for row in found] == [
        ("a", "T", "One two. two"),
        ("b", "T", "One two. two"),
        ("c", "U", "C"),
    ]
    assert [row["answers"] for row in found] == [
        {"text": ["two", "two"], "answer_start": [4, 9]},
        {"text": [], "answer_start": []},
        {"text": [], "answer_start": []},
    ]


@pytest.mark.parametrize(
    "value",
    [
        [{"paragraphs": [], "data": 1}],
        {"data": [{"paragraph": "x"}]},
        {"data": {"paragraphs": []}},
        '{"data": [1], "paragraphs": 2}\n{"data": [1], "paragraphs": 2}\n',
        '{"data": [{"paragraphs": [',
    ],
)
def test_other_json_is_left_to_others(tmp_path, value):
    assert squad(tmp_path, value) is None


def test_what_is_missing_is_told_with_its_place(tmp_path):
    with pytest.raises(RequestError, match=r"data\[0\].paragraphs\[1\] has no 'context'"):
        squad(tmp_path, {"data": [{"paragraphs": [{"context": "c", "qas": []}, {"qas": []}]}]})
    qas = [{"id": "a", "question": "?", "answers": [{"text": "x"}]}]
    with pytest.raises(RequestError, match=r"qas\[0\].answers has no 'answer_start'"):
        squad(tmp_path, {"data": [{"paragraphs": [{"context": "c", "qas": qas}]}]})
