"""The prompts of a GRPO stage: how hard each has been, which rest, and more of them where a step asks."""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlkit import groups
from rlkit.recipe.groups import CurriculumSection


@dataclass
class Difficulty:
    """How a prompt has done so far."""

    groups: int = 0
    completions: int = 0
    passed: int = 0
    """Completions that were right."""
    settled: int = 0
    """Groups in a row, up to the last, that were all right or all wrong."""
    step: int = 0
    """Of its last group."""


class PromptPool:
    """Knows a stage's prompts and how each has done; what it knows is kept in a file, a line a group.

    Args:
        rows: The stage's rows, each with `prompt`.
        file: Where each group is written: step, prompt, completions, how many passed, mean reward.
        seed: Of what is drawn.
        curriculum: When a prompt rests; None: never.
        since: Groups of this step and later ones are forgotten: a resumed run makes them again.
    """

    def __init__(
        self, rows: Any, file: Path, seed: int = 0, curriculum: CurriculumSection | None = None, since: int = 0
    ):
        self.rows, self.file, self.seed, self.curriculum = rows, file, seed, curriculum
        self.known: dict[str, Difficulty] = {}
        kept = []
        for line in file.read_text().splitlines() if file.exists() else ():
            try:
                group = json.loads(line)
            except ValueError:  # a kill may have torn the last line
                continue
            if group["step"] < since:
                kept.append(line)
                self._take(group)
        if file.exists():
            file.write_text("".join(line + "\n" for line in kept))

    def record(
        self,
        step: int,
        prompts: Sequence[Any],
        totals: Sequence[float],
        passed: Sequence[bool | None],
        write: bool = True,
    ) -> None:
        """Take the groups of a step.

        Args:
            step: Optimizer steps done before.
            prompts: One a completion.
            totals: The weighted sum of the rewards.
            passed: Whether each is right; None where no reward says so: then a group without variance is settled.
            write: Also append them to the file.
        """
        made = []
        for places in groups.split(prompts):
            right = [passed[i] for i in places if passed[i] is not None]
            values = [totals[i] for i in places]
            settled = len(set(right)) == 1 if right else not groups.varies(values)
            made.append(
                {
                    "step": step,
                    "prompt": key(prompts[places[0]]),
                    "n": len(places),
                    "passed": sum(map(bool, right)) if right else None,
                    "mean": sum(values) / len(values),
                    "settled": settled,
                }
            )
        for group in made:
            self._take(group)
        if write:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a") as file:
                file.write("".join(json.dumps(group) + "\n" for group in made))

    def rests(self, prompt: Any, step: int) -> bool:
        """Whether a prompt was settled so often in a row that it is left out at this step."""
        one = self.known.get(key(prompt))
        if one is None or self.curriculum is None or one.settled < self.curriculum.skip_after:
            return False
        return step - one.step < self.curriculum.return_after

    def draw(self, n: int, step: int, salt: int = 0, beside: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Up to `n` different rows whose prompts do not rest; the same for the same step and salt.

        Fewer are given where the other prompts rest or are among those `beside`.
        """
        chance = random.Random(f"{self.seed} {step} {salt}")
        size = len(self.rows)
        made: list[dict[str, Any]] = []
        tried: set[int] = set()
        taken = set(map(key, beside))
        while len(made) < n and len(tried) < size:
            index = chance.randrange(size)
            if index in tried:
                continue
            tried.add(index)
            row = self.rows[index]
            if key(row["prompt"]) not in taken and not self.rests(row["prompt"], step):
                taken.add(key(row["prompt"]))
                made.append(row)
        return made

    def figures(self) -> dict[str, float]:
        """Of the prompts seen: how many, and the shares that were always right and always wrong."""
        rated = [one for one in self.known.values() if one.completions]
        if not rated:
            return {"prompts_seen": len(self.known)}
        right = sum(one.passed == one.completions for one in rated) / len(rated)
        wrong = sum(one.passed == 0 for one in rated) / len(rated)
        return {"prompts_seen": len(self.known), "prompts_always_right": right, "prompts_always_wrong": wrong}

    def _take(self, group: dict[str, Any]) -> None:
        one = self.known.setdefault(group["prompt"], Difficulty())
        one.groups += 1
        if group["passed"] is not None:
            one.completions += group["n"]
            one.passed += group["passed"]
        one.settled = one.settled + 1 if group["settled"] else 0
        one.step = group["step"]


def key(prompt: Any) -> str:
    """What a prompt, a text or a list of messages, is called in the file."""
    return hashlib.sha256(json.dumps(prompt, sort_keys=True, default=str).encode()).hexdigest()[:16]
