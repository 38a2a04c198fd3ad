"""Which groups a step trains on."""

import json

import pytest
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from rlkit import pipeline, policy
from rlkit.errors import RequestError
from rlkit.progress import Progress
from rlkit.recipe.groups import GroupsSection
from rlkit.recipe.load import load
from rlkit.recipe.model import ModelSection
from rlkit.training.clock import Clock
from rlkit.training.prompts import PromptPool
from rlkit.training.trainer import GroupTrainer

ODD = """
from rlkit import reward

@reward("odd")
def odd(completion, prompt):
    "Only prompts with an odd number tell completions apart."
    number = int("".join(filter(str.isdigit, prompt[-1]["content"].split(" and ")[0])))
    return float(sum(map(ord, completion))) if number % 2 else 1.0
"""


def train(file, run_dir, *overrides):
    return pipeline.train(load(str(file), overrides), run_dir, progress=Progress(quiet=True))


@pytest.fixture
def odd_recipe(recipe_file, tmp_path, clean_registry):
    (tmp_path / "odd.py").write_text(ODD)
    training = {"max_steps": 3, "per_device_train_batch_size": 16, "gradient_checkpointing": False}
    return recipe_file(rewards=["odd"], plugins=["odd.py"], training=training)


def numbers(run, step):
    """The number in each prompt whose completions were kept of a step, in order, and the rewards of its group."""
    found = []
    for line in (run.path / "completions" / "1-grpo" / f"step_{step:06d}.jsonl").read_text().splitlines():
        row = json.loads(line)
        number = int(row["prompt"][-1]["content"].split()[3])
        if not found or found[-1][0] != number or len(found[-1][1]) == 4:
            found.append((number, []))
        found[-1][1].append(row["reward"])
    return found


def test_dynamic_sampling_fills_a_step_with_groups_that_have_variance(odd_recipe, tmp_path):
    run = train(odd_recipe, tmp_path / "run", "groups.extra_prompts=40")
    for row in run.metrics("grpo"):
        made = numbers(run, row["step"] - 1)
        flat = sum(len(set(rewards)) == 1 for _, rewards in made[:4])
        assert row["groups/replaced"] == flat
        assert row["groups/thrown_away"] == len(made) - 4 >= flat
    assert sum(row["groups/replaced"] for row in run.metrics("grpo")) > 0


def test_extra_prompts_are_bounded(odd_recipe, tmp_path):
    run = train(odd_recipe, tmp_path / "run", "groups.extra_prompts=1")
    assert all(row["groups/thrown_away"] <= 1 for row in run.metrics("grpo"))


def test_pass_rates_are_kept_and_a_curriculum_leaves_out_what_teaches_nothing(odd_recipe, tmp_path):
    steps = "training={max_steps: 8, per_device_train_batch_size: 16, gradient_checkpointing: false}"
    run = train(
        odd_recipe, tmp_path / "run", steps, "groups.curriculum={skip_after: 1, return_after: 100}", "data.limit=8"
    )
    groups = [json.loads(line) for line in (run.path / "prompts" / "1-grpo.jsonl").read_text().splitlines()]
    assert {group["n"] for group in groups} == {4}
    settled: set[str] = set()
    for step in range(8):
        here = [group for group in groups if group["step"] == step]
        assert not settled & {group["prompt"] for group in here}
        settled |= {group["prompt"] for group in here if group["settled"]}
    assert len(settled) == 4, "the even ones"
    assert max(row["groups/resting"] for row in run.metrics("grpo")) > 0


def test_settings_that_cannot_work_are_refused_before_anything_is_generated(odd_recipe, tmp_path):
    with pytest.raises(RequestError, match="overlap"):
        train(odd_recipe, tmp_path / "run", "groups.overlap=true")
    assert not (tmp_path / "run").exists()


