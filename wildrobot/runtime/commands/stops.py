"""Stops from the network: a path of their own, that no flood of other messages blocks and no other command delays."""

from __future__ import annotations

import threading
from contextlib import suppress

from wildrobot.core.lcm_network import Network, Receiver
from wildrobot.runtime.commands.source import StopSignals, printable
from wildrobot.runtime.telemetry.identity import channel_of
from wildrobot.runtime.telemetry.lcm_types import robot_stop_t

STOP = "robot_stop"


class StopListener:
    """Hears `robot_stop`, of this robot and of all, and latches it for the next tick. A context manager.

    A thread sleeps until such a message comes: the kernel throws away every other (`UdpReceiver`).
    """

    def __init__(self, network: Network, robot_name: str, signals: StopSignals) -> None:
        self._network, self._signals = network, signals
        self._channels = (channel_of(robot_name, STOP), STOP)
        self._ended = threading.Event()
        self._receiver: Receiver | None = None
        self._thread = threading.Thread(target=self._work, name="stops", daemon=True)

    def __enter__(self) -> StopListener:
        self._receiver = self._network.receiver(self._channels)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._receiver is not None:
            self._receiver.close()

    def _work(self) -> None:
        while not self._ended.is_set() and self._receiver is not None:
            if self._receiver.wait(0.1):
                while (message := self._receiver.read()) is not None:
                    self._take(message.data)

    def _take(self, data: bytes) -> None:
        # What cannot be read was sent here to stop the robot all the same.
        source, request = "a message that cannot be read", robot_stop_t.ESTOP
        with suppress(Exception):
            stop = robot_stop_t.decode(data)
            source, request = printable(stop.source) or "somebody without a name", stop.request
        self._signals.ask(source, at_once=request != robot_stop_t.SOFT_STOP)
