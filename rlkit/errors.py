"""The errors that rlkit raises, and the exit code that each ends a command with.

A wrong request (exit 2) is found before anything is written. A failed run (exit 1) leaves a run
directory that tells what happened and can be resumed. Each message says what was asked, what is
wrong and what would be right. Anything else that escapes is a bug, shown under `--debug`.
"""


class RlkitError(Exception):
    """Base of every error that rlkit raises on purpose."""

    exit_code = 1


class RequestError(RlkitError, ValueError):
    """What was asked for cannot be done: bad recipe, missing file, unknown name. Nothing was written."""

    exit_code = 2


class RunError(RlkitError, RuntimeError):
    """The request was right, the run failed."""


class MissingExtraError(RequestError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, what: str, package: str, extra: str):
        super().__init__(f"{what} needs the package {package}, which is not installed: pip install 'rlkit[{extra}]'")


class RewardError(RunError):
    """A reward function failed, or returned something that is not one number for each completion."""
