"""viser's server behind the guard, with nothing that leads outside."""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import viser
import websockets.asyncio.server as websockets_server
from viser._messages import GuiSetPanelWidthMessage
from websockets.datastructures import Headers
from websockets.http11 import Response

from wildrobot.core.errors import UserError
from wildrobot.view.access import PageAccess
from wildrobot.view.driving import Word

Answers = Callable[[Any, Any], Response | None]
TOLD = re.compile(r"/told/(\d+)/(\w+)/(\w+)")
PICKED = re.compile(r"/picked/(\d{1,3})")
_SHARE = r"-?[01](?:\.\d+)?"
DRIVE = re.compile(rf"/drive/(\d+)/(\d+)/(\d+)/(\d+)/(?:let-go|(walk|{_SHARE})/({_SHARE}))", re.ASCII)
"""Viewer, visit, press and number of the word; then what is held, forward and to the left, or that it is let go."""
ESTOP = "/estop"
"""What E-STOP in a browser asks for; answered when the robot has been told."""
HEAD = Path(__file__).with_name("head.html")
"""E-STOP and the keys: part of the page itself, so that nothing that viser shows, hides or loses takes them away."""


class GuardedServer(viser.ViserServer):
    """A `viser.ViserServer` that answers nobody without the token and never opens a tunnel to the public."""

    def __init__(self, host: str, port: int, label: str) -> None:
        check_address(host, port)
        self.access = PageAccess(host)
        self.on_told: Callable[[int, str, str], None] = lambda viewer, what, word: None
        self.on_picked: Callable[[int], None] = lambda row: None
        """Hears of a click on a row of a table that has `data-pick`, and its number."""
        self.on_estop: Callable[[], None] | None = None
        self.on_drive: Callable[[int, Word, str | None, float], bool] = lambda viewer, word, forward, left: (
            False
        )
        self._head = HEAD.read_text(encoding="utf-8")
        with _guarded(self._answer) as installed, contextlib.redirect_stdout(io.StringIO()):
            super().__init__(host, port, label=label, verbose=False)
        if not installed:  # another viser, which serves in another way: better no page than an open one
            self.stop()
            raise UserError(
                f"the page's guard does not fit viser {viser.__version__}. "
                "Install the version that pyproject.toml asks for: pip install 'wildrobot[view]'"
            )

    @property
    def url(self) -> str:
        """The address to open, token included."""
        host = self.get_host()
        shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
        shown = f"[{shown}]" if ":" in shown else shown
        return f"http://{shown}:{self.get_port()}/?token={self.access.token}"

    def request_share_url(self, verbose: bool = True) -> str | None:
        """Never: viser's tunnel would put the robot on the public internet, and a browser can ask for it."""
        return None

    def connection_of(self, client_id: int) -> Any:
        """The websocket of a client, None when it is gone."""
        return self._websock_server._live_connections.get(client_id)

    def _answer(self, connection: Any, request: Any, viser_answers: Answers) -> Response | None:
        refusal = self.access.refusal(request.path, request.headers)
        if refusal is not None:
            return _text(*refusal)
        if request.path == ESTOP:
            if self.on_estop is None:
                return _text(HTTPStatus.SERVICE_UNAVAILABLE, "503: this page does not drive a robot yet.\n")
            self.on_estop()
            return _text(HTTPStatus.NO_CONTENT, "")
        drive = DRIVE.fullmatch(request.path)
        if drive:
            viewer, visit, press, number = map(int, drive.groups()[:4])
            obeyed = self.on_drive(viewer, Word(visit, press, number), drive[5], float(drive[6] or 0.0))
            return _text(HTTPStatus.NO_CONTENT if obeyed else HTTPStatus.CONFLICT, "")
        told = TOLD.fullmatch(request.path)
        if told:
            self.on_told(int(told[1]), told[2], told[3])
            return _text(HTTPStatus.NO_CONTENT, "")
        if picked := PICKED.fullmatch(request.path):
            self.on_picked(int(picked[1]))
            return _text(HTTPStatus.NO_CONTENT, "")
        response = viser_answers(connection, request)
        if response is not None:
            for name, value in (
                ("Set-Cookie", self.access.cookie(connection.local_address[1])),
                ("Referrer-Policy", "no-referrer"),
                ("Cache-Control", "no-store"),
                # No other page may put ours, with its buttons, under somebody's clicks.
                ("Content-Security-Policy", "frame-ancestors 'none'"),
                ("X-Content-Type-Options", "nosniff"),
            ):
                response.headers[name] = value
            if response.headers.get("Content-Type", "").startswith("text/html"):
                _add_to_head(response, self._head)
        return response

    def set_panel_width(self, client: viser.ClientHandle, panel: viser.PanelHandle, width: float) -> None:
        """One viewer's width of a panel, pixels. viser's own `set_width` sets everybody's."""
        everybody = self.gui
        client.gui._websock_interface.queue_message(
            GuiSetPanelWidthMessage(
                panel._placement_uuid, width, everybody._next_layout_counter(), everybody._layout_run_id
            )
        )

    def ask(
        self, client: viser.ClientHandle, what: str, answers: Iterable[tuple[str, str]], otherwise: str
    ) -> None:
        """Have a viewer's browser say the answer of the first media query that holds (`answers` are queries and
        words), now and whenever that changes. `on_told` hears it: the browser fetches a picture of that name."""
        there = f"/told/{client.client_id}/{what}"
        sources = "".join(f"<source media='{query}' srcset='{there}/{word}'>" for query, word in answers)
        client.gui.add_html(f"<picture hidden>{sources}<img src='{there}/{otherwise}' alt=''></picture>")


