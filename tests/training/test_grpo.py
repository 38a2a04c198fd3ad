"""GRPO for real, on a model of a few thousand weights: what the recipe says reaches TRL, and what TRL does is kept."""

import json

import pytest

from rlkit import pipeline
from rlkit.errors import RequestError, RunError
from rlkit.plan import Plan
from rlkit.progress import Progress
from rlkit.recipe.load import load
from rlkit.runs import RunDirectory

QUIET = Progress(quiet=True)


def train(file, run_dir, *overrides, **settings):
    return pipeline.train(load(str(file), overrides), run_dir, progress=QUIET, **settings)


def test_a_recipe_trains_and_leaves_all_that_a_run_directory_should(recipe_file, tmp_path):
    run = train(recipe_file(), tmp_path / "run")
    (entry,) = run.summary()
    assert (entry["stage"], entry["name"], entry["metrics"]["steps"]) == ("grpo", "grpo", 2)
    rows = run.metrics("grpo")
    assert [row["step"] for row in rows] == [1, 2]
    assert {"rewards/xmlcount/mean", "rewards/correctness/mean", "reward", "loss"} <= set(rows[0])
    steps = sorted((run.path / "completions" / "1-grpo").iterdir())
    completions = [json.loads(line) for file in steps for line in file.read_text().splitlines()]
    assert len(completions) == 8
    assert set(completions[0]["rewards"]) == {"xmlcount", "correctness"}
    assert completions[0]["tokens"] <= 8
    expected = completions[0]["rewards"]["xmlcount"] + 2 * completions[0]["rewards"]["correctness"]
    assert completions[0]["reward"] == pytest.approx(expected)
    assert {path.name for path in run.model().iterdir()} >= {"model.safetensors", "config.json", "tokenizer.json"}
    assert not list(run.model().glob("*.bin"))
    for name in ("recipe.yaml", "env.json", "curves.png", "report.html"):
        assert (run.path / name).stat().st_size > 0


def test_every_section_reaches_trls_configuration(recipe_file, tmp_path):
    file = recipe_file(
        rewards=["xmlcount", {"correctness": {"weight": 2.0}}],
        generation={"num_generations": 2, "max_completion_length": 7, "temperature": 0.7, "top_p": 0.9, "top_k": 5},
        training={"max_steps": 3, "learning_rate": 3e-4, "beta": 0.02, "loss_type": "dr_grpo", "save_steps": 2},
        seed=11,
    )
    plan = Plan.make(load(str(file)))
    config = pipeline.configurations(plan, RunDirectory(tmp_path / "run"))[1]
    expected = {
        "num_generations": 2,
        "max_completion_length": 7,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 5,
        "max_steps": 3,
        "learning_rate": 3e-4,
        "beta": 0.02,
        "loss_type": "dr_grpo",
        "save_steps": 2,
        "seed": 11,
        "reward_weights": [1.0, 2.0],
    }
    assert {name: getattr(config, name) for name in expected} == expected
    assert not (tmp_path / "run").exists()


def test_sft_then_grpo_goes_on_with_the_same_adapter(recipe_file, tmp_path):
    stages = [
        {"sft": {"data": {"completion": "answer"}, "training": {"max_steps": 2}}},
        {"eval": {"data": {"limit": 4}}},
        {"grpo": {"training": {"max_steps": 1, "beta": 0.1}}},
    ]
    rewards = [{"length": {"target": 3, "unit": "characters"}}]  # so that completions of a group differ
    run = train(recipe_file(stages=stages, lora={"r": 2}, rewards=rewards), tmp_path / "run")
    assert [entry["name"] for entry in run.summary()] == ["sft", "eval", "grpo"]
    from safetensors.torch import load_file

    first, second = (load_file(run.path / name / "adapter_model.safetensors") for name in ("1-sft", "3-grpo"))
    assert first.keys() == second.keys()
    assert any((first[key] != second[key]).any() for key in first)
    assert not any(".ref." in key for key in second)


def test_a_reward_that_always_fails_stops_the_run_and_is_named(recipe_file, tmp_path, clean_registry):
    (tmp_path / "broken.py").write_text(
        "from rlkit import reward\n\n@reward('broken')\ndef broken(completions):\n    raise KeyError('no such thing')\n"
    )
    file = recipe_file(rewards=["xmlcount", "broken"], plugins=["broken.py"], training={"max_steps": 9})
    with pytest.raises(RunError, match=r"'broken' failed on \d+ of its last \d+ completions.*KeyError"):
        train(file, tmp_path / "run")


def test_a_trl_reward_and_an_async_plugin_train_together(recipe_file, tmp_path, clean_registry):
    (tmp_path / "later.py").write_text(
        "import asyncio\nfrom rlkit import reward\n\n@reward('later')\n"
        "async def later(completion, answer):\n    await asyncio.sleep(0)\n    return float(len(completion))\n"
    )
    file = recipe_file(rewards=["later", "trl.rewards.think_format_reward"], plugins=["later.py"])
    row = train(file, tmp_path / "run").metrics()[0]
    assert row["rewards/later/mean"] > 0
    assert row["rewards/think_format_reward/mean"] == 0


