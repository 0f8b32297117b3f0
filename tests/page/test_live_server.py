"""The live page: on this machine alone, for whoever has the token, and nothing from the disk."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from vaekit.errors import DataError
from vaekit.page.live_server import MOST_JSON_BYTES, LiveServer

PAGE = b"<!doctype html>page"


def refuse(_: Any) -> None:
    raise DataError("not that")


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    answers = {"/double": lambda value: 2 * value, "/refuse": refuse}
    with LiveServer(lambda: PAGE, answers, {"/length": len}) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(
    server: LiveServer, method: str, path: str, body: bytes | None = None, **changed: str | None
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """One request, with the headers of the page but for those changed; None leaves one out."""
    host = f"127.0.0.1:{server.server_port}"
    headers = {"Host": host, "Origin": f"http://{host}", "X-Vaekit-Token": server.token}
    given = {name.replace("_", "-"): value for name, value in changed.items()}
    kept = {name: value for name, value in (headers | given).items() if value is not None}
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    for name, value in kept.items():
        connection.putheader(name, value)
    if body is not None and "Content-Length" not in kept:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.headers
    connection.close()
    return found


def test_the_page_is_at_the_address_with_the_token(server: LiveServer) -> None:
    assert server.url == f"http://127.0.0.1:{server.server_port}/?token={server.token}"
    status, page, headers = ask(server, "GET", f"/?token={server.token}", Origin=None)
    assert (status, page) == (200, PAGE)
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Python" not in headers["Server"]


def test_the_server_listens_on_the_loopback_address_alone(server: LiveServer) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"


def test_answers_are_json(server: LiveServer) -> None:
    assert ask(server, "POST", "/double", b"21")[:2] == (200, b"42")
    assert ask(server, "POST", "/length", bytes(1000))[:2] == (200, b"1000")


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=wrong", "/?token=%C3%A9", "/?other=1"])
def test_a_page_without_the_token_is_refused(server: LiveServer, path: str) -> None:
    status, body, _ = ask(server, "GET", path, Origin=None)
    assert status == 403
    assert PAGE not in body


@pytest.mark.parametrize(
    "changed",
    [
        {"X_Vaekit_Token": None}, {"X_Vaekit_Token": "wrong"}, {"Host": "evil.example"},
        {"Host": "evil.example:80"}, {"Host": None}, {"Origin": None}, {"Origin": "null"},
        {"Origin": "http://evil.example"}, {"Origin": "https://127.0.0.1"},
    ],
    ids=str,
)  # fmt: skip
def test_requests_of_other_sites_are_refused(server: LiveServer, changed: dict[str, Any]) -> None:
    status, body, _ = ask(server, "POST", "/double", b"21", **changed)
    assert status == 403
    assert b"42" not in body


def test_a_page_under_a_foreign_name_is_refused_though_it_knows_the_token(
    server: LiveServer,
) -> None:
    path = f"/?token={server.token}"
    assert ask(server, "GET", path, Host="evil.example", Origin=None)[0] == 403
    assert ask(server, "GET", path, Origin="http://evil.example")[0] == 403


@pytest.mark.parametrize("path", ["/etc/passwd", "/../../etc/passwd", "/%2e%2e/x", "//etc/passwd"])
def test_no_path_leads_to_a_file(server: LiveServer, path: str) -> None:
    assert ask(server, "GET", f"{path}?token={server.token}", Origin=None)[0] == 404
    assert ask(server, "POST", path, b"1")[0] == 404


def test_what_is_too_long_or_no_json_or_refused_is_an_error_with_a_reason(
    server: LiveServer,
) -> None:
    long = {"Content_Length": str(MOST_JSON_BYTES + 1)}
    assert ask(server, "POST", "/double", b"", **long)[0] == 413
    assert ask(server, "POST", "/double", None)[0] == 411
    assert ask(server, "POST", "/double", b"", Content_Length="-1")[0] == 411
    assert ask(server, "POST", "/double", b"{")[0] == 400
    assert ask(server, "POST", "/double", b"[" * 100_000)[0] == 400
    status, body, _ = ask(server, "POST", "/refuse", b"1")
    assert (status, json.loads(body)) == (400, {"error": "not that"})


def test_only_get_and_post_are_known(server: LiveServer) -> None:
    assert {ask(server, method, "/", None)[0] for method in ("PUT", "DELETE", "OPTIONS")} == {501}


def test_each_server_has_a_token_of_its_own(server: LiveServer) -> None:
    with LiveServer(lambda: PAGE, {}, {}) as other:
        assert other.token != server.token
        assert len(other.token) >= 32
