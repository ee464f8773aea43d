"""The USB adapter between the line and the host: when what it has received arrives there."""

from __future__ import annotations

USB_PACKET = 62
"""Payload bytes of an FTDI adapter's USB packet."""


class Adapter:
    """The USB adapter's receiver: it hands bytes on when a USB packet is full, or when its latency timer ticks.

    The timer runs freely and starts anew with every packet that goes out, so that an answer waits up to one period.
    """

    def __init__(self, latency_ns: int) -> None:
        self._latency_ns = latency_ns
        self._sent_ns = 0
        self._ready: list[tuple[int, bytes]] = []
        self._waiting = bytearray()
        self._flush_ns = 0

    def push(self, data: bytes, now_ns: int) -> None:
        """Bytes from the line, complete at `now_ns`."""
        if self._latency_ns == 0:
            self._ready.append((now_ns, data))
            return
        self._flush(now_ns)
        if not self._waiting:
            periods = (now_ns - self._sent_ns) // self._latency_ns + 1
            self._flush_ns = self._sent_ns + periods * self._latency_ns
        self._waiting += data
        while len(self._waiting) >= USB_PACKET:
            self._ready.append((now_ns, bytes(self._waiting[:USB_PACKET])))
            del self._waiting[:USB_PACKET]
            self._sent_ns = now_ns
            self._flush_ns = now_ns + self._latency_ns

    def _flush(self, now_ns: int) -> None:
        if self._waiting and self._flush_ns <= now_ns:
            self._ready.append((self._flush_ns, bytes(self._waiting)))
            self._waiting.clear()
            self._sent_ns = self._flush_ns

    def take(self, now_ns: int) -> bytes:
        """What has reached the host."""
        self._flush(now_ns)
        taken = b"".join(data for at, data in self._ready if at <= now_ns)
        self._ready = [item for item in self._ready if item[0] > now_ns]
        return taken

    def next_ns(self) -> int | None:
        """When the host gets something, as far as it is known."""
        if self._ready:
            return self._ready[0][0]
        return self._flush_ns if self._waiting else None

    def clear(self) -> None:
        """Lose everything."""
        self._ready.clear()
        self._waiting.clear()
