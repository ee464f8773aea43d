"""An LCM network in memory, for one test: what is published is there at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection

from wildrobot.core.lcm_network import Oddity, Received


class MemoryReceiver:
    """Messages of some channels."""

    def __init__(self, channels: Collection[str] | None, receivers: list[MemoryReceiver]) -> None:
        self.channels, self._receivers = channels, receivers
        self._waiting: deque[Received] = deque()
        self._arrived = threading.Event()

    def put(self, message: Received) -> None:
        self._waiting.append(message)
        self._arrived.set()

    def wake(self) -> None:
        """End a wait without a message."""
        self._arrived.set()

    def read(self) -> Received | None:
        return self._waiting.popleft() if self._waiting else None

    def wait(self, timeout_s: float) -> bool:
        if not self._waiting:
            self._arrived.wait(timeout_s)
            self._arrived.clear()
        return bool(self._waiting)

    def close(self) -> None:
        self._receivers.remove(self)


class MemoryNetwork:
    """A `Network`; `sent` is all that was published."""

    url = "memory"
    reach = "this test"

    def __init__(self) -> None:
        self.problem = ""
        self.sent: list[Received] = []
        self.receivers: list[MemoryReceiver] = []

    def publish(self, channel: str, data: bytes) -> bool:
        message = Received(channel, data, "test")
        self.sent.append(message)
        for receiver in list(self.receivers):
            if receiver.channels is None or channel in receiver.channels:
                receiver.put(message)
        return True

    def receiver(self, channels: Collection[str] | None) -> MemoryReceiver:
        found = MemoryReceiver(channels, self.receivers)
        self.receivers.append(found)
        return found

    def joined_elsewhere(self) -> Oddity | None:
        return None

    def library_elsewhere(self) -> Oddity | None:
        return None

    def close(self) -> None: ...