def check_address(host: str, port: int) -> None:
    """Refuse an address that cannot be listened at; viser would look for a free port without end.

    Raises:
        UserError: the address is not one of this machine's.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"--port is {port}, expected 0 (any free one) to 65535.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except OSError as error:
        raise UserError(
            f"cannot serve the page at {host}: {error.strerror or error}. "
            "Use 127.0.0.1 (this machine only) or an address of this machine."
        ) from error


@contextlib.contextmanager
def _guarded(answer: Callable[[Any, Any, Answers], Response | None]) -> Iterator[list[bool]]:
    """For the block, websockets servers are built with `answer` before every request. Yields a list that fills.

    viser builds its server inside its constructor and offers no hook for requests, and a proxy in front would
    leave viser's own port open to every program and web page on this machine. So the function that builds it
    is wrapped while the constructor runs.
    """
    serve, installed = websockets_server.serve, []

    def guarded_serve(*args: Any, process_request: Any = None, **options: Any) -> Any:
        installed.append(True)

        def guarded(connection: Any, request: Any) -> Response | None:
            return answer(connection, request, process_request)

        return serve(*args, process_request=guarded, **options)

    websockets_server.serve = guarded_serve  # type: ignore[assignment,misc]
    try:
        yield installed
    finally:
        websockets_server.serve = serve  # type: ignore[misc]


def _add_to_head(response: Response, html: str) -> None:
    """Put `html` at the end of a page's head."""
    packed = response.headers.get("Content-Encoding") == "gzip"
    page = gzip.decompress(response.body) if packed else bytes(response.body)
    before, head, after = page.partition(b"</head>")
    if not head:
        raise UserError(f"viser {viser.__version__} serves a page without a head: it would have no E-STOP.")
    page = before + html.encode() + head + after
    response.body = gzip.compress(page) if packed else page
    del response.headers["Content-Length"]
    response.headers["Content-Length"] = str(len(response.body))


def _text(status: HTTPStatus, text: str) -> Response:
    body = text.encode()
    headers = Headers(
        {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body)), "Connection": "close"}
    )
    return Response(status.value, status.phrase, headers, body)
