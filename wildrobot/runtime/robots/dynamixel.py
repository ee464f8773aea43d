"""`--robot dynamixel`: all servos and the sensor board on one bus, behind the protocol of every robot."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.board import control_table as board_table
from wildrobot.firmware_bridge.board.driver import BoardSample, FreshnessTracker
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import describe_hardware_error
from wildrobot.firmware_bridge.bus.driver import BEHIND, Bus
from wildrobot.firmware_bridge.bus.inspection import PLAUSIBLE_MARGIN_RAD, expected_registers
from wildrobot.firmware_bridge.bus.protocol import ALERT
from wildrobot.firmware_bridge.bus.servo_bus import TickSamples
from wildrobot.firmware_bridge.bus.startup import prepare
from wildrobot.firmware_bridge.bus.transport import PortLost, Transport
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.robots.base import Health
from wildrobot.signal_path.sensor_frame import FootSwitches, SensorFrame, hold_invalid

NS = 1e-9
REOPEN_EVERY_TICKS = 12
NAMED_AFTER_TICKS = 2
"""Ticks in a row without a good sample after which a device is named; a single lost packet is only bridged."""
DISTURBED_READS = 4
"""Broken reads among the last ten from which on the line itself is named."""
RESEND_TICKS = 5
_IMU_BYTES = board_table.FOOT_FORCE_LEFT_TOE.address - board_table.SAMPLE_ADDRESS


class DynamixelRobot:
    """One transaction reads everything, one packet writes the targets. Nothing moves before the stiffness is > 0.

    A value that could not be read keeps its old value and its old time and is marked not valid.
    """

    lockstep = False

    def __init__(self, spec: RobotSpec, transport: Transport, say: Callable[[str], None] = print) -> None:
        """Check and prepare every device on the bus, and read everything once.

        Raises:
            UserError: a device is missing, or set up in a way that cannot be repaired safely; all of it is listed.
        """
        n = spec.num_joints
        self.spec, self.transport, self._say = spec, transport, say
        self.bus = Bus(transport)
        self.servos = prepare(self.bus, spec, say)
        self._low = spec.joint_lower - PLAUSIBLE_MARGIN_RAD
        self._high = spec.joint_upper + PLAUSIBLE_MARGIN_RAD
        self._switches = FootSwitches(spec.foot_switch.on_n, spec.foot_switch.off_n, (1, spec.num_feet))
        self._freshness = FreshnessTracker()
        self._names = {
            device: f"servo {device} ({name})"
            for device, name in zip(spec.servo_ids, spec.joint_names, strict=True)
        }
        self._names[self.servos.board_id] = f"sensor board {self.servos.board_id}"
        self._bad_ticks = dict.fromkeys(self._names, 0)
        self._reason = dict.fromkeys(self._names, "")
        self._broken: deque[bool] = deque(maxlen=10)
        self._last_imu = b""
        self._lost_ticks = 0
        self._stiffness = 0.0
        self._send_stiffness = self._send_torque = 0
        self._current, self._temperature, self._voltage = (np.full(n, np.nan) for _ in range(3))
        self._hardware_error = np.zeros(n, dtype=np.int64)
        self._alert = np.zeros(n, dtype=bool)
        self._goal_pwm = [expected_registers(spec, i)[table.GOAL_PWM] for i in range(n)]
        self._weakened = np.zeros(n, dtype=bool)
        self._strengthen = False
        self._frame = self._first_frame()

    # ------------------------------------------------------------------ reading

    def _first_frame(self) -> SensorFrame:
        """The first frame needs every sensor once: there is no older value to keep."""
        for _ in range(25):
            samples = self.servos.read_tick()
            board = None if samples.board is None else BoardSample.decode(samples.board)
            if samples.valid.all() and board is not None:
                position, velocity = self.servos.joint_motion(samples)
                self._switches.reset(board.foot_force[None, : self.spec.num_feet])
                board_time = samples.board_time_ns * NS - board.age_s
                return SensorFrame(
                    time_s=np.array([self.transport.now_ns() * NS]),
                    joint_position=position[None],
                    joint_velocity=velocity[None],
                    joint_time_s=np.array([samples.time_ns * NS], dtype=np.float64),
                    joint_valid=samples.valid[None],
                    imu_quaternion=board.quaternion[None],
                    imu_angular_velocity=board.angular_velocity[None],
                    imu_acceleration=board.acceleration[None],
                    imu_time_s=np.array([board_time]),
                    imu_valid=np.array([True]),
                    foot_contact=self._switches.closed.astype(np.float64),
                    foot_time_s=np.array([samples.board_time_ns * NS]),
                    foot_valid=np.array([True]),
                )
            self.transport.sleep(self.spec.control_dt)
        silent = ", ".join(f"{self._names[i]}: {why}" for i, why in samples.failures.items())
        raise UserError(f"the bus does not answer as a whole ({silent}). Run `wildrobot doctor`.")

    def read(self) -> SensorFrame:
        """One transaction; (1, ...)."""
        samples, old = self._transact(), self._frame
        seen = old.aged(np.array([self.transport.now_ns() * NS]))
        if samples is not None:
            angle, rate = self.servos.joint_motion(samples)
            plausible = (angle >= self._low) & (angle <= self._high)
            self._judge_servos(samples, plausible, angle)
            self._take_health(samples, plausible)
            seen = dataclasses.replace(
                seen,
                joint_position=angle[None],
                joint_velocity=rate[None],
                joint_time_s=np.array([samples.time_ns * NS], dtype=np.float64),
                joint_valid=(samples.valid & plausible)[None],
                **self._board_values(samples),
            )
        self._frame = hold_invalid(seen, old)
        return self._frame

    def _transact(self) -> TickSamples | None:
        """The tick's samples; None while the port is lost."""
        if self._lost_ticks:
            self._lost_ticks += 1
            if self._lost_ticks % REOPEN_EVERY_TICKS or not self.transport.reopen():
                return None
            self._lost_ticks = 0
            # what was asked meanwhile was lost; a watchdog that has tripped stays so
            self._send_stiffness = self._send_torque = 0
        try:
            samples = self.servos.read_tick()
        except PortLost:
            self._lost_ticks = 1
            return None
        # a device that is known to be missing says nothing about the line
        self._broken.append(
            any(
                why != BEHIND and self._bad_ticks[device] < NAMED_AFTER_TICKS
                for device, why in samples.failures.items()
            )
        )
        return samples

    def _board_values(self, samples: TickSamples) -> dict[str, Any]:
        """The board's part of the frame. What the IMU has not measured anew, or what is no rotation, is no sample."""
        device = self.servos.board_id
        if samples.board is None:
            self._note(device, samples.failures[device])
            return {}
        board, now = BoardSample.decode(samples.board), samples.board_time_ns
        values: dict[str, Any] = {
            "foot_contact": self._switches.update(board.foot_force[None, : self.spec.num_feet]),
            "foot_time_s": np.array([now * NS]),
            "foot_valid": np.array([True]),
        }
        norm = board.quaternion_norm
        if not self._freshness.update(board.counter, now):
            self._note(device, "its IMU is frozen")
        elif abs(norm - 1.0) > self.spec.guards["quaternion_norm_error"].stop:
            self._note(device, f"its IMU gives no rotation (norm {norm:.2f})")
        else:
            # valid as it is; that it does not change for longer is the safety supervisor's business
            same = samples.board[:_IMU_BYTES] == self._last_imu
            self._last_imu = samples.board[:_IMU_BYTES]
            values |= {
                "imu_quaternion": board.quaternion[None],
                "imu_angular_velocity": board.angular_velocity[None],
                "imu_acceleration": board.acceleration[None],
                "imu_time_s": np.array([now * NS - board.age_s]),
                "imu_valid": np.array([True]),
            }
            self._note(device, "its IMU repeats itself" if same else "")
        return values

    # ------------------------------------------------------------------ what is wrong

    def _note(self, device: int, reason: str) -> None:
        if reason == BEHIND:  # not its fault; it is asked earlier on the next tick
            return
        self._bad_ticks[device] = self._bad_ticks[device] + 1 if reason else 0
        self._reason[device] = reason or self._reason[device]

    def _judge_servos(
        self, samples: TickSamples, plausible: NDArray[np.bool_], angle: NDArray[np.float64]
    ) -> None:
        for i, device in enumerate(self.spec.servo_ids):
            if not samples.valid[i]:
                self._note(device, samples.failures[device])
            elif not plausible[i]:
                self._note(
                    device, f"reads {angle[i]:+.2f} rad, which cannot be: it has restarted, or slipped"
                )
            else:
                self._note(device, "")
            self._alert[i] = bool(samples.error[i] & ALERT) if samples.valid[i] else self._alert[i]

    def _take_health(self, samples: TickSamples, plausible: NDArray[np.bool_]) -> None:
        if samples.health is None:
            return
        i, block = samples.health
        self._current[i] = block.current * self.spec.servos[i].current_a_per_count
        self._temperature[i] = block.temperature
        self._voltage[i] = block.voltage * table.VOLTAGE_V
        self._hardware_error[i] = block.hardware_error
        # a servo that has lost its indirect addresses shows something else
        self._weakened[i] = plausible[i] and block.goal_pwm_low != self._goal_pwm[i] & 0xFF
        self._strengthen = self._strengthen or bool(self._weakened[i])

    def problems(self) -> tuple[str, ...]:
        """What is wrong right now, for people."""
        if self._lost_ticks:
            return ("the port is gone: cable or adapter",)
        found = []
        if sum(self._broken) >= DISTURBED_READS:
            found.append(
                f"the line is disturbed: {sum(self._broken)} of the last {len(self._broken)} reads broke off"
            )
        found += [
            f"{name}: {self._reason[device]}"
            for device, name in self._names.items()
            if self._bad_ticks[device] >= NAMED_AFTER_TICKS
        ]
        for i, device in enumerate(self.spec.servo_ids):
            if self._weakened[i]:
                right = self._goal_pwm[i]
                found.append(
                    f"{self._names[device]}: somebody else has changed its goal_pwm; {right} is written again"
                )
            if self._alert[i]:
                error = int(self._hardware_error[i])
                what = describe_hardware_error(error) if error else "being asked which"
                found.append(f"{self._names[device]}: hardware error, {what}")
        return tuple(found)

    def health(self) -> Health:
        """As read so far, one servo per tick."""
        return Health(
            self._current.copy(),
            self._temperature.copy(),
            self._voltage.copy(),
            int(np.count_nonzero(self._alert)),
            self.problems(),
        )

    # ------------------------------------------------------------------ writing

    def set_stiffness(self, stiffness: float) -> None:
        """0 lets go; the first above 0 switches the torque on where the joints are, and arms the bus watchdog."""
        # Nobody acknowledges these packets, and one that noise has hit is lost for all servos: they are sent again.
        if stiffness != self._stiffness:
            self._send_stiffness = RESEND_TICKS
        if stiffness > 0.0 and self._stiffness == 0.0:
            self._send_torque = RESEND_TICKS
        self._stiffness = stiffness

    def write(self, joint_target: NDArray[np.float64]) -> None:
        """Targets (1, n), rad; a limp robot is told to let go instead; nothing, if the port is gone."""
        self._quietly(lambda: self._write(np.asarray(joint_target)[0]))

    def _write(self, joint_target: NDArray[np.float64]) -> None:
        servos = self.servos
        if self._stiffness == 0.0:
            # on every tick: however disturbed the line is, one of them arrives
            servos.enable_torque(False)
            return
        if self._strengthen:
            self._strengthen = False
            self.bus.sync_write(table.GOAL_PWM, dict(zip(self.spec.servo_ids, self._goal_pwm, strict=True)))
        if self._send_stiffness:
            servos.write_stiffness(self._stiffness)
            self._send_stiffness -= 1
        if self._send_torque:
            servos.arm_watchdog(self.spec.config.bus.watchdog_s)
            # The manual does not promise that a servo which is switched on takes its place for its goal; those that
            # do need the goals once more.
            servos.write_goals(joint_target)
            servos.enable_torque(True)
            self._send_torque -= 1
        servos.write_goals(joint_target)

    def _quietly(self, action: Callable[[], None]) -> None:
        """A write to a port that is gone is lost; the next read says so."""
        if self._lost_ticks:
            return
        try:
            action()
        except PortLost:
            self._lost_ticks = 1

    def truth(self) -> None:
        """Nobody knows a real robot's true state."""

    def close(self) -> None:
        """Torque off, watchdog off, port released."""
        for _ in range(RESEND_TICKS):
            self._quietly(lambda: self.servos.enable_torque(False))
        self._quietly(lambda: self.servos.arm_watchdog(0.0))
        if self._lost_ticks:
            self._say(
                "the port is gone, so the torque could not be turned off: the servos hold where their watchdogs "
                "stopped them. Plug it in and start again, or cut the power."
            )
        self.transport.close()
