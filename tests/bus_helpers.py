"""The bus driver on the virtual robot, in simulated time: one tick after another, and what the joints truly did."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from wildrobot.firmware_bridge.bus.driver import Bus
from wildrobot.firmware_bridge.bus.servo_bus import ServoBus, TickSamples
from wildrobot.firmware_bridge.bus.startup import prepare
from wildrobot.firmware_bridge.virtual.faults.kinds import Fault
from wildrobot.firmware_bridge.virtual.parts import Hidden
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.firmware_bridge.virtual.transport import VirtualTransport
from wildrobot.robot_description import RobotSpec, load_robot

SPEC = load_robot()
BOARD = SPEC.config.bus.sensor_board_id
TICK_NS = round(SPEC.control_dt * 1e9)
MS = 1_000_000
OLD = Hidden(firmware={"left_knee_pitch": 44})
"""One servo whose firmware knows no fast reads: the driver reads by plain bulk reads."""


def with_bus(**changes: Any) -> RobotSpec:
    """WildRobot with other entries under `bus`."""
    spec = copy.copy(SPEC)
    spec.config = dataclasses.replace(SPEC.config, bus=dataclasses.replace(SPEC.config.bus, **changes))
    return spec


class Rig:
    """A hanging robot, prepared; every `tick` reads all devices and writes the goals of a swing."""

    def __init__(self, plain: bool = False, seed: int = 0, spec: RobotSpec = SPEC, **options: Any) -> None:
        options |= {"hidden": OLD} if plain else {}
        self.virtual = VirtualRobot(spec, seed=seed, suspended=True, **options)
        self.port = VirtualTransport(self.virtual, spec.config.bus.baud)
        self.bus = Bus(self.port)
        self.notes: list[str] = []
        self.servos: ServoBus = prepare(self.bus, spec, self.notes.append)
        self.swinging = False
        self._deadline = self.port.now_ns()
        self._times: list[int] = []
        self._joints: list[Any] = []
        step = self.virtual._step

        def stepped(now_ns: int) -> None:
            step(now_ns)
            self._times.append(now_ns)
            self._joints.append(self.virtual.physics.joint_position.copy())

        self.virtual._step = stepped  # type: ignore[method-assign]

    @property
    def time_s(self) -> float:
        """Simulated time."""
        return self.port.now_ns() * 1e-9

    def fail(self, *faults: Fault) -> None:
        """Faults from now on, or at their own times if those are later."""
        for fault in faults:
            self.virtual.faults.add(fault)

    def swing(self, seconds: float = 0.4) -> None:
        """Torque on; from now on every tick's goals move all joints to and fro, at several rad/s at their fastest."""
        self.servos.enable_torque(True)
        self.swinging = True
        self.ticks(round(seconds * SPEC.control_hz))

    def goals(self) -> Any:
        """(n,) rad, of this instant."""
        middle = 0.5 * (SPEC.joint_lower + SPEC.joint_upper)
        reach = np.minimum(0.9, 0.4 * (SPEC.joint_upper - SPEC.joint_lower))
        phase = np.arange(SPEC.num_joints)
        return middle + reach * np.sin(2.0 * math.pi * 1.3 * self.time_s + phase)

    def tick(self) -> TickSamples:
        """Wait for the next tick's time; one read, and the goals if it swings."""
        self._deadline += TICK_NS
        if (left := self._deadline - self.port.now_ns()) > 0:
            self.port.sleep(left * 1e-9)
        self._deadline = self.port.now_ns()
        samples = self.servos.read_tick()
        if self.swinging:
            self.servos.write_goals(self.goals())
        return samples

    def ticks(self, count: int) -> list[TickSamples]:
        """So many of them."""
        return [self.tick() for _ in range(count)]

    def true_range(self, start_ns: int, end_ns: int) -> tuple[Any, Any]:
        """(n,) lowest and highest true joint positions, rad, from the last instant before `start_ns` to `end_ns`."""
        low = max(0, int(np.searchsorted(self._times, start_ns, side="right")) - 1)
        high = int(np.searchsorted(self._times, end_ns, side="right"))
        joints = np.array(self._joints[low : max(high, low + 1)])
        return joints.min(axis=0), joints.max(axis=0)

    def misfits(self, samples: TickSamples) -> Iterable[str]:
        """Valid positions that no joint had between its sample's time and the answer's arrival, within a count."""
        angle, _ = self.servos.joint_motion(samples)
        count = SPEC.servos[0].position_rad_per_count
        for i in np.flatnonzero(samples.valid):
            low, high = self.true_range(int(samples.time_ns[i]), samples.end_ns)
            if not low[i] - count <= angle[i] <= high[i] + count:
                yield f"servo {SPEC.servo_ids[i]}: {angle[i]:.4f} rad, was {low[i]:.4f} to {high[i]:.4f}"


def lost(samples: TickSamples) -> set[int]:
    """Ids of the devices that brought nothing."""
    return set(samples.failures)
