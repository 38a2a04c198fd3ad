import json

import pytest
from conftest import hear_interrupts

ROWS = [
    {"prompt": "2+2", "completion": "<answer>4</answer>", "gold": "4"},
    {"prompt": "2+2", "completion": "<answer>5</answer>", "gold": "4"},
    {"prompt": "2+3", "completion": "#### 4", "gold": "5"},
    {"prompt": "2+3", "completion": "The answer is nine.", "gold": "5"},
]


@pytest.fixture
def rollouts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rollouts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))


@pytest.mark.usefixtures("rollouts")
class TestScore:
    def test_figures_and_rows(self, rlkit, tmp_path):
        arguments = ["--reward", "xmlcount:weight=0.5", "--reward", "correctness", "--column", "answer=gold"]
        done = rlkit("score", "rollouts.jsonl", *arguments, "-o", "out.jsonl", "--json")
        assert done.code == 0, done.err
        summary = json.loads(done.out)
        assert (summary["rows"], summary["groups"]) == (4, 2)
        assert summary["rewards"]["correctness"]["mean"] == 0.25
        assert summary["rewards"]["correctness"]["share_without_variance"] == 0.5
        rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert [row["reward"] for row in rows] == [1.25, 0.25, 0.0, 0.0]
        assert rows[0]["rewards"] == {"xmlcount": 0.5, "correctness": 1.0}
        assert rows[0]["gold"] == "4"

    def test_a_recipes_rewards_with_an_override(self, rlkit):
        arguments = ["--recipe", "gsm8k", "rewards.correctness.weight=7", "--column", "answer=gold", "--json"]
        done = rlkit("score", "rollouts.jsonl", *arguments)
        assert done.code == 0, done.err
        assert json.loads(done.out)["reward"]["max"] == pytest.approx(0.25 + 0.5 + 7.0)  # xmlcount, int, correctness

    def test_explain_and_against(self, rlkit):
        arguments = ["--reward", "correctness", "--column", "answer=gold", "--explain", "--against", "int"]
        done = rlkit("score", "rollouts.jsonl", *arguments)
        assert done.code == 0, done.err
        assert "row 3: '4' by the rule hash, from 5 to 6" in done.out
        assert "advantage changed its sign on 4 of 4 completions" in done.out

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--reward", "correctness"], "--column answer="),
            (["--reward", "corectness"], "did you mean 'correctness'"),
            (["--reward", "correctness:wieght=2"], "unknown parameter 'wieght'"),
            (["--reward", "length:target"], "write length:key=value"),
            ([], "with which rewards"),
            (["--reward", "int", "--column", "answer"], "NAME=ITS_NAME"),
            (["--reward", "int", "training.max_steps=3"], "name it with --recipe"),
            (["--reward", "int", "-o", "no/where.jsonl"], "there is no folder"),
            (["--reward", "int", "-o", "rollouts.jsonl"], "it exists"),
        ],
    )
    def test_a_wrong_request_is_refused_and_leaves_nothing(self, rlkit, tmp_path, arguments, said):
        done = rlkit("score", "rollouts.jsonl", *arguments)
        assert done.code == 2
        assert said in done.err
        assert [path.name for path in tmp_path.iterdir()] == ["rollouts.jsonl"]

    def test_a_reward_that_never_works_is_a_failure(self, rlkit, tmp_path, clean_registry):
        plugin = (
            "from rlkit import reward\n\n\n@reward('broken')\ndef broken(completion):\n    raise ValueError('no')\n"
        )
        (tmp_path / "broken.py").write_text(plugin)
        done = rlkit("score", "rollouts.jsonl", "--plugin", "broken.py", "--reward", "broken")
        assert done.code == 1
        assert "failed on every row: broken" in done.err


class TestAudit:
    def test_a_built_in_passes(self, rlkit):
        done = rlkit("audit", "int", "--json")
        assert done.code == 0
        assert json.loads(done.out)["passed"]

    def test_a_plugin_that_can_be_fooled_is_told_with_how(self, rlkit, tmp_path, clean_registry):
        (tmp_path / "naive.py").write_text(
            "from rlkit import reward\n\n\n"
            "@reward('naive', gold=[('it is 42', {'answer': '42'}, 1.0)])\n"
            "def naive(completion, answer):\n    return float(answer in completion)\n"
        )
        done = rlkit("audit", "naive", "--plugin", str(tmp_path / "naive.py"))
        assert done.code == 1
        assert "naive: BEATEN" in done.out
        assert "several answers" in done.out

    def test_a_reward_that_needs_a_parameter_asks_for_it(self, rlkit):
        done = rlkit("audit", "reward_model")
        assert done.code == 2
        assert "rlkit audit reward_model:path=VALUE" in done.err


def test_an_interrupt_ends_it_at_once_and_leaves_nothing(tmp_path):
    import signal
    import subprocess
    import sys
    import time

    (tmp_path / "slow.py").write_text(
        "from pathlib import Path\n\nfrom rlkit import reward\n\n\n@reward('slow', timeout=20.0)\n"
        "def slow(completion):\n    Path('begun').touch()\n    while True:\n        pass\n"
    )
    (tmp_path / "rows.jsonl").write_text('{"completion": "a"}\n' * 40)
    command = ["score", "rows.jsonl", "--plugin", "slow.py", "--reward", "slow", "-o", "out.jsonl"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rlkit", *command], cwd=tmp_path, stderr=subprocess.PIPE, preexec_fn=hear_interrupts
    )
    until = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=15)  # and not after forty samples of twenty seconds
    assert process.returncode == 130
    assert sorted(path.name for path in tmp_path.glob("*.jsonl*")) == ["rows.jsonl"]
    assert not list(tmp_path.glob(".*partial"))
