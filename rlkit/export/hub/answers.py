"""What went wrong between a push and the hub: whether to try again, and words that say what to do."""

import json
import os
import re

from rlkit.errors import RequestError, RlkitError, RunError

LONGEST_WAIT = 600.0
"""Seconds that a hub may ask to be left alone; where it asks for more, the push ends and says so."""
AGAIN = "run the same command again: what has arrived is not sent twice"


def root(error: BaseException) -> BaseException:
    """What lies under an error that huggingface_hub raised while it sent a file."""
    return error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error


def wait(error: BaseException, tried: int) -> float | None:
    """Seconds after which another try is worth it; None: it never is.

    Args:
        error: As `root` gives it.
        tried: How often it was tried.
    """
    import httpx

    status = _status(error)
    passing = status in (408, 409, 412, 429) or (status or 0) >= 500
    if not passing and not isinstance(error, httpx.TransportError | json.JSONDecodeError):
        return None
    seconds = _asked(error) or float(2 ** (tried - 1))
    return seconds if seconds <= LONGEST_WAIT else None


def reason(error: BaseException) -> str:
    """An error that may pass, in a few words."""
    status = _status(error)
    return f"the hub answers {status}" if status else f"the connection broke ({type(error).__name__})"


def told(error: BaseException, repo: str, endpoint: str) -> RlkitError:
    """An error as one that says what to do.

    Args:
        error: As `root` gives it.
        repo: OWNER/NAME.
        endpoint: The hub's address.
    """
    import httpx

    status, where, tokens = _status(error), f"push to {repo}", f"{endpoint}/settings/tokens"
    plain = clean(str(error)) or type(error).__name__
    said = clean(str(getattr(error, "server_message", None) or "")).strip()
    said = f" ({said})" if said else ""
    if status == 401:
        first = "$HF_TOKEN is set, and counts before it" if os.environ.get("HF_TOKEN") else "$HF_TOKEN is not set"
        return RequestError(
            f"{where}: the hub does not take the token{said}; `hf auth login` with one of {tokens} ({first})"
        )
    if status == 403:
        return RequestError(
            f"{where}: the token may not write there{said}; take one with write rights from {tokens}, then "
            f"`hf auth login`; {repo.partition('/')[0]} must be you, or an organization that you are in"
        )
    if status == 404:
        return RequestError(
            f"{where}: the hub has no such repository or branch, or does not show it to you{said}; "
            f"see who you are there with `hf auth whoami`"
        )
    if status in (409, 412):
        return RunError(f"{where}: somebody else changes it just now{said}; {AGAIN}")
    if status == 429:
        after = f" for {asked:g} s" if (asked := _asked(error)) else ""
        return RunError(f"{where}: the hub asks to be left alone{after}; then {AGAIN}")
    if status and status >= 500:
        return RunError(f"{where}: the hub goes on failing with {status}{said}; later, {AGAIN}")
    if isinstance(error, httpx.TransportError):
        return RunError(
            f"{where}: {endpoint} ($HF_ENDPOINT sets which hub) cannot be reached, or breaks the connection: {plain}; "
            f"when it can, {AGAIN}"
        )
    if isinstance(error, json.JSONDecodeError):
        return RunError(f"{where}: {endpoint} ($HF_ENDPOINT sets which hub) does not answer as a hub does: {plain}")
    if "xet" in plain or isinstance(error, ConnectionError | TimeoutError):
        return RunError(
            f"{where}: sending through Xet failed: {plain}; {AGAIN}; with HF_HUB_DISABLE_XET=1 where the hub has no Xet"
        )
    return RunError(f"{where}: {plain}" + (said if said not in plain else ""))


def clean(text: str) -> str:
    """A text of a library's, or a hub's, without the token and without what urls carry behind their path."""
    import huggingface_hub

    token = huggingface_hub.get_token()
    text = text.replace(token, "***") if token else text
    return re.sub(r"(https?://[^\s?]+)\?[^\s'\"]+", r"\1", text)


def _status(error: BaseException) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _asked(error: BaseException) -> float | None:
    """Seconds for which the hub asks to be left alone."""
    asked = getattr(getattr(error, "response", None), "headers", {}).get("Retry-After", "")
    return float(asked) if asked.isdigit() else None
