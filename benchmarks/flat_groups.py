"""The training part of a step when half of its groups have no variance, beside TRL's."""

import measure
import trainers


def main() -> None:
    """Time both."""
    asked = trainers.arguments(__doc__)
    policy = measure.models(asked.model, asked.dtype)
    inputs = trainers.batch(policy, groups=4, group=8, prompt=64, completion=64, flat=2)
    sides = trainers.pair(policy, rows=32, lora=not asked.full, num_generations=8, max_completion_length=64)
    seconds = measure.interleave(asked.runs, {name: trainers.step(sides[name], inputs) for name in sides})
    said = f"training part, 2 of 4 groups of 8 without variance, 64 + 64 tokens, {asked.model} {asked.dtype} (s)"
    measure.show([measure.row(said, seconds["ours"], seconds["theirs"], higher_is_better=False)], asked.json)


if __name__ == "__main__":
    main()
