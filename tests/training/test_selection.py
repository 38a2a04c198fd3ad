"""Which checkpoint a training stage leaves."""

import json
import shutil

import pytest
import yaml
from safetensors.torch import load_file

from rlkit import pipeline
from rlkit.errors import RequestError
from rlkit.progress import Progress
from rlkit.recipe.load import load

TWO = """
from rlkit import reward

@reward("monotonous", gold=[("aab", {}, -2.0)])
def monotonous(completion):
    "What is trained: the same character again and again."
    return -float(len(set(completion)))

@reward("varied", gold=[("aab", {}, 2.0)])
def varied(completion):
    "What was meant: different characters."
    return float(len(set(completion)))
"""
TRAINING = {
    "max_steps": 12,
    "save_steps": 3,
    "per_device_train_batch_size": 32,
    "learning_rate": 1e-2,
    "gradient_checkpointing": False,
}
SELECT = {"metric": "varied", "rewards": ["varied"]}


@pytest.fixture
def exploitable(recipe_file, tmp_path, clean_registry):
    """A recipe whose reward is raised by what its metric falls with."""
    (tmp_path / "two.py").write_text(TWO)
    recipe = yaml.safe_load(recipe_file().read_text())

    def write(**sections):
        given = {
            "rewards": ["monotonous"],
            "plugins": ["two.py"],
            "training": TRAINING,
            "generation": {"num_generations": 8, "max_completion_length": 16},
            "eval": {"data": {"limit": 8}, "temperature": 1.0},
            "select": SELECT,
        }
        return recipe_file(data=recipe["data"] | {"limit": 16}, **{**given, **sections})

    return write


def train(file, run_dir, capsys, *overrides, resume=False):
    """Train; returns the run, its stage's figures, and what was said."""
    run = pipeline.train(load(str(file), overrides), run_dir, resume, Progress())
    return run, json.loads((run_dir / "summary.json").read_text())[0]["metrics"], capsys.readouterr().err


@pytest.fixture(params=[None, {"r": 8}], ids=["all weights", "an adapter"])
def lora(request):
    return request.param


def test_the_checkpoint_that_measures_best_is_left_and_an_exploited_reward_is_told_of(
    exploitable, tmp_path, capsys, lora
):
    faster = ("training.learning_rate=5e-2",) if lora else ()
    run, found, said = train(exploitable(lora=lora), tmp_path / "run", capsys, *faster)
    measured = {row["step"]: row["eval_varied"] for row in run.metrics("grpo") if "eval_varied" in row}
    assert list(measured) == [0, 3, 6, 9, 12]
    after = {step: value for step, value in measured.items() if step}
    assert found["selected_varied"] == max(after.values()) == after[found["selected_step"]]
    assert (found["first_varied"], found["last_varied"]) == (measured[0], measured[12])
    assert found["selected_step"] < 12
    assert measured[12] < measured[found["selected_step"]]
    assert f"grpo step 12: varied {measured[12]:.3g} [" in said
    if lora is None:  # with the adapter it falls by less than the interval of eight prompts
        assert "warning: the training reward rises" in said
        assert "while varied on held-out data gets worse" in said
    name = "adapter_model.safetensors" if lora else "model.safetensors"
    chosen = run.path / "checkpoints" / "1-grpo" / f"checkpoint-{found['selected_step']}" / name
    left, kept = load_file(run.path / "1-grpo" / name), load_file(chosen)
    assert left.keys() == kept.keys()
    assert all(left[key].equal(kept[key]) for key in kept)
    last = load_file(run.path / "checkpoints" / "1-grpo" / "checkpoint-12" / name)
    assert not all(last[key].equal(kept[key]) for key in kept)


