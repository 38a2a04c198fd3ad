"""Every suite validates, reads its data as it stands on the hub, and measures; its rewards grade real answers."""

import gzip
import json

import pytest
import yaml

from rlkit import data, sources
from rlkit.cli import run
from rlkit.policy import load_tokenizer
from rlkit.recipe import checks
from rlkit.recipe.files import suites
from rlkit.recipe.load import load
from rlkit.recipe.model import ModelSection
from rlkit.scoring import RewardStack

SUITES = sorted(suites())
SMALL = ["--limit", "3", "generation.max_completion_length=8"]
CHOICES = ["Lyon", "Paris", "Rome", "Nice"]
MEDICAL = ["anatomy", "high_school_biology", "high_school_chemistry", "professional_medicine"]
HUB = {
    "mmlu": [
        {"question": f"Which is number {n}?", "subject": subject, "choices": CHOICES, "answer": n % 4}
        for n, subject in enumerate([*MEDICAL, "law"])
    ],
    "ifeval": [
        {
            "key": 1,
            "prompt": "Say hello without a comma.",
            "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
            "kwargs": [
                {"num_words": None, "relation": None, "keywords": None},
                {"num_words": 2, "relation": "at least", "keywords": None},
            ],
        }
    ],
}
HUB["mmlu-medical"] = HUB["mmlu"]
"""Rows as the hub has them."""


def test_what_there_is():
    assert SUITES == ["gsm8k", "humaneval", "ifeval", "math500", "mbpp", "mmlu", "mmlu-medical"]


@pytest.mark.parametrize("name", SUITES)
def test_it_validates_and_its_head_tells_source_prompt_and_commands(name, capsys):
    assert run(["validate", f"suites/{name}"]) == 0
    assert capsys.readouterr().out == f"suites/{name}: ok\n"
    head, _, text = suites()[name].read_text().partition("\ndescription:")
    for part in ("arXiv", "# Asked:", "# Right:", f"rlkit eval MODEL --suite {name}\n", f"--suite {name} --data "):
        assert part in head
    recipe = yaml.safe_load(f"description:{text}")
    assert recipe["description"]
    assert "model" not in recipe


