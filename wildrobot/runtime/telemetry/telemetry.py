"""Messages to the network and the log, made and encoded on a thread of their own: the control loop only hands over what
they are made of (`publisher`).
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

from wildrobot.core.errors import UserError
from wildrobot.runtime.logs.eventlog import Event
from wildrobot.runtime.logs.recorder import Recorder, Rotation, to_stderr
from wildrobot.runtime.telemetry.publisher import Outbox, Outgoing
from wildrobot.runtime.telemetry.status_line import StatusLine

DEFAULT_LCM_URL = "udpm://239.255.76.67:7667?ttl=0"
MULTICAST_FIX = ("sudo ip link set lo multicast on", "sudo ip route add 224.0.0.0/4 dev lo")
_CAPACITY = 300
"""Ticks that wait for the thread at most."""
_BATCH = 64
"""Messages that are written at once, those of a tick more or less."""


def lcm_url(asked: str | None) -> str:
    """The URL to use: what was asked, else LCM_DEFAULT_URL, else this machine only (time to live 0)."""
    return asked or os.environ.get("LCM_DEFAULT_URL") or DEFAULT_LCM_URL


def open_lcm(url: str) -> Any | None:
    """An `lcm.LCM`, or None (with a warning that says what to do) when this machine cannot have one."""
    found, why = try_lcm(url)
    if found is None:
        print(f"warning: LCM is not available at {url}: {why}", file=sys.stderr)
        print("Going on without LCM messages.", file=sys.stderr)
    return found


def try_lcm(url: str) -> tuple[Any | None, str]:
    """An `lcm.LCM`, or None and what to do about it."""
    try:
        import lcm
    except ImportError as error:  # its C library lacks a system library, most often GLib
        cause = error.__context__ or error
        return None, f"{cause}. On Debian and Ubuntu: sudo apt-get install -y libglib2.0-0"
    try:
        # LCM's C library prints a long text of its own about routes; ours follows.
        with _silenced_stderr():
            return lcm.LCM(url), ""
    except RuntimeError:
        pass
    if url.startswith("udpm:"):
        fix = "\n".join(f"    {command}" for command in MULTICAST_FIX)
        return None, f"it needs a multicast route; these two commands make one:\n{fix}"
    return None, "use a URL that LCM knows: udpm://, memq:// or file://."


class _silenced_stderr:
    """Points file descriptor 2 at /dev/null for the block, for C libraries that print there."""

    def __enter__(self) -> None:
        sys.stderr.flush()
        self._saved = os.dup(2)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)

    def __exit__(self, *_: object) -> None:
        os.dup2(self._saved, 2)
        os.close(self._saved)


class Telemetry:
    """Takes messages and passes them on, encoded, to the log (in parts, with `rotation`) and to LCM.

    `lossless` waits for room in the queue (faster-than-real-time runs); otherwise messages that find the
    queue full are dropped and counted, because the control loop never waits. A disk that is full or fails ends
    logging, not the run. `quiet` keeps lines for the person off the screen; `status` keeps one at its foot.
    """

    def __init__(
        self,
        log: Path | None,
        url: str | None,
        lossless: bool = False,
        quiet: bool = False,
        rotation: Rotation | None = None,
        status: bool = False,
    ) -> None:
        self._status = StatusLine(sys.stderr) if status else None
        self._recorder = Recorder(log, rotation, self._print) if log is not None else None
        self._lcm = open_lcm(url) if url is not None else None
        self.outbox = Outbox(_CAPACITY, lossless)
        self.outbox.active = self._recorder is not None or self._lcm is not None
        self.outbox.has_status, self.outbox.quiet = status, quiet
        self._thread = threading.Thread(target=self._work, name="telemetry", daemon=True)
        self._thread.start()

    @property
    def has_lcm(self) -> bool:
        """Whether messages go to the network."""
        return self._lcm is not None

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
            self._publish([event for event, item in batch if item.to_lcm])

    def _encoded(self, item: Outgoing) -> list[tuple[Event, Outgoing]]:
        """The item with its event; nothing, where it cannot be encoded: that must not end all other messages."""
        try:
            message = item.message() if callable(item.message) else item.message
            return [(Event(message.timestamp_us, item.channel, message.encode()), item)]
        except Exception as error:
            self.outbox.dropped += 1
            self._print(f"warning: a message {item.channel} cannot be sent: {type(error).__name__}: {error}")
            return []

    def _print(self, text: str) -> None:
        (to_stderr if self._status is None else self._status.print)(text)

    def _publish(self, events: list[Event]) -> None:
        if self._lcm is None:
            return
        for event in events:
            try:
                self._lcm.publish(event.channel, event.data)
            except OSError:
                self.outbox.dropped += 1


def require_lcm(url: str) -> Any:
    """An `lcm.LCM` for reading commands; without one there is nobody to obey, so that is an error."""
    found = open_lcm(url)
    if found is None:
        raise UserError(
            f"commands were to come over LCM at {url}, which is not available (see the warning above). "
            "Mend the route, or command with --speed, --keyboard or --gamepad."
        )
    return found