def test_an_rlkit_reward_works_in_plain_trl(tiny_model, tmp_path):
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from rlkit import plugins

    rewards = [plugins.find("correctness"), plugins.find("length").configure("short", target=3)]
    rows = [{"prompt": [{"role": "user", "content": "1+1?"}], "answer": "2", "target": 5}] * 4
    trainer = GRPOTrainer(
        model=str(tiny_model),
        reward_funcs=rewards,
        args=GRPOConfig(
            str(tmp_path / "plain"),
            use_cpu=True,
            bf16=False,
            report_to="none",
            max_steps=1,
            num_generations=2,
            per_device_train_batch_size=2,
            max_completion_length=6,
            logging_steps=1,
        ),
        train_dataset=Dataset.from_list(rows),
    )
    trainer.train()
    logged = trainer.state.log_history[0]
    assert {"rewards/correctness/mean", "rewards/short/mean"} <= set(logged)
    assert logged["rewards/short/mean"] > 0


def test_fewer_prompts_than_a_step_needs_is_an_error_that_says_so(recipe_file, tmp_path):
    file = recipe_file()
    with pytest.raises(RequestError, match="8 prompts are generated for at a time, and the data has 3"):
        train(file, tmp_path / "run", "data.limit=3", "training.per_device_train_batch_size=32")
    assert not (tmp_path / "run").exists()


def test_the_seed_draws_the_adapter_too(recipe_file, tmp_path):
    from safetensors.torch import load_file

    file = recipe_file(lora={"r": 2}, training={"max_steps": 1, "per_device_train_batch_size": 4})
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run = train(file, tmp_path / name, f"seed={seed}")
        weights.append(load_file(run.model() / "adapter_model.safetensors"))
    first, again, other = weights
    assert all(first[key].equal(again[key]) for key in first)
    assert any(not first[key].equal(other[key]) for key in first)


def test_a_later_stages_adapter_is_rehearsed_before_anything_is_written(recipe_file, tmp_path):
    stages = [
        {"sft": {"data": {"completion": "answer"}, "training": {"max_steps": 1}}},
        {"grpo": {"lora": {"target_modules": ["nope"]}}},
    ]
    model = {"from_scratch": {"hidden_size": 32, "num_attention_heads": 2, "tokenizer": {"vocab_size": 300}}}
    for each in (None, model):
        sections = {"model": each} if each else {}
        with pytest.raises(RequestError, match="nope"):
            train(recipe_file(stages=stages, **sections), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_schedules_gates_and_clips_reach_the_sum_that_trl_trains_on(recipe_file, tmp_path):
    rewards = [
        {"length": {"target": 4, "unit": "characters", "weight": {"from": 1, "to": 0, "over": 2}, "clip": [0.2, 0.4]}},
        {"correctness": {"gate": "length", "weight": 3}},
    ]
    training = {"max_steps": 3, "per_device_train_batch_size": 4, "gradient_checkpointing": False}
    run = train(recipe_file(rewards=rewards, training=training), tmp_path / "run")
    rows = run.metrics("grpo")
    assert [row["rewards/length/weight"] for row in rows] == pytest.approx([1.0, 0.5, 0.0])
    for row, weight in zip(rows, (1.0, 0.5, 0.0), strict=True):
        assert 0.2 <= row["rewards/length/mean"] <= 0.4
        assert row["reward"] == pytest.approx(weight * row["rewards/length/mean"], abs=1e-6)
        assert row["rewards/length/raw"] != pytest.approx(row["rewards/length/mean"])
    (first,) = (run.path / "completions" / "1-grpo").glob("step_000000.jsonl")
    kept = [json.loads(line) for line in first.read_text().splitlines()]
    for row in kept:
        assert row["reward"] == pytest.approx(min(max(row["rewards"]["length"], 0.2), 0.4))
        assert row["answer"], "what a reward needs is kept, so that it can be scored again"


def test_a_grader_that_hangs_costs_its_sample_and_the_run_goes_on(recipe_file, tmp_path, clean_registry):
    (tmp_path / "hangs.py").write_text(
        "from rlkit import reward\n\n\n"
        "@reward('hangs', timeout=0.5)\n"
        "def hangs(completion, prompt):\n"
        "    while 'are 3 and 4' in prompt[-1]['content']:\n"
        "        pass\n"
        "    return 1.0\n"
    )
    file = recipe_file(plugins=[str(tmp_path / "hangs.py")], rewards=["xmlcount", "hangs"], max_error_rate=1.0)
    training = "training={max_steps: 24, per_device_train_batch_size: 4, gradient_checkpointing: false}"
    run = train(file, tmp_path / "run", training, "generation.max_completion_length=2")
    (entry,) = run.summary()
    assert entry["metrics"]["steps"] == 24
    assert entry["metrics"]["reward_timeouts"] == {"hangs": 4}  # the four completions of one prompt
    assert any(row.get("rewards/hangs/failed") == 1.0 for row in run.metrics("grpo"))
