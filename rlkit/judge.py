"""Asks a language model behind an OpenAI-compatible endpoint: side by side, with retries, and from a cache.

The key is read from the environment when a request goes out, and stands in no object, log or message.
"""

import asyncio
import hashlib
import json
import os
import random
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rlkit.errors import RunError

AGAIN = (408, 409, 425, 429, 500, 502, 503, 504, 529)
"""HTTP statuses after which the same request may succeed."""
LONGEST_PAUSE = 60.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class JudgeError(RunError):
    """The endpoint gave no usable reply."""


class Endpoint:
    """A model that answers chats.

    Args:
        base_url: Up to and with `/v1`.
        model: Its name there.
        api_key_env: The environment variable that holds the key, where one is needed.
        options: Further fields of each request, such as `max_tokens`.
        timeout: Seconds that one request may take.
        retries: How often a request is sent again after a cut connection, or a status of `AGAIN`.
        concurrency: How many requests may be under way at once.
        cache: A folder where replies are kept, by all that was asked.

    Raises:
        ValueError: The address is none, or the variable holds no key.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key_env: str | None = None,
        options: dict[str, Any] | None = None,
        timeout: float = 60.0,
        retries: int = 5,
        concurrency: int = 16,
        cache: str | None = None,
    ):
        self.base_url, self.model, self.options = base_url.rstrip("/"), model, options or {}
        self.api_key_env, self.timeout, self.retries, self.concurrency = api_key_env, timeout, retries, concurrency
        self.cache = Path(cache).expanduser() if cache else None
        self.pause = 0.5
        self._open: dict[asyncio.AbstractEventLoop, _Session] = {}
        parts = urlsplit(self.base_url)
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("base_url holds a name, a password or a query: put the key into api_key_env's variable")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"base_url {base_url!r} is no address such as http://127.0.0.1:8000/v1")
        self.is_local = parts.hostname in LOOPBACK
        if api_key_env is not None:
            self._key()

    def _key(self) -> str:
        if not self.api_key_env:
            return ""
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.api_key_env):  # it may be the key: it is not repeated
            raise ValueError("api_key_env is the NAME of an environment variable, such as OPENAI_API_KEY, not the key")
        if not (key := os.environ.get(self.api_key_env, "").strip()):
            raise ValueError("the environment variable that api_key_env names is not set")
        if not (key.isascii() and key.isprintable()):
            raise ValueError("the environment variable that api_key_env names holds signs that no key has")
        return key

    def __getstate__(self) -> dict[str, Any]:
        """All but the open connections."""
        return {**self.__dict__, "_open": {}}

    async def ask(self, messages: list[dict[str, str]]) -> str:
        """What the model replies to a chat.

        Raises:
            JudgeError: It cannot be reached, refuses the request, or replies with no text.
        """
        body = {"model": self.model, "messages": messages, **self.options}
        body = {key: value for key, value in body.items() if value is not None}
        key = hashlib.sha256(json.dumps([self.base_url, body], sort_keys=True).encode()).hexdigest()
        kept = self.cache / key[:2] / f"{key}.json" if self.cache else None
        if kept and (reply := _load(kept)) is not None:
            return reply
        async with self._session() as session:
            if key not in session.asked:  # of equal completions in a batch, one is sent
                session.asked[key] = asyncio.ensure_future(self._ask(session, body, kept))
            return await asyncio.shield(session.asked[key])

    async def _ask(self, session: "_Session", body: dict[str, Any], kept: Path | None) -> str:
        async with session.gate:
            reply = _text(await self._post(session, body))
        if kept:
            _save(kept, reply)
        return reply

    @asynccontextmanager
    async def _session(self) -> AsyncIterator["_Session"]:
        """The connections of this event loop, closed when no request is under way."""
        loop = asyncio.get_running_loop()
        session = self._open.get(loop)
        if session is None:
            session = self._open[loop] = _Session(self)
        session.users += 1
        try:
            yield session
        finally:
            session.users -= 1
            if not session.users:
                del self._open[loop]
                for request in session.asked.values():
                    request.cancel()
                await session.client.aclose()

    async def _post(self, session: "_Session", body: dict[str, Any]) -> Any:
        import httpx

        headers = {"Authorization": f"Bearer {self._key()}"} if self.api_key_env else {}
        url = f"{self.base_url}/chat/completions"
        for attempt in range(self.retries + 1):
            asked = 0.0
            try:
                async with asyncio.timeout(self.timeout):
                    response = await session.client.post(url, json=body, headers=headers)
                if response.status_code == 200:
                    return response.json()
                said = f"it answered with status {response.status_code}: {self._clean(response.text)}"
                if response.status_code == 404:
                    said += " (does base_url end where /chat/completions follows? mostly that is /v1)"
                if response.status_code not in AGAIN:
                    break
                with suppress(ValueError):
                    asked = float(response.headers.get("retry-after", "0"))
            except (httpx.RequestError, TimeoutError, ValueError) as error:  # ValueError: it is no JSON
                said = f"{type(error).__name__}: {self._clean(str(error))}".rstrip(": ")
            if attempt < self.retries:
                pause = self.pause * 2**attempt * random.uniform(0.5, 1.0)
                await asyncio.sleep(min(max(pause, asked), LONGEST_PAUSE))
        raise JudgeError(f"judge {self.model} at {self.base_url} gave no reply, attempt {attempt + 1}: {said}")

    def _clean(self, text: str) -> str:
        """The start of what a server said, without the key, which some repeat."""
        key = self._key()
        text = text.replace(key, "***") if key else text
        return " ".join(text.split())[:300]


class _Session:
    """The client and the gate of one event loop."""

    def __init__(self, endpoint: Endpoint):
        import httpx

        limits = httpx.Limits(max_connections=endpoint.concurrency)
        # A proxy of the environment does not know this machine's own addresses.
        self.client = httpx.AsyncClient(timeout=endpoint.timeout, limits=limits, trust_env=not endpoint.is_local)
        self.gate = asyncio.Semaphore(endpoint.concurrency)
        self.users = 0
        self.asked: dict[str, asyncio.Future[str]] = {}


def _text(reply: Any) -> str:
    try:
        choice = reply["choices"][0]
        text = choice["message"]["content"]
    except (LookupError, TypeError):
        raise JudgeError("the judge's reply is not that of a chat: it has no choices[0].message.content") from None
    if not isinstance(text, str) or not text.strip():
        cut = isinstance(choice, dict) and choice.get("finish_reason") == "length"
        raise JudgeError("the judge's reply is empty" + (": it ran out of tokens, so raise max_tokens" if cut else ""))
    return text


def _load(file: Path) -> str | None:
    try:
        reply = json.loads(file.read_text(encoding="utf-8"))["reply"]
    except (OSError, ValueError, LookupError, TypeError):
        return None  # there is none, or a disk that was full cut it
    return reply if isinstance(reply, str) else None


def _save(file: Path, reply: str) -> None:
    """Write a file that is whole or not there, whoever else writes it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        json.dump({"reply": reply}, out)
    Path(name).replace(file)
