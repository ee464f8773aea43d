"""Every servo's latest figures, its lost answers over a minute, and modelled figures where a simulation has none."""

from __future__ import annotations

import math
import re
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.firmware_bridge.virtual.motor import AMBIENT_C, STALL_CURRENT_A, heating_c_per_s
from wildrobot.robot_description import RobotSpec

Array = NDArray[np.float64]

LOST_S = 60
"""Lost answers are counted over so many seconds."""
START_C = AMBIENT_C + 5.0
"""A modelled servo's temperature when the page begins to follow the run."""
LONGEST_STEP_S = 0.1
"""Between two messages; a longer gap warms no modelled servo."""
_SERVO = re.compile(r"\bservo (\d+)\b")


@dataclass(frozen=True)
class ServoRow:
    """One servo; NaN where nobody has measured it."""

    joint: int
    name: str
    servo_id: int
    target_rad: float
    actual_rad: float
    current_a: float
    temperature_c: float
    voltage_v: float
    errors: int
    """Times that the bus complained of it, since the page follows this run."""
    lost: int
    """Ticks of the last minute in which it gave no new sample."""


class ModelledServos:
    """Current and heat of a simulated robot's servos by the virtual servo's model (`firmware_bridge.virtual.motor`), at
    their nominal voltage."""

    def __init__(self, spec: RobotSpec) -> None:
        self._spec = spec
        self.voltage_v = np.array([servo.nominal_voltage_v for servo in spec.servos])
        self.temperature_c = np.full(spec.num_joints, START_C)
        self.current_a = np.zeros(spec.num_joints)
        self._time_s = math.nan

    def take(self, state: Any, target: Array | None, torque_gain: float) -> None:
        """One tick: `target` (n,) rad is what the servos have; None or gain 0: they are let go."""
        spec = self._spec
        step = state.time_s - self._time_s
        self._time_s = state.time_s
        if target is None or torque_gain <= 0.0:
            self.current_a = np.zeros(spec.num_joints)
        else:
            error = np.asarray(target) - np.asarray(state.joint_position)
            duty = np.clip(torque_gain * spec.joint_stiffness / spec.stall_torque * error, -1.0, 1.0)
            self.current_a = STALL_CURRENT_A * (duty - np.asarray(state.joint_velocity) / spec.no_load_speed)
        if 0.0 < step <= LONGEST_STEP_S and np.isfinite(self.current_a).all():
            self.temperature_c += heating_c_per_s(self.current_a, self.temperature_c) * step


class ServoRecord:
    """Given every robot_state, robot_command and bus event of one run."""

    def __init__(self, spec: RobotSpec) -> None:
        self._spec = spec
        self._errors: Counter[int] = Counter()
        self._seconds: deque[tuple[int, NDArray[np.int64]]] = deque()
        self._command: Any = None
        self.model = ModelledServos(spec)

    def take_state(self, state: Any, simulated: bool) -> None:
        """One tick. Only what is simulated is modelled."""
        second = state.timestamp_us // 1_000_000
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, np.zeros(self._spec.num_joints, dtype=np.int64)))
        self._seconds[-1][1][:] += ~np.asarray(state.joint_valid, dtype=bool)
        while not 0 <= second - self._seconds[0][0] < LOST_S:
            self._seconds.popleft()
        if simulated:
            command = self._command
            driven = command is not None and command.num_joints == self._spec.num_joints
            if driven:
                self.model.take(state, np.array(command.joint_target_applied), command.torque_gain)
            else:
                self.model.take(state, None, 0.0)

    def take_command(self, command: Any) -> None:
        """What the servos have got, until the next."""
        self._command = command

    def take_event(self, event: Any) -> None:
        """One event; those of the bus that name a servo count."""
        if event.name == "bus" and event.severity > 0:
            self._errors.update(int(number) for number in set(_SERVO.findall(event.text)))

    def figures(self, health: Any, simulated: bool) -> tuple[Array, Array, Array, bool]:
        """(n,) current (A), temperature (°C) and voltage (V) as measured, NaN where they are not; modelled, and true,
        if a simulation measures none of them. `health` may be None."""
        n = self._spec.num_joints
        if health is not None and health.num_joints == n:
            measured = np.array([health.current_a, health.temperature_c, health.voltage_v])
        else:
            measured = np.full((3, n), np.nan)
        if simulated and np.isnan(measured).all():
            model = self.model
            return model.current_a, model.temperature_c, model.voltage_v, True
        return measured[0], measured[1], measured[2], False

    def rows(self, state: Any, command: Any, health: Any, simulated: bool) -> tuple[list[ServoRow], bool]:
        """The hottest first, without temperatures in the order of robot.yaml; and whether figures are modelled."""
        n = self._spec.num_joints
        driven = command is not None and command.torque_gain > 0.0 and command.num_joints == n
        target = command.joint_target_applied if driven else [math.nan] * n
        current, warm, volts, modelled = self.figures(health, simulated)
        lost = sum((count for _, count in self._seconds), np.zeros(n, dtype=np.int64))
        names = zip(self._spec.joint_names, self._spec.servo_ids, strict=True)
        rows = [
            ServoRow(
                i, name, number, target[i], state.joint_position[i], float(current[i]), float(warm[i]),
                float(volts[i]), self._errors[number], int(lost[i]),
            )
            for i, (name, number) in enumerate(names)
        ]  # fmt: skip
        # by what is shown: tenths of a degree would shuffle the rows under a pointer
        return sorted(rows, key=_coolness), modelled


def _coolness(row: ServoRow) -> float:
    return -round(row.temperature_c) if math.isfinite(row.temperature_c) else math.inf
