"""What lm-evaluation-harness does to the process around it, kept from the process."""

import contextlib
import io
import logging
import os
import random
import warnings
from collections.abc import Iterator
from functools import partialmethod

from rlkit.progress import Progress

EXPECTED = ("`pretrained` model kwarg", "Passed an already-initialized", "Overwriting default num_fewshot", "Duplicate")
"""Warnings of lm_eval that tell nothing new here."""


@contextlib.contextmanager
def alone(progress: Progress) -> Iterator[None]:
    """lm_eval without its bars and lines, what it warns of told once; and the process as it was, afterwards."""
    heard = _Heard()
    logger, environment, out = logging.getLogger("lm_eval"), dict(os.environ), io.StringIO()
    before = logger.level, logger.propagate, logger.handlers[:]
    logger.handlers, logger.propagate = [heard], False
    logger.setLevel(logging.WARNING)
    os.environ.pop("HF_ALLOW_CODE_EVAL", None)
    os.environ["DISABLE_MULTIPROC"] = "1"  # else its bootstrap forks a process with threads
    try:
        with _no_bars(), warnings.catch_warnings(), contextlib.redirect_stdout(out):  # where data goes
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before[0])
        logger.propagate, logger.handlers = before[1:]
        for name in {*os.environ, *environment} - {"HF_HUB_OFFLINE"}:  # which rlkit.hub has set for all the process
            if name in environment:
                os.environ[name] = environment[name]
            else:
                del os.environ[name]
        for text, times in heard.said.values():
            progress.say(f"  lm_eval: {text}" + (f" ({times:,} such warnings)" if times > 1 else ""))


class _Heard(logging.Handler):
    """Warnings, the first of each place in the code, and how many came from there."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[tuple[str, int], tuple[str, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        text = " ".join(record.getMessage().split())
        if not text.startswith(EXPECTED):
            first, times = self.said.get((record.pathname, record.lineno), (text, 0))
            self.said[record.pathname, record.lineno] = first, times + 1


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    from tqdm import tqdm

    shown = tqdm.__init__
    tqdm.__init__ = partialmethod(shown, disable=True)
    try:
        yield
    finally:
        tqdm.__init__ = shown


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Random numbers from a seed, or from lm_eval's own, and the generators as they were, afterwards."""
    import numpy
    import torch

    python, state = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        random.seed(0 if seed is None else seed)
        numpy.random.seed(1234 if seed is None else seed)
        torch.manual_seed(1234 if seed is None else seed)
        try:
            yield
        finally:
            random.setstate(python)
            numpy.random.set_state(state)
