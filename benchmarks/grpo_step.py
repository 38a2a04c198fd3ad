"""A whole GRPO step beside a plain TRL script: generate, score, forward, backward, update.

135M Llama shape, LoRA r=16, 8 prompts in groups of 8, 128 tokens a completion. TRL at its best settings that run here:
transformers' generate, no gradient checkpointing, and 16 completions at a time through forward and backward, on both
sides: all 64 at once take more than 24 GB on TRL's. Bar: 1.6 times as fast. `--memory` runs each side
in a process of its own and gives its peak memory instead; bar: not above TRL's.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import measure
import torch
from datasets import Dataset
from rollout import on_disk
from transformers import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from rlkit.engines import Sampling, choose
from rlkit.policy import add_adapter
from rlkit.recipe.generation import GenerationSection
from rlkit.recipe.groups import GroupsSection
from rlkit.recipe.lora import LoraSection
from rlkit.training.clock import Clock
from rlkit.training.prompts import PromptPool
from rlkit.training.rollouts import Rollouts
from rlkit.training.trainer import GroupTrainer


def variety(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """A reward that costs nothing and differs within each group."""
    return [len(set(ids)) / len(ids) for ids in completion_ids]


def trainer(side: str, asked: argparse.Namespace) -> Any:
    """One side's trainer, ready for steps of one optimizer update each."""
    policy = add_adapter(on_disk(measure.models(asked.model, asked.dtype, asked.device)), LoraSection(r=16))
    rows = asked.prompts * asked.group
    text = ["".join(chr(97 + (i * 7 + j * j) % 26) for j in range(asked.prompt)) for i in range(asked.prompts)]
    data = Dataset.from_list([{"prompt": one} for one in text])
    args = GRPOConfig(
        tempfile.mkdtemp(),
        use_cpu=asked.device == "cpu",
        bf16=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        max_steps=1,
        num_generations=asked.group,
        per_device_train_batch_size=rows // asked.accumulate,
        gradient_accumulation_steps=asked.accumulate,
        max_completion_length=asked.tokens,
        gradient_checkpointing=False,
    )
    common = {"model": policy.model, "reward_funcs": [variety], "args": args, "train_dataset": data}
    if side == "theirs":
        return GRPOTrainer(processing_class=policy.tokenizer, **common)
    engine, _ = choose(GenerationSection(engine=asked.engine), policy, rows, training=True)

    def sampling(**each: Any) -> Sampling:
        return Sampling(max_completion_length=asked.tokens, logprobs=not engine.exact, **each)

    clock = Clock()
    own = {"groups": GroupsSection(), "clock": clock, "corrected": not engine.exact}
    pool = PromptPool(data, Path(tempfile.mkdtemp()) / "prompts.jsonl")
    rollouts = Rollouts(engine, policy, sampling, 0, clock)
    return GroupTrainer(pool=pool, rollouts=rollouts, processing_class=policy.tokenizer, **own, **common)


def memory(asked: argparse.Namespace) -> measure.Row:
    """Peak resident memory of each side in MB, over two steps, each in a process of its own."""
    peaks: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(asked.runs):
        for side, found in peaks.items():
            command = [sys.executable, __file__, "--side", side, *sys.argv[1:]]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append(float(done.stdout.split()[-1]))
    said = f"peak memory of a step, engine {asked.engine}, {asked.model} {asked.dtype} (MB)"
    return measure.row(said, peaks["ours"], peaks["theirs"], higher_is_better=False)


def main() -> None:
    """Time both, or weigh them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="135M", choices=list(measure.SHAPES))
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--engine", default="vllm", choices=["vllm", "transformers"])
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("--tokens", type=int, default=128, help="tokens of a completion")
    parser.add_argument("--accumulate", type=int, default=4, help="batches a step")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--side", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.side:
        one = trainer(asked.side, asked)
        one.remove_callback(PrinterCallback)
        one.train()
        one.train()
        used = torch.cuda.max_memory_allocated() / 1e6 if asked.device != "cpu" else _peak()
        print(used)
        return
    if asked.memory:
        measure.show([memory(asked)], asked.json)
        return
    sides = {side: trainer(side, asked) for side in ("ours", "theirs")}
    for one in sides.values():
        one.remove_callback(PrinterCallback)
    seconds = measure.interleave(asked.runs, {side: one.train for side, one in sides.items()})
    sides["ours"].rollouts.close()
    rows = asked.prompts * asked.group
    said = (
        f"GRPO step, LoRA r=16, engine {asked.engine}, {asked.model} {asked.dtype}, {rows} x {asked.tokens} tokens (s)"
    )
    measure.show([measure.row(said, seconds["ours"], seconds["theirs"], higher_is_better=False)], asked.json)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
