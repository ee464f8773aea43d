"""Which browsers still answer: a lost network is noticed here long before its connection breaks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import viser

from wildrobot.view.server import GuardedServer

ASK_S = 0.2


class Browsers:
    """Asks every browser five times a second (a websocket ping, which it answers by itself); `on_gone` hears of
    those that close. A page in a stopped laptop keeps its connection for a minute, but answers no more."""

    def __init__(self, server: GuardedServer, on_gone: Callable[[int], None], timeout_s: float) -> None:
        self._server, self._timeout_s = server, timeout_s
        self._answered_s: dict[int, float] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

        @server.on_client_connect
        async def _(client: viser.ClientHandle) -> None:
            number = client.client_id
            self._answered_s[number] = time.monotonic()
            self._tasks[number] = asyncio.get_running_loop().create_task(self._ask(number))

        @server.on_client_disconnect
        async def _(client: viser.ClientHandle) -> None:
            self._answered_s.pop(client.client_id, None)
            task = self._tasks.pop(client.client_id, None)
            if task is not None:
                task.cancel()
            on_gone(client.client_id)

    def __len__(self) -> int:
        return len(self._answered_s)

    def alive(self, number: int) -> bool:
        """Whether a viewer's browser has answered in time."""
        answered = self._answered_s.get(number)
        return answered is not None and time.monotonic() - answered <= self._timeout_s

    async def _ask(self, number: int) -> None:
        connection = self._server.connection_of(number)
        with contextlib.suppress(Exception):  # the connection broke: the disconnect callback follows
            while connection is not None and number in self._answered_s:
                await (await connection.ping())
                self._answered_s[number] = time.monotonic()
                await asyncio.sleep(ASK_S)
