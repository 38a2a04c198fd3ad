"""The transformers engine against TRL's two ways to generate: python benchmarks/engine.py [--quick] [--json]

64 completions of 128 tokens, 8 prompts in groups of 8, with one model in one dtype, in turns. Bars: 1.3 times TRL's
generate, 3 times its continuous batching.
"""

import argparse
import functools
from collections.abc import Callable
from typing import Any

import measure
import torch
from transformers import ContinuousBatchingConfig, GenerationConfig
from trl.trainer.utils import pad

from rlkit.engines import Sampling
from rlkit.engines.transformers import TransformersEngine
from rlkit.policy import Policy

PROMPTS, GROUP, TOKENS = 8, 8, 128


def ours(policy: Policy) -> Callable[[], list[list[int]]]:
    """The engine, as rlkit's GRPO calls it."""
    engine = TransformersEngine(policy, batch_size=PROMPTS * GROUP)
    sampling = Sampling(max_completion_length=TOKENS, n=GROUP)
    prompts = measure.prompts(policy, PROMPTS)
    return lambda: engine.generate(prompts, sampling).completion_ids


def _config(policy: Policy) -> GenerationConfig:
    """What GRPOTrainer makes of its default settings."""
    return GenerationConfig(
        max_new_tokens=TOKENS,
        do_sample=True,
        pad_token_id=policy.tokenizer.pad_token_id,
        bos_token_id=policy.tokenizer.bos_token_id,
        eos_token_id=policy.end_ids,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        min_p=None,
        repetition_penalty=1.0,
        cache_implementation=None,
        disable_compile=True,
    )


def _repeated(policy: Policy) -> list[list[int]]:
    return [prompt for prompt in measure.prompts(policy, PROMPTS) for _ in range(GROUP)]


def generate(policy: Policy) -> list[list[int]]:
    """The prompts that GRPOTrainer repeats, through `generate`, up to the end of each completion."""
    rows = [torch.tensor(ids) for ids in _repeated(policy)]
    inputs = {
        "input_ids": pad(rows, padding_value=policy.tokenizer.pad_token_id, padding_side="left"),
        "attention_mask": pad([torch.ones_like(row) for row in rows], padding_value=0, padding_side="left"),
    }
    inputs = {name: value.to(policy.model.device) for name, value in inputs.items()}
    with torch.no_grad():
        made = policy.model.generate(**inputs, generation_config=_config(policy))
    made = made[:, inputs["input_ids"].shape[1] :]
    ended = torch.isin(made, torch.tensor(policy.end_ids, device=made.device))
    kept = ended.cumsum(-1) - ended.long() == 0
    return [row[mask].tolist() for row, mask in zip(made.cpu(), kept.cpu(), strict=True)]


def continuous(policy: Policy) -> list[list[int]]:
    """The same prompts through `generate_batch`, as with use_transformers_continuous_batching."""
    with torch.no_grad():
        made = policy.model.generate_batch(
            _repeated(policy),
            generation_config=_config(policy),
            continuous_batching_config=ContinuousBatchingConfig(),
            progress_bar=False,
        )
    return [output.generated_tokens for output in made.values()]


def compare(size: str, dtype: str, name: str, theirs: Callable[[Policy], Any], runs: int, device: str) -> measure.Row:
    """Tokens a second of both sides."""
    policy = measure.models(size, dtype, device)
    counts: dict[str, list[int]] = {"ours": [], "theirs": []}

    def counted(side: str, run: Callable[[], list[list[int]]]) -> None:
        counts[side].append(sum(map(len, run())))

    sides: dict[str, Callable[[], list[list[int]]]] = {
        "ours": ours(policy),
        "theirs": functools.partial(theirs, policy),
    }
    seconds = measure.interleave(runs, {side: functools.partial(counted, side, run) for side, run in sides.items()})
    rates = {side: [n / s for n, s in zip(counts[side][1:], seconds[side], strict=True)] for side in sides}
    return measure.row(f"transformers engine, {size}, {dtype}, {name}: tokens/s", rates["ours"], rates["theirs"])


def main() -> None:
    """Compare every size and dtype with both sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one run of the smallest model")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", default=["0.9M", "135M"], choices=list(measure.SHAPES))
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--against", nargs="+", default=["generate", "continuous"], choices=["generate", "continuous"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="print one JSON object a measure")
    arguments = parser.parse_args()
    sizes, dtypes, runs = arguments.sizes, arguments.dtypes, arguments.runs
    if arguments.quick:
        sizes, dtypes, runs = sizes[:1], dtypes[:1], 1
    sides = {"generate": ("TRL's generate", generate), "continuous": ("TRL's continuous batching", continuous)}
    rows = []
    for size in sizes:
        for dtype in dtypes:
            for name, side in (sides[each] for each in arguments.against):
                rows.append(compare(size, dtype, name, side, runs, arguments.device))
                if arguments.json:
                    measure.show(rows[-1:], as_json=True)
    if not arguments.json:
        measure.show(rows, as_json=False)


if __name__ == "__main__":
    main()
