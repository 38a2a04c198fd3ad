"""TRL's trainer and rlkit's side by side: the same model, the same batch, the same settings."""

import argparse
import copy
import tempfile
from collections.abc import Callable
from typing import Any

import measure
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from rlkit.policy import Policy, add_adapter
from rlkit.recipe.groups import GroupsSection
from rlkit.recipe.lora import LoraSection
from rlkit.training.clock import Clock
from rlkit.training.gradient import GradientTrainer


def compare(about: str | None, what: str, groups: int, group: int, prompt: int, completion: int, flat: int = 0) -> None:
    """Time the training part of both sides on one batch (see `batch`), and show it: a benchmark's whole program."""
    asked = arguments(about)
    policy = measure.models(asked.model, asked.dtype)
    inputs = batch(policy, groups, group, prompt, completion, flat)
    lengths = {"num_generations": group, "max_completion_length": completion}
    sides = pair(policy, groups * group, lora=not asked.full, **lengths)
    seconds = measure.interleave(asked.runs, {name: step(sides[name], inputs) for name in sides})
    said = f"training part, {what}, {prompt} + {completion} tokens, {asked.model} {asked.dtype} (s)"
    measure.show([measure.row(said, seconds["ours"], seconds["theirs"], higher_is_better=False)], asked.json)


def arguments(about: str | None) -> argparse.Namespace:
    """The command line of a benchmark of the training part."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--model", default="135M", choices=list(measure.SHAPES))
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--full", action="store_true", help="train all weights, not a LoRA adapter of r=16")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true", help="print one object a measure")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    return asked


def batch(policy: Policy, groups: int, group: int, prompt: int, completion: int, flat: int = 0) -> dict[str, Any]:
    """Completions of half to all of `completion` tokens as TRL's trainer keeps them; `flat` groups have no variance."""
    draw = torch.Generator().manual_seed(0)
    rows, size = groups * group, len(policy.tokenizer)
    prompts = torch.randint(5, size, (groups, prompt), generator=draw).repeat_interleave(group, 0)
    lengths = torch.randint(completion // 2, completion + 1, (rows,), generator=draw)
    lengths[0] = completion
    mask = (torch.arange(completion)[None] < lengths[:, None]).long()
    advantages = torch.randn(rows, generator=draw)
    advantages[: flat * group] = 0.0
    return {
        "prompt_ids": prompts,
        "prompt_mask": torch.ones_like(prompts),
        "completion_ids": torch.randint(5, size, (rows, completion), generator=draw) * mask,
        "completion_mask": mask,
        "advantages": advantages,
        "num_items_in_batch": mask.sum(),
    }


def pair(policy: Policy, rows: int, lora: bool, **fields: Any) -> dict[str, Any]:
    """rlkit's trainer and TRL's, each with its copy of the model."""
    data = Dataset.from_list([{"prompt": "x"}] * rows)
    made: dict[str, Any] = {}
    for name, kind in (("ours", GradientTrainer), ("theirs", GRPOTrainer)):
        model = copy.deepcopy(policy.model)
        if lora:
            model = add_adapter(Policy(model, policy.tokenizer), LoraSection(r=16)).model
        args = GRPOConfig(
            tempfile.mkdtemp(),
            use_cpu=not torch.cuda.is_available(),
            bf16=False,
            report_to="none",
            gradient_checkpointing=False,
            per_device_train_batch_size=rows,
            **fields,
        )
        own: dict[str, Any] = {"groups": GroupsSection(), "clock": Clock()} if kind is GradientTrainer else {}
        common = {"processing_class": policy.tokenizer, "args": args, "train_dataset": data}
        trainer = kind(model=model, reward_funcs=[lambda completions, **_: [0.0] * len(completions)], **common, **own)
        trainer.current_gradient_accumulation_steps = 1
        trainer.model.train()
        made[name] = trainer
    return made


def step(trainer: Any, inputs: dict[str, Any]) -> Callable[[], None]:
    """The training part of a step: forward, loss and backward."""
    inputs = {name: value.to(trainer.accelerator.device) for name, value in inputs.items()}

    def run() -> None:
        trainer.model.zero_grad()
        trainer.compute_loss(trainer.model, dict(inputs)).backward()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return run
