"""Groups as rlkit generates them at its fastest, beside TRL with transformers' generate: tokens a second.

135M Llama shape, 64 completions of 128 tokens (8 prompts in groups of 8), one dtype, in turns. Bar: 2.3 times.
"""

import argparse
import tempfile
from pathlib import Path

import engine as other
import measure

from rlkit.engines import Sampling, choose
from rlkit.policy import Policy
from rlkit.recipe.generation import GenerationSection


def on_disk(policy: Policy) -> Policy:
    """The policy, its weights in a folder too, as vLLM loads them."""
    folder = Path(tempfile.mkdtemp())
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    policy.base = str(folder)
    return policy


def main() -> None:
    """Time both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="135M", choices=list(measure.SHAPES))
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--engine", default="vllm", choices=["vllm", "transformers"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    policy = on_disk(measure.models(asked.model, asked.dtype, asked.device))
    engine, _ = choose(GenerationSection(engine=asked.engine), policy)
    prompts = measure.prompts(policy, other.PROMPTS)
    counts: dict[str, list[int]] = {"ours": [], "theirs": []}
    seeds = iter(range(asked.runs + 1))

    def ours() -> None:
        sampling = Sampling(max_completion_length=other.TOKENS, n=other.GROUP, seed=next(seeds), logprobs=True)
        counts["ours"].append(sum(map(len, engine.generate(prompts, sampling).completion_ids)))

    def theirs() -> None:
        counts["theirs"].append(sum(map(len, other.generate(policy))))

    seconds = measure.interleave(asked.runs, {"ours": ours, "theirs": theirs})
    engine.close()
    rates = {side: [n / s for n, s in zip(counts[side][1:], seconds[side], strict=True)] for side in counts}
    said = f"rollout, engine {asked.engine}, {asked.model} {asked.dtype}, 64 x 128 tokens (tokens/s)"
    measure.show([measure.row(said, rates["ours"], rates["theirs"])], asked.json)


if __name__ == "__main__":
    main()
