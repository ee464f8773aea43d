"""Stops from the network: a path of their own, that no flood of other messages blocks and no other command delays."""

from __future__ import annotations

from contextlib import suppress

from wildrobot.core.lcm_network import Listener, Network
from wildrobot.runtime.commands.source import StopSignals, printable
from wildrobot.runtime.telemetry.identity import channel_of
from wildrobot.runtime.telemetry.lcm_types import robot_stop_t

STOP = "robot_stop"


class StopListener(Listener):
    """Hears `robot_stop`, of this robot and of all, and latches it for the next tick.

    Its thread sleeps until such a message comes: the kernel throws away every other (`UdpReceiver`).
    """

    def __init__(self, network: Network, robot_name: str, signals: StopSignals) -> None:
        super().__init__(network, (channel_of(robot_name, STOP), STOP), "stops")
        self._signals = signals

    def _hear(self, data: bytes) -> None:
        # What cannot be read was sent here to stop the robot all the same.
        source, request = "a message that cannot be read", robot_stop_t.ESTOP
        with suppress(Exception):
            stop = robot_stop_t.decode(data)
            source, request = printable(stop.source) or "somebody without a name", stop.request
        self._signals.ask(source, at_once=request != robot_stop_t.SOFT_STOP)
