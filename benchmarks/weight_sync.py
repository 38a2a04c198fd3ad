"""A LoRA adapter into vLLM: swapped in, as rlkit does, beside merging it and loading every weight anew.

Bar: at most a tenth of the seconds at 135M.
"""

import argparse
from typing import Any

import measure
import torch
from rollout import on_disk

from rlkit.engines import adapters
from rlkit.engines.vllm import VllmEngine
from rlkit.policy import add_adapter
from rlkit.recipe.generation import GenerationSection
from rlkit.recipe.lora import LoraSection


def compare(size: str, dtype: str, runs: int) -> measure.Row:
    """Seconds of both ways for a model of that size."""
    policy = add_adapter(on_disk(measure.models(size, dtype)), LoraSection(r=16))
    engine = VllmEngine(policy, GenerationSection(engine="vllm"), training=True)

    trained = [parameter for name, parameter in policy.model.named_parameters() if "lora_B" in name]

    def change() -> None:
        with torch.no_grad():
            for parameter in trained:
                parameter.add_(0.01)

    def swap() -> None:
        change()
        engine.sync(policy)

    def reload() -> None:
        change()
        weights: dict[str, Any] = adapters.weights(policy, merge=True)
        engine.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(weights.items())})
        engine.llm.reset_prefix_cache()

    seconds = measure.interleave(runs, {"ours": swap, "theirs": reload})
    engine.close()
    said = f"weight sync, LoRA r=16, {size} {dtype} (s)"
    return measure.row(said, seconds["ours"], seconds["theirs"], higher_is_better=False)


def main() -> None:
    """Compare every size: the ratio falls as models grow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["14M", "135M", "360M"], choices=list(measure.SHAPES))
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    measure.show([compare(size, asked.dtype, asked.runs) for size in asked.models], asked.json)


if __name__ == "__main__":
    main()
