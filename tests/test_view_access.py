"""The page's lock: token, our own addresses only, no way out; on pages and websockets alike."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest

pytest.importorskip("viser", reason="needs the extra 'view'")

import viser
import websockets.asyncio.server as websockets_server
from websockets.asyncio.client import connect
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from wildrobot.core.errors import UserError
from wildrobot.view.access import PageAccess
from wildrobot.view.server import GuardedServer


@pytest.fixture(scope="module")
def server() -> Iterator[GuardedServer]:
    made = GuardedServer("127.0.0.1", 0, "test")
    yield made
    made.stop()


def get(server: GuardedServer, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.get_port(), timeout=20)
    try:
        connection.request(
            "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def websocket_status(server: GuardedServer, origin: str | None, cookie: str | None) -> int:
    """101 for a websocket that is let in, else the status of the refusal."""

    async def attempt() -> int:
        url = f"ws://127.0.0.1:{server.get_port()}/"
        headers = {} if cookie is None else {"Cookie": cookie}
        try:
            async with connect(
                url,
                origin=None if origin is None else Origin(origin),
                additional_headers=headers,
                subprotocols=[Subprotocol(f"viser-v{viser.__version__}")],
            ):
                return 101
        except InvalidStatus as refusal:
            return refusal.response.status_code

    return asyncio.run(attempt())


def good_cookie(server: GuardedServer) -> str:
    return server.access.cookie(server.get_port()).partition(";")[0]


def test_the_printed_address_opens_the_page_and_leaves_a_cookie(server: GuardedServer) -> None:
    parts = urlsplit(server.url)
    assert (parts.hostname, parts.port) == ("127.0.0.1", server.get_port())
    status, headers, body = get(server, f"{parts.path}?{parts.query}")
    assert status == 200
    assert b"<html" in body
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert get(server, "/", Cookie=cookie.partition(";")[0])[0] == 200


@pytest.mark.parametrize(
    "path", ["/", "/?token=", "/?token=wrong", "/index.html", "/?websocket=1", "/%2e%2e/x"]
)
def test_without_the_token_nothing_is_served_and_the_answer_says_what_to_open(
    server: GuardedServer, path: str
) -> None:
    status, headers, body = get(server, path, Cookie="wildrobot_view_1=wrong; other=1")
    assert status == HTTPStatus.UNAUTHORIZED
    assert b"wildrobot view" in body
    assert server.access.token.encode() not in body
    assert "Set-Cookie" not in headers


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1.evil.example"]
)
def test_another_website_is_refused_even_with_the_token(server: GuardedServer, origin: str) -> None:
    path = f"/?token={server.access.token}"
    assert get(server, path, Origin=origin)[0] == HTTPStatus.FORBIDDEN
    assert websocket_status(server, origin, good_cookie(server)) == HTTPStatus.FORBIDDEN


def test_a_foreign_name_for_this_machine_is_refused(server: GuardedServer) -> None:
    path = f"/?token={server.access.token}"
    assert get(server, path, Host="evil.example")[0] == HTTPStatus.FORBIDDEN
    assert get(server, path, Host=f"localhost:{server.get_port()}")[0] == 200
    assert get(server, path, Host="localhost:9000")[0] == 200, "through ssh -L the port differs"


def test_the_websocket_wants_the_token_too(server: GuardedServer) -> None:
    own = f"http://127.0.0.1:{server.get_port()}"
    assert websocket_status(server, own, None) == HTTPStatus.UNAUTHORIZED
    assert websocket_status(server, own, "wildrobot_view_1=wrong") == HTTPStatus.UNAUTHORIZED
    assert websocket_status(server, own, good_cookie(server)) == 101


def test_what_a_browser_says_of_itself_is_heard_only_with_the_token(server: GuardedServer) -> None:
    heard: list[tuple[int, str, str]] = []
    server.on_told = lambda *said: heard.append(said)
    cookie = good_cookie(server)
    assert get(server, "/told/3/theme/light")[0] == HTTPStatus.UNAUTHORIZED
    assert heard == []
    assert get(server, "/told/3/theme/light", Cookie=cookie)[0] == HTTPStatus.NO_CONTENT
    assert heard == [(3, "theme", "light")]
    for path in ("/told/x/theme/light", "/told/3/theme", "/told/3/theme/light/more"):
        assert get(server, path, Cookie=cookie)[0] == HTTPStatus.NOT_FOUND
    assert len(heard) == 1


def test_e_stop_is_answered_to_who_may_and_only_when_it_was_sent(server: GuardedServer) -> None:
    stops: list[int] = []
    assert get(server, "/estop", Cookie=good_cookie(server))[0] == 503, "nobody has been told"
    server.on_estop = lambda: stops.append(1)
    assert get(server, "/estop")[0] == 401
    assert get(server, "/estop", Cookie=good_cookie(server), Origin="http://example.org")[0] == 403
    assert stops == []
    assert get(server, "/estop", Cookie=good_cookie(server))[0] == 204
    assert stops == [1]
    server.on_estop = lambda: stops[5]  # type: ignore[return-value]
    assert get(server, "/estop", Cookie=good_cookie(server))[0] == 500, "an error is no answer"
    server.on_estop = None


def test_a_request_with_two_hosts_or_none_is_refused() -> None:
    guard = PageAccess("127.0.0.1")
    path = f"/?token={guard.token}"
    two = Headers()
    two["Host"] = "127.0.0.1"
    two["Host"] = "evil.example"
    for headers in (two, Headers()):
        refusal = guard.refusal(path, headers)
        assert refusal is not None
        assert refusal[0] == HTTPStatus.FORBIDDEN


def test_every_server_has_a_token_of_its_own() -> None:
    tokens = {PageAccess("127.0.0.1").token for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 32


def test_no_tunnel_leads_to_the_public(server: GuardedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from viser import _messages

    def tunnel(*_: object) -> None:
        raise AssertionError("a tunnel was opened")

    monkeypatch.setattr(viser._viser, "ViserTunnel", tunnel)
    assert server.request_share_url() is None
    # and when a browser asks for one
    handlers = server._websock_server._incoming_handlers[_messages.ShareUrlRequest]
    for handler in handlers:
        handler(0, _messages.ShareUrlRequest())  # type: ignore[arg-type]
    time.sleep(0.2)  # viser hands it to a thread
    assert server._share_tunnel is None


def test_a_viser_that_serves_otherwise_is_not_opened_without_a_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    from wildrobot.view import server as module

    serve = websockets_server.serve
    monkeypatch.setattr(
        module, "websockets_server", type("other", (), {"serve": serve})
    )  # where viser does not look
    before = threading.active_count()
    with pytest.raises(UserError, match="does not fit viser"):
        GuardedServer("127.0.0.1", 0, "test")
    assert threading.active_count() <= before + 1


@pytest.mark.parametrize(
    ("host", "port", "text"), [("203.0.113.1", 8080, "127.0.0.1"), ("127.0.0.1", 99999, "65535")]
)
def test_an_address_that_is_not_ours_is_named(host: str, port: int, text: str) -> None:
    with pytest.raises(UserError, match=text):
        GuardedServer(host, port, "test")


def test_the_guard_leaves_other_servers_of_the_process_alone(server: GuardedServer) -> None:
    assert websockets_server.serve.__module__.startswith("websockets")
