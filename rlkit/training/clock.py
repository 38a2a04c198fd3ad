"""Where the time of a run goes."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

PARTS = ("generate", "sync", "reward", "train")
"""What is timed; the rest of a step is `other`."""


class Clock:
    """Seconds spent on each part since the figures were last read; a part within another counts for itself alone."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.tokens = 0
        """Completion tokens made."""
        self._began = time.perf_counter()
        self._open: list[str] = []
        self._since = self._began

    @contextlib.contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Time a part."""
        self._pass()
        self._open.append(part)
        try:
            yield
        finally:
            self._pass()
            self._open.pop()

    def _pass(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def figures(self) -> dict[str, float]:
        """`time/PART` in seconds, `time/other`, and `tokens_per_second` (completion tokens); counting starts anew."""
        self._pass()
        whole = self._since - self._began
        made = {f"time/{part}": seconds for part, seconds in self.seconds.items()}
        made["time/other"] = max(whole - sum(self.seconds.values()), 0.0)
        made["tokens_per_second"] = self.tokens / whole if whole else 0.0
        self.seconds, self.tokens, self._began = dict.fromkeys(PARTS, 0.0), 0, self._since
        return made


def costs(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a stage came to, from the rows of its metrics.

    Returns:
        `time`: seconds by part; `tokens_per_second`, over the whole; `padding`: share of the tokens that went through
        the policy; `groups_without_variance`: share of the groups. What no row has is left out.
    """
    timed = [row for row in rows if "time/other" in row]
    if not timed:
        return {}
    parts = {part: round(sum(row[f"time/{part}"] for row in timed), 2) for part in (*PARTS, "other")}
    steps = [sum(row[f"time/{part}"] for part in (*PARTS, "other")) for row in timed]
    tokens = sum(row["tokens_per_second"] * seconds for row, seconds in zip(timed, steps, strict=True))
    made: dict[str, Any] = {"time": parts, "tokens_per_second": round(tokens / sum(steps), 1)}
    for name, key in (("padding", "padding"), ("groups_without_variance", "frac_reward_zero_std")):
        known = [row[key] for row in timed if row.get(key) is not None]
        if known:
            made[name] = round(sum(known) / len(known), 4)
    return made