def test_where_the_time_went_is_logged_each_step(odd_recipe, tmp_path):
    run = train(odd_recipe, tmp_path / "run")
    for row in run.metrics("grpo"):
        parts = {name.removeprefix("time/") for name in row if name.startswith("time/")}
        assert parts == {"generate", "sync", "reward", "train", "other"}
        assert all(row[f"time/{part}"] >= 0 for part in parts)
        assert row["time/generate"] > 0 and row["time/train"] > 0
        assert row["tokens_per_second"] > 0
        assert 0 <= row["padding"] < 1


class Fixed:
    """Rollouts that are the same for every trainer: what a prompt gets depends on the step alone."""

    def __call__(self, prompts, trainer):
        draw = torch.Generator().manual_seed(trainer.state.global_step)
        ids = [
            torch.randint(5, 300, (int(torch.randint(1, 9, (1,), generator=draw)),), generator=draw) for _ in prompts
        ]
        made = [trainer.processing_class(prompt)["input_ids"] for prompt in prompts]
        return {"prompt_ids": made, "completion_ids": [c.tolist() for c in ids], "logprobs": None}


def half_flat(prompts, completion_ids, **_):
    return [
        float(sum(ids) % 7) if "odd" in prompt else 1.0 for prompt, ids in zip(prompts, completion_ids, strict=True)
    ]


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "dr_grpo"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_run_leaves_the_weights_that_trl_leaves(tiny_model, tmp_path, loss_type, accumulation):
    rows = Dataset.from_list([{"prompt": f"number {i} is {'odd' if i % 2 else 'even'}"} for i in range(12)])
    weights = []
    for kind in (GRPOTrainer, GroupTrainer):
        loaded = policy.load(ModelSection(path=str(tiny_model)))
        more = {"rollout_func": Fixed()}
        if kind is GroupTrainer:
            pool = PromptPool(rows, tmp_path / "prompts.jsonl")
            groups = GroupsSection(tokens_per_microbatch=60)
            more = {"pool": pool, "rollouts": Fixed(), "groups": groups, "clock": Clock()}
        args = GRPOConfig(
            str(tmp_path / "run"),
            use_cpu=True,
            bf16=False,
            report_to="none",
            max_steps=3,
            optim="sgd",
            learning_rate=0.5,
            lr_scheduler_type="constant",
            num_generations=4,
            per_device_train_batch_size=8 // accumulation,
            gradient_accumulation_steps=accumulation,
            gradient_checkpointing=False,
            loss_type=loss_type,
            save_strategy="no",
        )
        trainer = kind(
            model=loaded.model,
            processing_class=loaded.tokenizer,
            args=args,
            reward_funcs=[half_flat],
            train_dataset=rows,
            **more,
        )
        before = {n: p.detach().clone() for n, p in loaded.model.named_parameters()}
        trainer.train()
        weights.append({n: p.detach().clone() for n, p in loaded.model.named_parameters()})
        assert max(float((weights[-1][n] - before[n]).abs().max()) for n in before) > 1e-4
    assert max(float((weights[0][n] - weights[1][n]).abs().max()) for n in before) < 1e-5


@pytest.mark.slow
def test_two_processes_leave_out_and_fill_groups_each_for_itself(odd_recipe, tmp_path, rlkit):
    training = "training={max_steps: 3, per_device_train_batch_size: 8, gradient_checkpointing: false}"
    sections = ["groups.extra_prompts=4", "groups.curriculum={skip_after: 1}", "groups.tokens_per_microbatch=60"]
    launch = ["--", "--num_processes", "2", "--cpu"]
    done = rlkit("train", odd_recipe, training, *sections, "--run-dir", "run", *launch, timeout=400)
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert sum(row["groups/replaced"] for row in rows) > 0
    groups = [json.loads(line) for line in (tmp_path / "run" / "prompts" / "1-grpo.jsonl").read_text().splitlines()]
    assert sum(group["n"] for group in groups if group["step"] == 0) >= 16
