"""Messages to the network and the log, made and encoded on a thread of their own: the control loop only hands over what
they are made of (`publisher`).
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from wildrobot.core.lcm_network import Network
from wildrobot.runtime.logs.eventlog import Event
from wildrobot.runtime.logs.recorder import Recorder, Rotation, to_stderr
from wildrobot.runtime.telemetry.identity import channel_of
from wildrobot.runtime.telemetry.lcm_types import COMMON_CHANNELS
from wildrobot.runtime.telemetry.publisher import Outbox, Outgoing
from wildrobot.runtime.telemetry.status_line import StatusLine

_CAPACITY = 300
"""Ticks that wait for the thread at most."""
_BATCH = 64
"""Messages that are written at once, those of a tick more or less."""


class Telemetry:
    """Takes messages and passes them on, encoded, to the log (in parts, with `rotation`) and to LCM.

    `lossless` waits for room in the queue (faster-than-real-time runs); otherwise messages that find the
    queue full are dropped and counted, because the control loop never waits. A disk that is full or fails ends
    logging, not the run. `quiet` keeps lines for the person off the screen; `status` keeps one at its foot.
    """

    def __init__(
        self,
        log: Path | None,
        network: Network | None,
        robot_name: str,
        lossless: bool = False,
        quiet: bool = False,
        rotation: Rotation | None = None,
        status: bool = False,
    ) -> None:
        self._status = StatusLine(sys.stderr) if status else None
        self._recorder = Recorder(log, rotation, self._print) if log is not None else None
        self._network, self._robot_name = network, robot_name
        self.outbox = Outbox(_CAPACITY, lossless)
        self.outbox.active = self._recorder is not None or network is not None
        self.outbox.has_status, self.outbox.quiet = status, quiet
        self._thread = threading.Thread(target=self._work, name="telemetry", daemon=True)
        self._thread.start()

    @property
    def log_error(self) -> str | None:
        """Why the log ended before the run; None: it did not."""
        return self._recorder.ended if self._recorder is not None else None

    @property
    def dropped(self) -> int:
        """Messages that reached neither log nor network."""
        return self.outbox.dropped

    def close(self) -> None:
        """Write what is still queued and stop the thread."""
        if self._thread.is_alive():
            self.outbox.queue.put(self.outbox.items)
            self.outbox.queue.put(None)
            self._thread.join()
        if self._status is not None:
            self._status.close()
        if self._recorder is not None:
            self._recorder.close()

    def _work(self) -> None:
        more = True
        while more:
            items = self.outbox.queue.get()
            batch: list[tuple[Event, Outgoing]] = []
            while items is not None:
                for item in items:
                    if isinstance(item, Outgoing):
                        batch += self._encoded(item)
                    elif isinstance(item, str):
                        self._print(item)
                    elif self._status is not None:
                        self._status.show(item.text)
                if len(batch) >= _BATCH or self.outbox.queue.empty():
                    break
                items = self.outbox.queue.get()
            more = items is not None
            if self._recorder is not None:
                self._recorder.write([event for event, item in batch if item.to_log])
            if self._network is not None:
                for event, item in batch:
                    if item.to_lcm and not self._network.publish(event.channel, event.data):
                        self.outbox.dropped += 1

    def _encoded(self, item: Outgoing) -> list[tuple[Event, Outgoing]]:
        """The item with its event; nothing, where it cannot be encoded: that must not end all other messages."""
        try:
            message = item.message() if callable(item.message) else item.message
            shared = item.channel in COMMON_CHANNELS
            channel = item.channel if shared else channel_of(self._robot_name, item.channel)
            return [(Event(message.timestamp_us, channel, message.encode()), item)]
        except Exception as error:
            self.outbox.dropped += 1
            self._print(f"warning: a message {item.channel} cannot be sent: {type(error).__name__}: {error}")
            return []

    def _print(self, text: str) -> None:
        (to_stderr if self._status is None else self._status.print)(text)
