"""What benchmarks share: models by size, sides that take turns, and one row a measure."""

import gc
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

from rlkit.policy import Policy


class Row(TypedDict):
    """One measure's result; see `row`."""

    measure: str
    ours: float
    theirs: float
    ratio: float
    runs: int
    spread: list[float]
    better: str


SHAPES: dict[str, dict[str, Any]] = {
    "0.5M": {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 384},
    "0.9M": {
        "hidden_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 256,
        "vocab_size": 2048,
    },
    "14M": {"hidden_size": 320, "num_hidden_layers": 8, "num_attention_heads": 5, "vocab_size": 16384},
    "135M": {  # SmolLM-135M
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
        "vocab_size": 49152,
    },
    "360M": {  # SmolLM-360M
        "hidden_size": 960,
        "num_hidden_layers": 32,
        "num_attention_heads": 15,
        "num_key_value_heads": 5,
        "intermediate_size": 2560,
        "vocab_size": 49152,
    },
    "0.5B": {  # Qwen2.5-0.5B
        "hidden_size": 896,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "intermediate_size": 4864,
        "vocab_size": 151936,
    },
    "1.5B": {  # Qwen2.5-1.5B
        "hidden_size": 1536,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "intermediate_size": 8960,
        "vocab_size": 151936,
    },
}
"""Llama shapes by their number of parameters; embeddings are tied."""


def models(name: str, dtype: str = "float32", device: str = "cpu", context: int = 2048, seed: int = 0) -> Policy:
    """A policy of a size with random weights, drawn from `seed`, and a byte-level tokenizer with a chat template.

    Args:
        name: One of SHAPES.
        dtype: Of the weights, by its name in torch.
        device: Where they are.
        context: Tokens that the model sees.
        seed: What the weights are drawn from.
    """
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from rlkit import scratch
    from rlkit.recipe.model import TokenizerSection

    tokenizer = scratch.make_tokenizer(TokenizerSection(vocab_size=384), ["How many apples are 3 and 4?"] * 9)
    tokenizer.padding_side = "left"
    shape = {"intermediate_size": 4 * SHAPES[name]["hidden_size"], **SHAPES[name]}
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    torch.manual_seed(seed)
    config = LlamaConfig(**shape, **ids, max_position_embeddings=context, tie_word_embeddings=True)
    model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    return Policy(model.to(device).eval(), tokenizer)


def prompts(policy: Policy, count: int = 8, length: int = 64, seed: int = 0) -> list[list[int]]:
    """Prompts of random tokens: `count` of them, from three quarters of `length` tokens to `length`."""
    draw = random.Random(seed)
    ends = set(policy.tokenizer.all_special_ids)
    ids = [i for i in range(len(policy.tokenizer)) if i not in ends]
    return [draw.choices(ids, k=length - draw.randrange(length // 4)) for _ in range(count)]


def interleave(runs: int, sides: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """The seconds that each side takes, `runs` times each, in turns; each is run once before, untimed.

    The order of the sides changes from run to run, so that none is always the one that goes first.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for run in sides.values():
        run()
    for turn in range(runs):
        for name in list(sides)[:: -1 if turn % 2 else 1]:
            gc.collect()
            start = time.perf_counter()
            sides[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def row(measure: str, ours: Sequence[float], theirs: Sequence[float], higher_is_better: bool = True) -> Row:
    """One measure's result: medians, their ratio (ours over theirs), and the least and largest ratio of a run.

    Args:
        measure: What was measured, with its unit.
        ours: A figure a run.
        theirs: The same runs' figures of the other side.
        higher_is_better: False for seconds and bytes.
    """
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "measure": measure,
        "ours": round(statistics.median(ours), 4),
        "theirs": round(statistics.median(theirs), 4),
        "ratio": round(statistics.median(ours) / statistics.median(theirs), 3),
        "runs": len(ratios),
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "better": "higher" if higher_is_better else "lower",
    }


def show(rows: Sequence[Row], as_json: bool) -> None:
    """Print rows: one JSON object a line, or a table in Markdown."""
    if as_json:
        for each in rows:
            print(json.dumps(each), flush=True)
        return
    print("| measure | ours | theirs | ours / theirs | least to largest | runs | better |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for each in rows:
        low, high = each["spread"]
        print(
            f"| {each['measure']} | {each['ours']:.4g} | {each['theirs']:.4g} | {each['ratio']:.2f} "
            f"| {low:.2f} to {high:.2f} | {each['runs']} | {each['better']} |"
        )
