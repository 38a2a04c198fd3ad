import gzip
import json
import statistics

import pytest

from rlkit import plugins, saved
from rlkit.errors import RequestError
from rlkit.function import make
from rlkit.saved import score, to_file
from rlkit.scoring import RewardStack


def length(completion):
    return float(len(completion))


def stack(*functions):
    return RewardStack([(make(f.__name__, f), 1.0) for f in functions], max_error_rate=1.0)


def write(path, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_text(text)
    return path


ROWS = [{"prompt": f"p{i // 4}", "completion": "x" * (i * i % 7), "i": i} for i in range(40)]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.parquet"])
def test_every_format_gives_the_same_figures(tmp_path, name):
    summary = score(write(tmp_path / name, ROWS), stack(length))
    values = [i * i % 7 for i in range(40)]
    spread = summary.rewards["length"]
    assert (summary.rows, summary.groups) == (40, 10)
    assert spread.mean == pytest.approx(statistics.fmean(values))
    assert spread.std == pytest.approx(statistics.pstdev(values))
    assert (spread.low, spread.high) == (0, 4)


def test_the_output_has_every_row_in_its_order_with_its_rewards(tmp_path, monkeypatch):
    monkeypatch.setattr(saved, "CHUNK", 3)
    out = tmp_path / "out.jsonl"
    to_file(write(tmp_path / "rows.jsonl", ROWS), stack(length), out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["i"] for row in rows] == list(range(40))
    assert [row["rewards"]["length"] for row in rows] == [i * i % 7 for i in range(40)]
    for start in range(0, 40, 4):  # groups are never cut, wherever a chunk ends
        assert sum(row["advantage"] for row in rows[start : start + 4]) == pytest.approx(0.0)


def test_groups_without_variance_are_counted(tmp_path):
    rows = [{"prompt": p, "completion": c} for p, c in [("a", "x"), ("a", "y"), ("b", "x"), ("b", "yy"), ("c", "x")]]
    summary = score(write(tmp_path / "rows.jsonl", rows), stack(length))
    assert (summary.rewards["length"].groups, summary.rewards["length"].flat) == (2, 1)
    assert summary.as_json()["rewards"]["length"]["share_without_variance"] == 0.5


def test_a_folder_is_its_files_in_order_and_groups_end_with_a_file(tmp_path):
    for step in range(3):
        write(tmp_path / f"step_{step}.jsonl", [{"prompt": "p", "completion": "x" * (step + i)} for i in range(2)])
    (tmp_path / "step_9.jsonl").touch()
    (tmp_path / "notes.txt").write_text("not rows")
    rows, told = [], []
    summary = score(tmp_path, stack(length), write=rows.append, explain=lambda number, found: told.append(number))
    assert (summary.rows, summary.groups, saved.count(tmp_path)) == (6, 3, 6)
    assert [row["rewards"]["length"] for row in rows] == [0, 1, 1, 2, 2, 3]
    assert told == [1, 2, 3, 4, 5, 6]


def test_columns_go_by_other_names(tmp_path):
    made = RewardStack([(plugins.find("correctness").configure(), 1.0)])
    rows = [{"output": "<answer>4</answer>", "gold": "4"}, {"output": "<answer>5</answer>", "gold": "4"}]
    file = write(tmp_path / "rows.jsonl", rows)
    summary = score(file, made, columns={"answer": "gold", "completion": "output"})
    assert summary.rewards["correctness"].mean == 0.5
    with pytest.raises(RequestError, match=r"(?s)row 1: unknown column 'answer'.*--column answer="):
        score(file, made, columns={"completion": "output"})


def test_completions_may_be_messages(tmp_path):
    rows = [{"completion": [{"role": "assistant", "content": "four"}]}]
    assert score(write(tmp_path / "rows.jsonl", rows), stack(length)).rewards["length"].mean == 4.0


def test_a_tokenizer_counts_tokens(tmp_path, tiny_model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    made = RewardStack([(plugins.find("length").configure(target=3), 1.0)])
    file = write(tmp_path / "rows.jsonl", [{"completion": "How many are 2 and 3?"}])
    n = len(tokenizer("How many are 2 and 3?", add_special_tokens=False)["input_ids"])
    assert score(file, made, tokenizer=tokenizer).rewards["length"].mean == pytest.approx(3 / (3 + abs(n - 3)))


def test_what_changes_sign_between_two_stacks_is_told(tmp_path):
    def shortness(completion):
        return -float(len(completion))

    rows = [{"prompt": "p", "completion": c} for c in ("a", "bb", "ccc")]
    summary = score(write(tmp_path / "rows.jsonl", rows), stack(length), against=stack(shortness))
    assert summary.flips == 2
    assert [(flip.row, flip.before, flip.after) for flip in summary.examples] == [(1, 1.0, -1.0), (3, -1.0, 1.0)]


def test_the_rules_by_which_answers_were_found_are_told(tmp_path):
    rows = [{"completion": "<answer>4</answer>"}, {"completion": "#### 5"}, {"completion": "dunno"}]
    told = []
    summary = score(
        write(tmp_path / "rows.jsonl", rows), stack(length), explain=lambda number, found: told.append((number, found))
    )
    assert summary.rules == {"tag": 1, "hash": 1, "none": 1}
    assert [(n, found and rows[n - 1]["completion"][found.start : found.end]) for n, found in told] == [
        (1, "4"),
        (2, "5"),
        (3, None),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"completion": "a"}\nnope\n', "line 2: not JSON"),
        ("[1]\n", "line 1: a list"),
        ("", "no rows"),
        ('{"text": "a"}\n', "unknown column 'completion'"),
        ('{"completion": "a"}\n{"completion": null}\n', "row 2: completion is None"),
        ('{"completion": ["a"]}\n', r"row 1: completion is \['a'\]"),
        (b'{"completion": "\xff"}\n', "line 1: not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_line_and_leaves_nothing(tmp_path, text, said):
    file, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RequestError, match=said):
        to_file(file, stack(length), out)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_memory_does_not_grow_with_the_rows(tmp_path):
    import tracemalloc

    def peak(n):
        file = write(tmp_path / f"{n}.jsonl", ({"prompt": str(i // 8), "completion": "x" * 200} for i in range(n)))
        tracemalloc.start()
        score(file, stack(length), write=lambda row: None)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(60_000) < 1.3 * peak(15_000)


@pytest.mark.parametrize("name", ["cut.jsonl.gz", "none.jsonl.gz", "none.parquet", "empty.parquet"])
def test_a_broken_archive_is_a_wrong_request(tmp_path, name):
    whole = gzip.compress(b'{"completion": "a"}\n' * 5000)
    text = whole[: len(whole) // 2] if name.startswith("cut") else b"" if name.startswith("empty") else b"not that"
    (tmp_path / name).write_bytes(text)
    with pytest.raises(RequestError, match=r"cannot be read|no parquet file"):
        score(tmp_path / name, stack(length))


def test_a_mapped_column_that_is_not_there_is_never_passed_over(tmp_path):
    made = RewardStack([(plugins.find("correctness").configure(), 1.0)])
    file = write(tmp_path / "rows.jsonl", [{"completion": "<answer>4</answer>", "answer": "4", "gold": "5"}])
    with pytest.raises(RequestError, match=r"unknown column 'gld'; did you mean 'gold'"):
        score(file, made, columns={"answer": "gld"})


def test_columns_that_are_called_as_trl_calls_its_own_do_no_harm(tmp_path):
    rows = [{"completion": "four", "completions": "x", "prompts": 3, "trainer_state": 1, "self": 2}]
    assert score(write(tmp_path / "rows.jsonl", rows), stack(length)).rewards["length"].mean == 4.0


def test_another_format_than_it_writes_is_refused(tmp_path):
    with pytest.raises(RequestError, match=r"written as \.jsonl"):
        to_file(write(tmp_path / "rows.jsonl", ROWS), stack(length), tmp_path / "out.parquet")
