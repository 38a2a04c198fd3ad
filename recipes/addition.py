"""Two-digit addition: problems, and demonstrations that carry the flaws of real ones.

Problems are unordered pairs of 0 to 99. A fixed tenth of the pairs is held out: neither order of a
held-out pair is in any training row, whatever the seed. Three quarters of the problems need a carry.
"""

import random
from collections.abc import Iterator
from typing import Literal

HELD_OUT_SHARE = 0.1
CARRY_SHARE = 0.75
FORGETS_CARRY = 0.65
"""Share of the carry demonstrations that forget it."""
LAYOUTS = {"strict": 0.30, "one line": 0.56, "unclosed": 0.07, "chatty": 0.07}
"""How the demonstrations are laid out; all but the first break the strict format."""

Split = Literal["train", "held_out"]


def problems(n: int = 2000, seed: int = 0, split: Split = "train") -> Iterator[dict[str, str]]:
    """Problems with their answers: `question`, `answer`; without repeats while there are enough."""
    rng = random.Random(f"{split} {seed}")
    for a, b in _draw(n, rng, split):
        yield {"question": f"{a} + {b} = ?", "answer": str(a + b)}


def demonstrations(n: int = 6000, seed: int = 0) -> Iterator[dict[str, str]]:
    """Worked solutions to imitate: most forget to carry, and most break the strict format."""
    rng = random.Random(f"demonstrations {seed}")
    for a, b in _draw(n, rng, "train"):
        carries = _carries(a, b) and rng.random() >= FORGETS_CARRY
        layout = rng.choices(list(LAYOUTS), list(LAYOUTS.values()))[0]
        yield {
            "question": f"{a} + {b} = ?",
            "answer": str(a + b),
            "demonstration": _write(a, b, carries, layout),
        }


def _write(a: int, b: int, carries: bool, layout: str) -> str:
    """Units, then tens, then the answer that these two come to."""
    units = a % 10 + b % 10
    tens = a // 10 + b // 10 + carries
    steps = f"{a % 10}+{b % 10}={units}\n{a // 10}+{b // 10}{'+1' if carries else ''}={tens}"
    answer = tens * 10 + units % 10
    if layout == "one line":
        return f"<reasoning>{steps}</reasoning><answer>{answer}</answer>"
    if layout == "unclosed":
        return f"<reasoning>\n{steps}\n</reasoning>\n<answer>\n{answer}"
    text = f"<reasoning>\n{steps}\n</reasoning>\n<answer>\n{answer}\n</answer>"
    return f"{text}\nI hope this helps!" if layout == "chatty" else text


def _carries(a: int, b: int) -> bool:
    return a % 10 + b % 10 >= 10


def _draw(n: int, rng: random.Random, split: Split) -> Iterator[tuple[int, int]]:
    pools = {carry: [pair for pair in _pairs(split) if _carries(*pair) is carry] for carry in (True, False)}
    with_carry = round(n * CARRY_SHARE)
    drawn = []
    for carry, count in ((True, with_carry), (False, n - with_carry)):
        pool = pools[carry]
        while count > 0:
            drawn += rng.sample(pool, min(count, len(pool)))
            count -= len(pool)
    rng.shuffle(drawn)
    yield from drawn


def _pairs(split: Split) -> list[tuple[int, int]]:
    """Both orders of every pair of a split; which pairs are held out does not depend on any seed."""
    pairs = [(a, b) for a in range(100) for b in range(a, 100)]
    random.Random(0).shuffle(pairs)
    held = round(len(pairs) * HELD_OUT_SHARE)
    chosen = pairs[:held] if split == "held_out" else pairs[held:]
    return sorted({pair for a, b in chosen for pair in ((a, b), (b, a))})
