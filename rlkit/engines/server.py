"""One vLLM server, over HTTP."""

import json
import os
import socket
from typing import Any
from urllib.parse import urlsplit

from rlkit.errors import RequestError, RunError

KEY = "VLLM_API_KEY"
"""The environment variable that holds the servers' key, where they want one; vLLM reads the same."""
CONNECT, QUICK, LOAD = 5.0, 30.0, 300.0
"""Seconds for a connection, for an answer that takes no work, and to read an adapter from a slow disk."""
PASSING = (408, 425, 429)
"""HTTP statuses below 500 after which the same request may succeed."""


class ServerError(RunError):
    """A server did not do what it was asked; `status` is that of its answer, None where none came."""

    def __init__(self, said: str, status: int | None = None):
        super().__init__(said)
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status is None or self.status >= 500 or self.status in PASSING


class Server:
    """A server that somebody started; it is reached directly, whatever proxy the environment names.

    Args:
        address: As http://HOST:PORT.
        timeout: Seconds that the completions of one prompt may take, the wait for their turn included.

    Raises:
        RequestError: The address is none, or holds a secret.
    """

    def __init__(self, address: str, timeout: float):
        import httpx

        self.address = address.rstrip("/").removesuffix("/v1")
        self.timeout = timeout
        parts = urlsplit(self.address)
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise RequestError(f"generation.servers: an address holds a name or a query; a key belongs into ${KEY}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RequestError(f"generation.servers: {address!r} is no address such as http://localhost:8000")
        # Idle connections are given up before vLLM closes them (after 5 s), so that no request meets a closed one.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=2.0)
        transport = httpx.HTTPTransport(limits=limits, socket_options=_probes())
        self.client = httpx.Client(base_url=self.address, transport=transport)

    def base(self) -> dict[str, Any]:
        """The model that is served: its name (`id`), the folder or hub id it was loaded from (`root`), `max_model_len`.

        Raises:
            ServerError: The server does not say.
        """
        served = [card for card in self._models() if not card.get("parent")]
        if not served:
            raise ServerError("it serves no model")
        return served[0]

    def adapters(self) -> list[str]:
        """Names of the adapters that are loaded."""
        return [card["id"] for card in self._models() if card.get("parent")]

    def load(self, name: str, path: str) -> None:
        """Load the adapter that a folder holds; one that is there under this name stays."""
        try:
            self._ask("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": path}, LOAD)
        except ServerError as error:
            if error.status != 400 or "already been loaded" not in str(error):
                raise

    def unload(self, name: str) -> None:
        """Unload an adapter, where it is loaded."""
        try:
            self._ask("POST", "/v1/unload_lora_adapter", {"lora_name": name}, LOAD)
        except ServerError as error:
            if error.status != 404:
                raise

    def complete(self, body: dict[str, Any]) -> list[tuple[list[int], list[float]]]:
        """The completions of a prompt: ids of their tokens, and log-probabilities where the request has `logprobs`.

        Args:
            body: A request of /v1/completions with token ids as its prompt. Each completion ends with one of its
                `stop_token_ids`, or has `max_tokens`.

        Raises:
            ServerError: It did not answer so.
        """
        asked = {**body, "return_token_ids": True, "return_tokens_as_token_ids": True}
        choices = _field(self._ask("POST", "/v1/completions", asked, self.timeout), "choices")
        if len(choices) != body["n"]:
            raise ServerError(f"it gave {len(choices)} completions of {body['n']}")
        try:
            return [_completion(choice, body) for choice in sorted(choices, key=lambda choice: choice["index"])]
        except (LookupError, TypeError) as error:
            raise ServerError(f"its answer is not that of a completion: {type(error).__name__}: {error}") from None

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _models(self) -> list[dict[str, Any]]:
        return _field(self._ask("GET", "/v1/models", None, QUICK), "data")

    def _ask(self, method: str, path: str, body: Any, timeout: float) -> str:
        import httpx

        key = os.environ.get(KEY, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise RequestError(f"${KEY} holds signs that no key has")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limit = httpx.Timeout(timeout, connect=CONNECT)
        try:
            response = self.client.request(method, path, json=body, headers=headers, timeout=limit)
        except httpx.ConnectTimeout:
            raise ServerError(f"no connection within {CONNECT:g} s") from None
        except httpx.TimeoutException:
            raise ServerError(f"no answer within {timeout:g} s") from None
        except httpx.HTTPError as error:
            raise ServerError(_clean(f"{type(error).__name__}: {error}", key)) from None
        if response.status_code == 401:
            raise ServerError(f"it wants another key than ${KEY} holds" if key else f"it wants a key: set ${KEY}", 401)
        if response.status_code != 200:
            raise ServerError(_clean(f"status {response.status_code}: {_said(response)}", key), response.status_code)
        return response.text


def _completion(choice: dict[str, Any], body: dict[str, Any]) -> tuple[list[int], list[float]]:
    ids = choice.get("token_ids")
    if ids is None:
        raise ServerError("it gives no token ids: vLLM 0.32 or newer does", 400)
    if not ids or not (ids[-1] in body["stop_token_ids"] or len(ids) == body["max_tokens"]):
        raise ServerError(f"it broke a completion off after {len(ids)} tokens ({choice.get('finish_reason')})")
    logprobs = [] if body.get("logprobs") is None else choice["logprobs"]["token_logprobs"]
    if logprobs and len(logprobs) != len(ids):
        raise ServerError(f"it gave {len(logprobs)} log-probabilities for {len(ids)} tokens")
    return ids, logprobs


def _field(answer: str, name: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(answer)[name]
    except (ValueError, LookupError, TypeError):
        found = None
    if not isinstance(found, list):
        raise ServerError(f"its answer has no {name}: is it a vLLM server?")
    return found


def _said(response: Any) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return response.text


def _clean(text: str, key: str) -> str:
    """The start of what was said, without the key, which some servers repeat."""
    text = text.replace(key, "***") if key else text
    return " ".join(text.split())[:300]


def _probes() -> list[tuple[int, int, int]]:
    """Socket options that find a host that vanished within two minutes, however long the answer may take."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):  # macOS lacks the first
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options
