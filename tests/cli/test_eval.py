import json
import subprocess
import sys

import pytest

ROWS = [
    {"question": "2+2", "completion": "A: 4", "gold": "4", "level": "easy"},
    {"question": "2+3", "completion": "A: 4", "gold": "5", "level": "easy"},
    {"question": "5*5", "completion": "#### 25", "gold": "25", "level": "hard"},
    {"question": "6*6", "completion": "I do not know.", "gold": "36", "level": "hard"},
]
MEASURED = ["--completions", "rows.jsonl", "--reward", "accuracy", "--column", "answer=gold"]


def write(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def rows(tmp_path):
    return write(tmp_path / "rows.jsonl", ROWS)


SYSTEMS = {"6b_finetuning": 219, "6b_verification": 400, "175b_finetuning": 348, "175b_verification": 574}


@pytest.mark.parametrize("system", SYSTEMS)
def test_labels_of_real_answers_are_reproduced_to_the_row(rlkit, shared_data, tmp_path, system):
    with (shared_data / "completions" / "gsm8k_gpt3_solutions_first1000.jsonl").open() as lines:
        problems = [json.loads(line) for line in lines]
    made = [
        {
            "question": problem["question"],
            "completion": problem[system]["solution"],
            "answer": problem["ground_truth"],
            "label": problem[system]["is_correct"],
        }
        for problem in problems
    ]
    write(tmp_path / "rows.jsonl", made)
    done = rlkit("eval", "--completions", "rows.jsonl", "--reward", "accuracy", "--json", "-o", "out.jsonl")
    assert done.code == 0, done.err
    metrics = json.loads(done.out)["metrics"]
    assert (metrics["n"], metrics["accuracy"]) == (1000, SYSTEMS[system] / 1000)
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]
    samples = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [i for i, s in enumerate(samples) if s["rewards"]["accuracy"] != float(s["label"])] == []
    assert sum(s["label"] for s in samples) == SYSTEMS[system]


