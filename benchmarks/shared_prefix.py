"""The training part of a step whose prompt is four times its completions, group of 16, beside TRL's."""

import measure
import trainers


def main() -> None:
    """Time both."""
    asked = trainers.arguments(__doc__)
    policy = measure.models(asked.model, asked.dtype)
    inputs = trainers.batch(policy, groups=1, group=16, prompt=256, completion=64)
    sides = trainers.pair(policy, rows=16, lora=not asked.full, num_generations=16, max_completion_length=64)
    seconds = measure.interleave(asked.runs, {name: trainers.step(sides[name], inputs) for name in sides})
    said = f"training part, group of 16, 256 + 64 tokens, {asked.model} {asked.dtype} (s)"
    measure.show([measure.row(said, seconds["ours"], seconds["theirs"], higher_is_better=False)], asked.json)


if __name__ == "__main__":
    main()
