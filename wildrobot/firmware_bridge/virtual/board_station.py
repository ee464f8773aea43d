"""The sensor board on the line: the firmware's own core, fed with the simulation's sensors and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wildrobot.firmware_bridge.board.driver import FOOT_INPUTS
from wildrobot.firmware_bridge.bus.protocol import Packet
from wildrobot.firmware_bridge.virtual.device import Reply
from wildrobot.firmware_bridge.virtual.wire import Ear

Array = NDArray[np.float64]
BROWN_OUT_V = 5.0
"""Supply below which the board's processor resets."""


class Core(Protocol):
    """What is needed of `board_core.BoardCore`; times are microseconds."""

    def receive(self, data: bytes, now_us: int) -> None: ...

    def poll(self, now_us: int) -> list[tuple[int, bytes]]: ...

    def set_imu(
        self,
        quaternion_wxyz: Sequence[float],
        angular_velocity: Sequence[float],
        acceleration: Sequence[float],
        now_us: int,
    ) -> None: ...

    def set_feet(self, force_n: Sequence[float], now_us: int) -> None: ...

    def set_supply(self, voltage_v: float) -> None: ...

    def reboot(self, now_us: int) -> None: ...

    @property
    def baud(self) -> int: ...


@dataclass
class ImuSample:
    """What the IMU chip gives, in its own frame."""

    quaternion: Array
    """(4,) wxyz, world <- chip, yaw from an arbitrary zero."""
    angular_velocity: Array
    """(3,) rad/s."""
    acceleration: Array
    """(3,) m/s^2, specific force."""


class BoardStation:
    """The board as a station of the wire."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._powered = True
        self._baud = core.baud

    @property
    def baud(self) -> int:
        return self._baud

    def receive(self, data: bytes, end_ns: int, packets: Sequence[Packet], ear: Ear) -> list[Reply]:
        if not self._powered:
            return []
        now_us = end_ns // 1000
        self.core.receive(data, now_us)
        # The answer to a change of the rate still has the old one.
        replies = [
            Reply(end_ns + 1000 * (start_us - now_us), answer, self._baud)
            for start_us, answer in self.core.poll(now_us)
        ]
        if packets:
            self._baud = self.core.baud
        return replies

    def imu(self, sample: ImuSample, now_ns: int) -> None:
        """The chip has a new sample."""
        if self._powered:
            self.core.set_imu(
                sample.quaternion.tolist(),
                sample.angular_velocity.tolist(),
                sample.acceleration.tolist(),
                now_ns // 1000,
            )

    def feet(self, force_n: Array, now_ns: int) -> None:
        """The foot inputs are sampled, (feet,) N; those without a foot are at rest."""
        if self._powered:
            spare = [0.0] * (FOOT_INPUTS - len(force_n))
            self.core.set_feet(force_n.tolist() + spare, now_ns // 1000)

    def supply(self, volt: float, now_ns: int) -> None:
        """The bus voltage; a dip resets the board when the voltage is back."""
        if volt < BROWN_OUT_V:
            self._powered = False
        elif not self._powered:
            self._powered = True
            self.core.reboot(now_ns // 1000)
            self._baud = self.core.baud
        self.core.set_supply(volt)
