import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from rlkit.cli.generate import command
from rlkit.errors import RequestError

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))
from made import run_of, speaking, templated


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return speaking(tmp_path_factory.mktemp("models") / "speaking")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments):
    """In this process, where torch is imported already."""
    return CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)


def rows_of(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def questions_file(tmp_path):
    rows = [
        {"prompt": "How many apples?", "answer": "7"},
        {"prompt": [{"role": "user", "content": "How many apples?"}], "answer": "7", "nested": {"a": [1, "é"]}},
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "There are"}]},
    ]
    file = tmp_path / "questions.jsonl"
    file.write_text("\n\n".join(json.dumps(row) for row in rows))
    return file


def test_one_prompt_is_answered_on_stdout(model):
    done = run(model, "--prompt", "How many apples?", "--max-tokens", 6)
    assert done.exit_code == 0
    assert "1 of 1 completions were cut off" in done.stderr
    again = run(model, "--prompt", "How many apples?", "--max-tokens", 6, "--json")
    (row,) = rows_of(again.stdout)
    assert row == {"prompt": "How many apples?", "completion": done.stdout.removesuffix("\n")}
    raw = run(model, "--prompt", "How many apples?", "--max-tokens", 6, "--raw")
    assert raw.stdout != done.stdout


def test_rows_keep_what_they_had_and_score_reads_them(model, questions_file, tmp_path, rlkit):
    done = run(model, "--data", questions_file, "--n", 3, "--max-tokens", 8, "--output", "out.jsonl", "--json")
    told = json.loads(done.stdout)
    assert told == {"model": str(model), "rows": 9, "clipped": told["clipped"], "output": "out.jsonl"}
    assert f"{told['clipped']} of 9 completions were cut off" in done.stderr
    before, after = (
        rows_of(questions_file.read_text().replace("\n\n", "\n")),
        rows_of((tmp_path / "out.jsonl").read_text()),
    )
    assert [{**row, "completion": None} for row in after] == [
        {**row, "completion": None} for row in before for _ in range(3)
    ]
    first = [row["completion"] for row in after[:3]]
    assert len(set(first)) == 3
    (tmp_path / "scored.jsonl").write_text("".join(json.dumps(row) + "\n" for row in after[:6]))
    scored = rlkit("score", "scored.jsonl", "--reward", "xmlcount", "--json", cwd=tmp_path)
    assert scored.code == 0, scored.err
    assert json.loads(scored.out)["groups"] == 2


def test_a_seed_gives_the_same_samples(model, questions_file):
    sample = [model, "--data", questions_file, "--n", 2, "--max-tokens", 8]
    assert run(*sample).stdout == run(*sample, "--seed", 0).stdout
    assert run(*sample).stdout != run(*sample, "--seed", 1).stdout


def test_a_text_and_a_conversation_of_it_are_the_same_question(model, questions_file):
    first, second, _ = rows_of(run(model, "--data", questions_file, "--max-tokens", 8).stdout)
    assert first["completion"] == second["completion"]


def test_without_a_template_the_prompt_is_plain_text_and_that_is_said(model, tmp_path):
    done = run(templated(model, tmp_path / "plain", None), "--prompt", "How many apples?", "--max-tokens", 4)
    assert "no chat template: prompts are plain text" in done.stderr


def test_what_the_template_opened_stands_in_front(model, tmp_path):
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}{{ '<think>\n' }}"
    assert run(
        templated(model, tmp_path / "thinks", template), "--prompt", "How many?", "--max-tokens", 4
    ).stdout.startswith("<think>\n")


def test_a_runs_system_prompt_is_used_unless_another_is_named(recipe_file, model, questions, tmp_path):
    data = {"path": str(questions), "prompt": "question", "answer": "after:####", "system": "xml"}
    path = run_of(recipe_file(data=data), model, tmp_path / "run").path
    ask = [path, "--prompt", "How many?"]
    own, named = run(*ask), run(*ask, "--system", "xml")
    assert own.stdout == named.stdout
    assert own.stdout not in (run(*ask, "--system", "Be brief.").stdout, run(*ask, "--system", "").stdout)
    assert "cut off" in own.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"question": "How many?"}', "line 2: no prompt; .*and this question"),
        ('{"prompt": 7}', "line 2: prompt is 7, and should be a text or a list of messages"),
        ('{"prompt": []}', "line 2: prompt is .*should be"),
        ('{"prompt": "a", "completion": "b"}', "line 2: it has a completion already"),
        ('{"messages": "How many?"}', "line 2: messages is .*list of messages"),
        ('{"messages": [{"role": "assistant", "content": "7"}]}', "line 2: .*nothing to answer"),
        ('["a"]', "line 2: a list, not an object"),
        ("{", "line 2: not JSON"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(tmp_path, line, said):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "right"}\n' + line + "\n")
    with pytest.raises(RequestError, match=said):
        run("no-model-is-looked-for", "--data", "rows.jsonl")


def test_a_row_that_the_model_cannot_be_asked_is_named_too(model, tmp_path):
    rows = [{"prompt": "short"}, {"prompt": "long " * 600}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(RequestError, match=r"rows\.jsonl, line 2: it has .* tokens, and the model sees 512"):
        run(model, "--data", "rows.jsonl", "--output", "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what is asked"),
        (["--prompt", "a", "--data", "b.jsonl"], "say what is asked"),
        (["--data", "b.jsonl"], "no such file"),
        (["--data", "empty.jsonl"], "no rows"),
        (["--prompt", "a", "--output", "empty.jsonl"], "it exists"),
        (["--prompt", "a", "--output", "no/where.jsonl"], "no folder no"),
        (["--prompt", "a", "--raw", "--system", "Be brief."], "--raw"),
        (["--prompt", "a", "--n", "2", "--temperature", "0"], "would be the same"),
        (["--prompt", "a", "--system", "xnl"], "system prompt .*xml"),
        (["--prompt", "a"], "no such folder"),
    ],
)
def test_a_wrong_request_is_told_before_anything_loads(tmp_path, arguments, said):
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(RequestError, match=said):
        run("./no-model", *arguments)


def test_the_command_line_answers_and_ends_with_the_houses_codes(rlkit, model):
    wrong = rlkit("generate", model)
    assert (wrong.code, wrong.out) == (2, "")
    assert "say what is asked" in wrong.err
    done = rlkit("generate", model, "--prompt", "How many apples?", "--max-tokens", "6")
    assert done.code == 0, done.err
    assert done.out == run(model, "--prompt", "How many apples?", "--max-tokens", 6).stdout
    assert "Traceback" not in done.err
    assert "Warning" not in done.err
