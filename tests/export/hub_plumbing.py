"""How the hub on loopback takes requests and answers them, and how it fails at it."""

import json
import re
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from hub_server import HubServer


class Refusal(Exception):
    def __init__(self, status: int, said: str, code: str = "", **headers: str):
        self.status, self.said = status, said
        self.headers = {"X-Error-Message": said, **({"X-Error-Code": code} if code else {}), **headers}


class Plumbing(BaseHTTPRequestHandler):
    """Reads requests, breaks those that a test wants broken, and sends answers."""

    routes: ClassVar[list[tuple[str, Callable[..., None]]]] = []
    protocol_version = "HTTP/1.1"
    server: "HubServer"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.route, self.query = unquote(url.path), {name: all[-1] for name, all in parse_qs(url.query).items()}
        line = f"{self.command} {self.route}"
        with self.server.lock:
            self.server.requests.append(line)
            fault = next((f for f in self.server.faults if f.times and re.search(f.where, line)), None)
            if fault:
                fault.times -= 1
        try:
            self.body = self._body(half=bool(fault and (fault.cut or fault.stall)))
            if fault and fault.stall:
                self.server.stalled.set()
                time.sleep(60)
            if fault and (fault.cut or fault.stall):
                self.close_connection = True
                return
            if fault and fault.status:
                self._answer(fault.status, fault.body.encode(), fault.headers)
                return
            if fault and fault.lost:
                self._answer = lambda *_, **__: None  # type: ignore[method-assign]
                self.close_connection = True
            self._serve()
        except Refusal as refusal:
            self._answer(refusal.status, json.dumps({"error": refusal.said}).encode(), refusal.headers)

    do_HEAD = do_POST = do_PUT = do_GET

    def _serve(self) -> None:
        for pattern, handle in self.routes:
            if found := re.fullmatch(pattern, f"{self.command} {self.route}"):
                with self.server.lock:
                    handle(self, *found.groups())
                return
        raise Refusal(404, f"no such route: {self.command} {self.route}")

    def _body(self, half: bool) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            chunks = []
            while count := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(count))
                self.rfile.readline()
                if half:
                    break
            else:
                self.rfile.readline()
            return b"".join(chunks)
        count = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(count // 2 if half else count)

    def _answer(self, status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def json(self, data: object, status: int = 200, **headers: str) -> None:
        self._answer(status, json.dumps(data).encode(), {"Content-Type": "application/json", **headers})
