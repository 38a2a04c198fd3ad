"""What a user sees while it runs: stages, steps, rewards, time left. Words, so on stderr."""

import logging
import sys
import time
from collections.abc import Callable


def duration(seconds: float) -> str:
    """Seconds as a person says them: 48s, 1m02s, 2h05m."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"


def hush() -> None:
    """No bars and notes of the libraries, which would drown rlkit's own lines."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger("accelerate").setLevel(logging.ERROR)


class Progress:
    """Lines on stderr. On a terminal the step line is written over; elsewhere one stands every few seconds."""

    def __init__(self, quiet: bool = False, every: float = 5.0):
        self.quiet = quiet
        self.every = every
        self._terminal = sys.stderr.isatty()
        self._open = False
        self._last = 0.0

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self.quiet:
            self._end()
            print(text, file=sys.stderr, flush=True)

    def step(self, text: str, last: bool = False) -> None:
        """A line of something that goes on."""
        now = time.monotonic()
        if self.quiet or not (self._terminal or last or now - self._last >= self.every):
            return
        if self._terminal:
            print(f"\r\x1b[K{text}", end="\n" if last else "", file=sys.stderr, flush=True)
            self._open = not last
        else:
            print(text, file=sys.stderr, flush=True)
        self._last = now

    def count(self, label: str, total: int) -> Callable[[int], None]:
        """A function to be told how many of `total` are done."""
        start = time.monotonic()

        def done(n: int) -> None:
            spent = time.monotonic() - start
            left = f"  {duration(spent / n * (total - n))} left" if 0 < n < total else ""
            self.step(f"  {label} {n}/{total}{left}", last=n >= total)

        return done

    def _end(self) -> None:
        if self._open:
            print(file=sys.stderr)
            self._open = False