def test_it_is_listed_shown_and_copied(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["ls", "suites", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(row["kind"], row["name"]) for row in listed] == [("suite", path.stem) for path in suites().values()]
    assert run(["ls"]) == 0
    assert "\nsuites:\n  gsm8k " in capsys.readouterr().out
    assert run(["show", "suites/gsm8k", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["kind"], shown["text"]) == ("suite", suites()["gsm8k"].read_text().rstrip())
    assert run(["cp", "suites/gsm8k", "mine.yaml"]) == 0
    assert run(["validate", "mine.yaml"]) == 0
    for command in ("show", "validate"):
        assert run([command, "suites/gsm8c"]) == 2
        assert "did you mean 'gsm8k'" in capsys.readouterr().err


def local(name, folder, shared):
    """The data of a suite on this machine: real rows, or some in the hub's shape."""
    if name in HUB:
        from datasets import Dataset

        Dataset.from_list(HUB[name]).to_parquet(folder / f"{name}.parquet")
        return folder / f"{name}.parquet"
    real = {
        "gsm8k": shared / "gsm8k" / "test_first1000.jsonl",
        "math500": shared / "math" / "math500_first350.jsonl",
        "humaneval": shared / "code" / "HumanEval.jsonl.gz",
        "mbpp": shared / "code" / "mbpp.jsonl",
    }
    return real[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", SUITES)
def test_it_measures_a_model(name, capsys, tmp_path, tiny_model, request):
    shared = None if name in HUB else request.getfixturevalue("shared_data")
    path = local(name, tmp_path, shared)
    more = ["data.max_prompt_length=500"] if name == "humaneval" else []  # the tiny model sees 512 tokens
    small = SMALL[2:] if name in HUB else SMALL
    wanted = ["--suite", name, "--data", str(path), *small, *more]
    assert run(["eval", str(tiny_model), *wanted, "--json", "-o", str(tmp_path / "out.jsonl")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["model"], said["suite"]) == (str(tiny_model), name)
    metrics = said["metrics"]
    rows = {"mmlu": 5, "mmlu-medical": 4, "ifeval": 1}.get(name, 3)
    assert metrics["n"] == rows
    assert metrics["accuracy_low"] <= metrics["accuracy"] <= metrics["accuracy_high"]
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == rows
    assert "reward_errors" not in metrics
    if name.startswith("mmlu"):
        assert sorted(metrics["by"]["subject"]) == sorted(MEDICAL + ["law"] * (name == "mmlu"))
    if name == "ifeval":
        assert {"instructions", "loose"} <= {*metrics}


def graded(name, path, tiny_model, completions, start=0):
    """What the rewards of a suite give to completions of its rows, as `rlkit eval` would have them."""
    from datasets import Dataset

    recipe = load(f"suites/{name}", (f"data.path={path}",), evaluate=True)
    stage = recipe.evaluation()
    rows = sources.load(stage.data)
    rows = rows.select(range(start, start + len(completions))) if start or len(rows) > len(completions) else rows
    assert data.missing(stage.data, rows.column_names, "eval") == []
    tokenizer = load_tokenizer(ModelSection(path=str(tiny_model)))
    made = data.prompts(Dataset.from_list(rows.to_list()), stage.data, tokenizer).dataset
    assert isinstance(made["prompt"][0], list)  # a conversation
    stack = RewardStack(checks.stack(stage.rewards), max_error_rate=1.0)
    columns = {column: list(made[column]) for column in made.column_names if column != "prompt"}
    messages = [[{"role": "assistant", "content": text}] for text in completions]
    try:
        scores = stack.score(prompts=list(made["prompt"]), completions=messages, **columns)
    finally:
        stack.close()
    assert not any(stack.errors.values())
    return scores, [messages[-1]["content"] for messages in made["prompt"]]


def rows_of(path):
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        return [json.loads(line) for line in lines]


def test_humaneval_passes_references_and_fails_others(shared_data, tiny_model):
    path = shared_data / "code" / "HumanEval.jsonl.gz"
    rows = rows_of(path)[31:35]
    whole = [f"Here:\n```python\n{row['prompt']}{row['canonical_solution']}```" for row in rows]
    body = rows[1]["canonical_solution"]
    assert "poly(" in body  # a helper that its prompt has
    written = [whole[0], body, whole[2], "    return None\n"]
    scores, prompts = graded("humaneval", path, tiny_model, written, start=31)
    assert scores["accuracy"] == [1.0, 1.0, 1.0, 0.0]
    assert all(row["prompt"] in prompt for row, prompt in zip(rows, prompts, strict=True))


def test_mbpp_passes_references_and_honours_the_set_up_code(shared_data, tmp_path, tiny_model):
    rows = rows_of(shared_data / "code" / "mbpp.jsonl")
    chosen = [rows[10], *[row for row in rows if row["test_setup_code"]]]
    (tmp_path / "chosen.jsonl").write_text("".join(json.dumps(row) + "\n" for row in chosen))
    programs = [f"```python\n{row['code']}\n```" for row in chosen]
    scores, prompts = graded("mbpp", tmp_path / "chosen.jsonl", tiny_model, programs)
    assert scores["accuracy"] == [1.0] * 3
    assert all(test in prompts[0].splitlines() for test in chosen[0]["test_list"])
    wrong = ["def is_tree_balanced(root):\n    return True\n"] * 3
    assert graded("mbpp", tmp_path / "chosen.jsonl", tiny_model, wrong)[0]["accuracy"] == [0.0] * 3


def test_recorded_programs_are_graded_as_they_were_verified(shared_data, tmp_path, capsys):
    rows = rows_of(shared_data / "completions" / "code_humaneval_mbpp.jsonl")
    chosen = [row for passes in (True, False) for row in [r for r in rows if r["verified_passes"] is passes][::40][:5]]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in chosen))
    made = tmp_path / "out.jsonl"
    assert run(["eval", "--completions", str(tmp_path / "rows.jsonl"), "--suite", "humaneval", "-o", str(made)]) == 0
    assert "accuracy" in capsys.readouterr().out
    assert [row["correct"] for row in rows_of(made)] == [row["verified_passes"] for row in chosen]


ANSWERS = ["The answer is (B)", "B. Paris", r"\boxed{B}", "B", "**Answer: B**", "Lyon? No.\nThe answer is (B)."]


@pytest.mark.parametrize("answer", [1, "B"])
def test_mmlu_reads_the_letter_however_it_is_written(tmp_path, tiny_model, answer):
    rows = [{"question": "Capital?", "subject": "law", "choices": CHOICES, "answer": answer}] * (len(ANSWERS) + 2)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = [*ANSWERS, "The answer is (A) or (B)", "Paris is large.\nThe answer is (A)"]
    scores, prompts = graded("mmlu", tmp_path / "rows.jsonl", tiny_model, said)
    assert scores["accuracy"] == [1.0] * len(ANSWERS) + [0.0, 0.0]
    assert prompts[0].startswith("Capital?\n\nA. Lyon\nB. Paris\nC. Rome\nD. Nice\n\n")


def test_mmlu_takes_the_number_for_a_place_where_choices_are_numbers(tmp_path, tiny_model):
    row = {"question": "2 - 1?", "subject": "law", "choices": ["1", "0", "3", "2"], "answer": 0}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    assert graded("mmlu", tmp_path / "rows.jsonl", tiny_model, ["The answer is (A)"])[0]["accuracy"] == [1.0]


def test_ifeval_tells_all_followed_from_the_share(tmp_path, tiny_model):
    from datasets import Dataset

    Dataset.from_list(HUB["ifeval"] * 3).to_parquet(tmp_path / "rows.parquet")
    said = ["Well hello there", "Hello, you there", "Sure, so:\nWell hello there"]
    scores, _ = graded("ifeval", tmp_path / "rows.parquet", tiny_model, said)
    assert scores == {"accuracy": [1.0, 0.0, 0.0], "instructions": [1.0, 0.5, 0.5], "loose": [1.0, 0.0, 1.0]}
