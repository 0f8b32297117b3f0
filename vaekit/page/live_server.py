"""Serves the live page on the loopback address, to whoever has the token of its URL.

A page of another site can make a browser send requests here. It is refused thrice: it does not know
the token, the browser names it as the Origin, and a name of its own that resolves to this machine
is not an accepted Host. No file is served: every answer is made in memory.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from vaekit.errors import VaekitError

HOST = "127.0.0.1"
TOKEN_HEADER = "X-Vaekit-Token"  # noqa: S105 (its name)
MOST_JSON_BYTES, MOST_IMAGE_BYTES = 4 << 20, 256 << 20
SECONDS_TO_SEND = 30

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

Answers = dict[str, Callable[[Any], Any]]


class LiveServer(ThreadingHTTPServer):
    """The page at `/`, made when it is asked for, and answers in JSON to POST requests, by path.

    Answers in `from_json` get the parsed body, those in `from_bytes` the body as it is.
    """

    daemon_threads = True

    def __init__(
        self,
        page: Callable[[], bytes],
        from_json: Answers,
        from_bytes: Answers,
        port: int = 0,
    ) -> None:
        self.page, self.from_json, self.from_bytes = page, from_json, from_bytes
        self.token = secrets.token_urlsafe(24)
        super().__init__((HOST, port), _Handler)

    @property
    def url(self) -> str:
        """The address to open, with the token."""
        return f"http://{HOST}:{self.server_port}/?token={self.token}"

    @property
    def hosts(self) -> set[str]:
        """The names under which a browser may reach this server."""
        return {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that went away is no news."""


class _Refused(Exception):
    """A request that gets a status and a reason instead of an answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: LiveServer
    protocol_version = "HTTP/1.1"
    timeout = SECONDS_TO_SEND
    # Head and body in one packet, at once: else the kernel holds the body back for 40 ms.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(self._page)

    def do_POST(self) -> None:
        self._answer(self._result)

    def _answer(self, make: Callable[[], tuple[str, bytes]]) -> None:
        try:
            kind, content = make()
            status = 200
        except _Refused as refused:
            status, kind, content = refused.status, *_error(refused)
        except VaekitError as error:
            status, kind, content = 400, *_error(error)
        if status != 200:  # the rest of the request may be unread
            self.close_connection = True
        self._send(status, kind, content)

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(content)), **HEADERS}
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _page(self) -> tuple[str, bytes]:
        where = urlsplit(self.path)
        self._check_sender(parse_qs(where.query).get("token", [""])[0])
        if where.path != "/":
            raise _Refused(404, "there is nothing at this address")
        return "text/html; charset=utf-8", self.server.page()

    def _result(self) -> tuple[str, bytes]:
        self._check_sender(self.headers.get(TOKEN_HEADER, ""))
        if "Origin" not in self.headers:
            raise _Refused(403, "a request without an Origin")
        if (make := self.server.from_bytes.get(self.path)) is not None:
            found = make(self._body(MOST_IMAGE_BYTES))
        elif (make := self.server.from_json.get(self.path)) is not None:
            found = make(_parsed(self._body(MOST_JSON_BYTES)))
        else:
            raise _Refused(404, "there is nothing at this address")
        return "application/json", json.dumps(found).encode()

    def _check_sender(self, token: str) -> None:
        """Refuse whoever was not given the URL, and pages of other sites."""
        if self.headers.get("Host", "") not in self.server.hosts:
            raise _Refused(403, "an unknown Host")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in {f"http://{host}" for host in self.server.hosts}:
            raise _Refused(403, "a page of another site")
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise _Refused(403, "the token is wrong: open the address that vaekit printed")

    def _body(self, most: int) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal() or len(length) > 15:
            raise _Refused(411, "a request without a length")
        if int(length) > most:
            raise _Refused(413, f"more than {most >> 20} MiB")
        return self.rfile.read(int(length))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name)
        """Requests are not logged: their paths hold the token."""

    def version_string(self) -> str:
        """The name in the `Server` header, without versions."""
        return "vaekit"


def _error(error: Exception) -> tuple[str, bytes]:
    return "application/json", json.dumps({"error": str(error)}).encode()


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise _Refused(400, "the request is not JSON") from None