@pytest.mark.usefixtures("rows")
class TestRecorded:
    def test_figures_and_samples(self, rlkit, tmp_path):
        done = rlkit("eval", *MEASURED, "--reward", "xmlcount", "--by", "level", "--json", "-o", "out.jsonl")
        assert done.code == 0, done.err
        said = json.loads(done.out)
        metrics = said["metrics"]
        assert said["completions"] == "rows.jsonl"
        assert (metrics["n"], metrics["accuracy"], metrics["xmlcount"], metrics["unreadable"]) == (4, 0.5, 0.0, 0.25)
        assert [round(metrics[f"accuracy_{end}"], 4) for end in ("low", "high")] == [0.15, 0.85]  # Wilson's, of 2 in 4
        assert {value: row["accuracy"] for value, row in metrics["by"]["level"].items()} == {"easy": 0.5, "hard": 0.5}
        samples = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert [s["read"] for s in samples] == ["4", "4", "25", None]
        assert [s["correct"] for s in samples] == [True, False, True, False]
        assert [s["readable"] for s in samples] == [True, True, True, False]
        assert samples[2]["question"] == "5*5"
        again = rlkit("eval", "--completions", "out.jsonl", *MEASURED[2:], "--json")
        assert json.loads(again.out)["metrics"]["accuracy"] == 0.5

    def test_the_table_is_aligned(self, rlkit):
        done = rlkit("eval", *MEASURED, "--by", "level")
        figures, categories = done.out.rstrip("\n").split("\n\n")
        head, *lines = figures.split("\n")
        assert [line.split()[0] for line in lines] == ["accuracy", "reward", "unreadable"]
        assert len({line.rindex("4") for line in lines}) == 1  # n stands in a column
        assert lines[0].split() == ["accuracy", "0.5", "[0.15,", "0.85]", "4"]
        assert head.split() == ["value", "95%", "interval", "n"]
        assert [line.split()[:3] for line in categories.split("\n")[1:]] == [["easy", "2", "0.5"], ["hard", "2", "0.5"]]

    def test_two_files_side_by_side(self, rlkit, tmp_path):
        better = [{**row, "completion": f"A: {row['gold']}"} for row in reversed(ROWS)]
        write(tmp_path / "better.jsonl", [*better, {**ROWS[0], "question": "1+1"}])
        done = rlkit("eval", *MEASURED, "--against", "better.jsonl", "--json", "-o", "out.jsonl")
        assert done.code == 0, done.err
        said = json.loads(done.out)
        assert (said["metrics"]["accuracy"], said["metrics_against"]["accuracy"]) == (0.5, 1.0)
        assert said["metrics_against"]["n"] == 4
        apart = said["comparison"]
        assert (apart["matched_by"], apart["left_out"]) == ("question", [0, 1])
        assert (apart["accuracy"]["difference"], apart["accuracy"]["worse"]) == (-0.5, 2)
        assert (apart["accuracy"]["test"], apart["accuracy"]["p"]) == ("mcnemar", 0.5)  # 2 of 2 pairs that differ
        assert "left out" in done.err
        samples = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert [s["of"] for s in samples] == ["rows.jsonl"] * 4 + ["better.jsonl"] * 4
        table = rlkit("eval", *MEASURED, "--against", "better.jsonl").out
        assert "A: rows.jsonl\nB: better.jsonl" in table
        assert "accuracy        -0.5" in table

    def test_rows_matched_by_order_are_said_to_be(self, rlkit, tmp_path):
        bare = [{k: v for k, v in row.items() if k != "question"} for row in ROWS]
        write(tmp_path / "bare.jsonl", bare)
        done = rlkit("eval", *MEASURED, "--against", "bare.jsonl", "--json")
        assert done.code == 0, done.err
        assert "compared in their order" in done.err
        assert json.loads(done.out)["comparison"]["matched_by"] == "order"

    def test_a_recipe_says_how_to_measure(self, rlkit, recipe_file):
        file = recipe_file(rewards=[{"correctness": {"name": "exact"}}], eval={"accuracy": "exact", "by": "level"})
        done = rlkit("eval", "--completions", "rows.jsonl", "--recipe", file, "--column", "answer=gold", "--json")
        assert done.code == 0, done.err
        metrics = json.loads(done.out)["metrics"]
        assert (metrics["accuracy"], list(metrics["by"]["level"])) == (0.5, ["easy", "hard"])

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ([], "nothing is named"),
            (["--recipe", "gsm8k", "eval.samples=2"], "nothing is named"),
            (["./model", *MEASURED], "./model is a MODEL, rows.jsonl are completions"),
            (["./model"], "--recipe RECIPE"),
            (["./model", "--recipe", "gsm8k", "--reward", "int"], "--reward int goes with --completions"),
            (["--completions", "rows.jsonl"], "with which rewards"),
            (["--completions", "rows.jsonl", "--reward", "accuracy"], "--column answer="),
            (["--completions", "absent.jsonl", "--reward", "int"], "there is no file absent.jsonl"),
            ([*MEASURED, "--by", "levle"], "did you mean 'level'"),
            ([*MEASURED, "--k", "2"], "k is at most 1"),
            ([*MEASURED, "--data", "x.jsonl"], "bring their own data"),
            ([*MEASURED, "--against", "absent.jsonl"], "there is no file absent.jsonl"),
            ([*MEASURED, "-o", "rows.jsonl"], "it exists"),
            ([*MEASURED, "rewards.x=1"], "name it with --recipe"),
        ],
    )
    def test_a_wrong_request_is_refused_and_leaves_nothing(self, rlkit, tmp_path, arguments, said):
        output = [] if "-o" in arguments else ["-o", "out.jsonl"]
        done = rlkit("eval", *arguments, *output)
        assert done.code == 2, done.err
        assert said in done.err
        assert done.out == ""
        assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]

    def test_a_reward_that_never_works_is_a_failure(self, rlkit, tmp_path):
        (tmp_path / "broken.py").write_text(
            "from rlkit import reward\n\n\n@reward('broken')\ndef broken(completion):\n    raise ValueError('no')\n"
        )
        done = rlkit("eval", "--completions", "rows.jsonl", "--plugin", "broken.py", "--reward", "broken")
        assert done.code == 1
        assert "failed on every row of rows.jsonl: broken" in done.err

    def test_no_torch_is_needed(self, tmp_path):
        code = (
            "import sys\nfrom rlkit.cli import run\n"
            f"assert run({['eval', *MEASURED, '--against', 'rows.jsonl']!r}) == 0\n"
            "heavy = [m for m in ('torch', 'transformers', 'trl', 'datasets') if m in sys.modules]\n"
            "assert not heavy, heavy\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
class TestModels:
    def test_one_model_with_several_k(self, rlkit, recipe_file, tiny_model, tmp_path):
        file = recipe_file(eval={"data": {"limit": 6}, "samples": 3, "k": [1, 2, 3], "by": "answer"})
        done = rlkit("eval", tiny_model, "--recipe", file, "--json", "-o", "out.jsonl")
        assert done.code == 0, done.err
        metrics = json.loads(done.out)["metrics"]
        assert {"pass@1", "pass@2", "pass@3", "maj@2", "maj@3", "unreadable", "clipped"} <= set(metrics)
        assert list(metrics["by"]["answer"]) == ["1", "3", "5", "7", "9", "11"]
        samples = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert [sample["group"] for sample in samples] == [n for n in range(6) for _ in range(3)]
        assert {"readable", "clipped", "read", "correct"} <= set(samples[0])
        table = rlkit("eval", tiny_model, "--recipe", file, "--k", "2").out
        assert "pass@2" in table
        assert "pass@3" not in table

    def test_two_models_answer_the_same_prompts(self, rlkit, recipe_file, tiny_model, tmp_path):
        file = recipe_file(rewards=["xmlcount", {"correctness": {"weight": 2.0}}, {"length": {"target": 9}}])
        arguments = ["--recipe", file, "data.limit=6"]
        done = rlkit("eval", tiny_model, "--against", tiny_model, *arguments, "--k", "2", "--json", "-o", "out.jsonl")
        assert done.code == 0, done.err
        said = json.loads(done.out)
        assert said["metrics"] == said["metrics_against"]  # the same model, prompts and seed
        assert (said["comparison"]["reward"]["difference"], said["comparison"]["reward"]["p"]) == (0.0, 1.0)
        assert said["comparison"]["accuracy"]["n"] == 6
        assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 24

    def test_the_other_model_is_looked_for_before_the_first_is_measured(self, rlkit, recipe_file, tiny_model):
        done = rlkit("eval", tiny_model, "--against", "./absent", "--recipe", recipe_file())
        assert done.code == 2
        assert "there is no such folder" in done.err
        assert "data:" not in done.err

    def test_a_column_that_is_not_there_stops_a_pipeline_before_it_trains(self, rlkit, recipe_file, tmp_path):
        stages = [{"grpo": {}}, {"eval": {"by": "levle"}}]
        done = rlkit("train", recipe_file(stages=stages), "--run-dir", "run")
        assert done.code == 2
        assert "eval.by: unknown column 'levle'" in done.err
        assert not (tmp_path / "run").exists()

    def test_a_run_keeps_the_categories(self, rlkit, recipe_file, tmp_path):
        stages = [{"grpo": {"training": {"max_steps": 1}}}, {"eval": {"by": "answer", "data": {"limit": 3}}}]
        done = rlkit("train", recipe_file(stages=stages), "--run-dir", "run")
        assert done.code == 0, done.err
        entry = json.loads((tmp_path / "run" / "summary.json").read_text())[-1]
        assert list(entry["metrics"]["by"]["answer"]) == ["1", "3", "5"]
        assert (tmp_path / "run" / "report.html").exists()