def test_measuring_changes_nothing_of_the_training(exploitable, tmp_path, capsys):
    runs = [
        train(exploitable(select=select), tmp_path / name, capsys)[0]
        for name, select in (("with", SELECT), ("without", None))
    ]
    with_it, without = ([row for row in run.metrics("grpo") if "reward" in row] for run in runs)
    assert [row["step"] for row in with_it] == [row["step"] for row in without] == list(range(1, 13))
    for one, other in zip(with_it, without, strict=True):
        for key in ("loss", "reward", "grad_norm", "completions/mean_length"):
            assert one[key] == other[key]


def test_a_resumed_run_knows_what_was_best_before(exploitable, tmp_path, capsys):
    file, run_dir = exploitable(), tmp_path / "run"
    _, whole, _ = train(file, run_dir, capsys)
    checkpoints = run_dir / "checkpoints" / "1-grpo"
    shutil.rmtree(checkpoints / "checkpoint-12")
    shutil.rmtree(run_dir / "1-grpo")
    (run_dir / "summary.json").write_text("[]")
    run, resumed, said = train(file, run_dir, capsys, resume=True)
    assert f"goes on from step {whole['selected_step']}" in said
    assert resumed["selected_step"] == whole["selected_step"] < 12
    assert [row["step"] for row in run.metrics("grpo") if "eval_varied" in row] == [0, 3, 6, 9, 12]
    left = load_file(run_dir / "1-grpo" / "model.safetensors")
    kept = load_file(checkpoints / f"checkpoint-{resumed['selected_step']}" / "model.safetensors")
    assert all(left[key].equal(kept[key]) for key in kept)


def test_patience_ends_a_stage_and_every_sets_its_checkpoints(exploitable, tmp_path, capsys):
    training = {key: value for key, value in TRAINING.items() if key != "save_steps"}
    select = {"metric": "mean_length", "greater_is_better": False, "every": 2, "patience": 1, "limit": 4}
    run, found, said = train(
        exploitable(rewards=["varied"], training=training, select=select), tmp_path / "run", capsys
    )
    measured = {row["step"]: row["eval_mean_length"] for row in run.metrics("grpo") if "eval_mean_length" in row}
    assert list(measured)[:2] == [0, 2]
    assert found["steps"] == max(measured) < 12
    assert found["selected_mean_length"] == min(value for step, value in measured.items() if step)
    assert "(n=4)" in said


def test_a_warm_start_leaves_its_best_checkpoint_too(recipe_file, tmp_path, capsys):
    stages = [{"sft": {"data": {"completion": "answer"}, "training": {"max_steps": 6, "save_steps": 2}}}]
    select = {"metric": "xmlcount", "split": "train[-4:]"}
    file = recipe_file(stages=stages, select=select, training={"gradient_checkpointing": False})
    run, found, said = train(file, tmp_path / "run", capsys)
    measured = [row["step"] for row in run.metrics("sft") if "eval_xmlcount" in row]
    assert measured == [0, 2, 4, 6]
    assert found["selected_step"] == 2, "of equal ones the first"
    assert "stand word for word in the data of the stage 'sft'" in said or "warning:" in said
    left = load_file(run.path / "1-sft" / "model.safetensors")
    kept = load_file(run.path / "checkpoints" / "1-sft" / "checkpoint-2" / "model.safetensors")
    assert all(left[key].equal(kept[key]) for key in kept)


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ({"metric": "varyed"}, "select.metric: unknown figure 'varyed'; did you mean 'varied'?"),
        (
            {"metric": "accuracy"},
            "select.metric: unknown figure 'accuracy'; there are: clipped, mean_length, reward, varied",
        ),
        ({"metric": "pass@4"}, "select.metric: unknown figure 'pass@4'"),
    ],
)
def test_a_figure_that_will_not_be_measured_is_refused_before_anything_is_written(
    exploitable, tmp_path, capsys, select, said
):
    with pytest.raises(RequestError) as refused:
        train(exploitable(select={"rewards": ["varied"]} | select), tmp_path / "run", capsys)
    assert said in str(refused.value)
    assert not (tmp_path / "run").exists()
