"""Receivers that tests fill by hand."""

from __future__ import annotations

from collections import deque

from wildrobot.core.lcm_network import Received


class HandReceiver:
    """Messages that the test puts there."""

    def __init__(self) -> None:
        self.waiting: deque[Received] = deque()
        self.closed = False

    def put(self, data: bytes, channel: str = "") -> None:
        self.waiting.append(Received(channel, data, "test"))

    def read(self) -> Received | None:
        return self.waiting.popleft() if self.waiting else None

    def wait(self, timeout_s: float) -> bool:
        return bool(self.waiting)

    def close(self) -> None:
        self.closed = True
