"""The tick's two packets: one request that reads every device, one write that gives the targets."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wildrobot.firmware_bridge.board import control_table as board_table
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import HealthBlock, MotionBlock
from wildrobot.firmware_bridge.bus.driver import Answer, Bus
from wildrobot.firmware_bridge.bus.protocol import BROADCAST_ID, Instruction, encode
from wildrobot.robot_description import RobotSpec

Array = NDArray[np.float64]
LATEST_S = 0.3
"""No answer comes later than this; a clock that is further behind has begun anew."""
TOLERANCE_S = 0.008
"""A host that is interrupted between looking at its clock and sending sees answers that seem this much off."""
DRIFT = 0.01
"""By which two clocks may part: a servo runs on its processor's own oscillator."""
FORGET_S = 1.2
"""After so long without an answer the clock may be anywhere within a tick, and is taken as it comes."""
FIRST_READINGS = 5
_FOLLOW = 0.05


@dataclass
class TickSamples:
    """What one tick's transaction brought. Arrays are (n,), servos in policy order; times on the transport's clock."""

    valid: NDArray[np.bool_]
    position: NDArray[np.int64]
    """Counts; meaningless where not valid, as is all the rest."""
    velocity: NDArray[np.int64]
    """Counts of the servo's own velocity register."""
    time_ns: NDArray[np.int64]
    error: NDArray[np.int64]
    """ERR byte."""
    board: bytes | None = None
    """The sensor board's sample block."""
    board_time_ns: int = 0
    health: tuple[int, HealthBlock] | None = None
    """Slow registers of one servo (index in policy order)."""
    failures: dict[int, str] = field(default_factory=dict)
    """Device id to what was wrong."""
    start_ns: int = 0
    end_ns: int = 0


class ServoBus:
    """Reads and writes all servos and the sensor board, in the units of the robot.

    A device that keeps silent is asked last from then on: in a chain it would silence those behind it.
    """

    def __init__(self, bus: Bus, spec: RobotSpec, fast: bool) -> None:
        self.bus, self.spec, self.fast = bus, spec, fast
        self.ids = spec.servo_ids
        self.board_id = spec.config.bus.sensor_board_id
        self._index = {device: i for i, device in enumerate(self.ids)}
        # The board last: its processor may be busy with its IMU when the request ends.
        self._order = [*self.ids, self.board_id]
        self._turn = 0
        self._clocks = {device: DeviceClock(1e-3, table.REALTIME_TICK_PERIOD) for device in self.ids}
        self._clocks[self.board_id] = DeviceClock(1e-6, 1 << 32)
        self._count = np.array([servo.position_rad_per_count for servo in spec.servos])
        self._rate = np.array([servo.velocity_rad_s_per_count for servo in spec.servos])
        self._p_gain = np.array([joint.p_gain for joint in spec.config.joints])

    # ------------------------------------------------------------------ reading

    def blocks(self, health_of: int) -> list[tuple[int, int, int]]:
        """(id, address, length) of every device; servo `health_of` (index) shows its slow registers too."""
        lengths = {device: len(table.MOTION_BYTES) for device in self.ids}
        lengths[self.ids[health_of]] += len(table.HEALTH_BYTES)
        board = (self.board_id, board_table.SAMPLE_ADDRESS, board_table.SAMPLE_SIZE)
        return [
            board if device == self.board_id else (device, table.INDIRECT_DATA, lengths[device])
            for device in self._order
        ]

    def read_tick(self) -> TickSamples:
        """One transaction.

        Raises:
            PortLost: the port is gone.
        """
        n, turn = len(self.ids), self._turn
        self._turn = (turn + 1) % n
        answer = self.bus.bulk_read(self.blocks(turn), self.fast)
        zero = np.zeros(n, dtype=np.int64)
        samples = TickSamples(
            zero.astype(bool), zero.copy(), zero.copy(), zero.copy(), zero.copy(), failures=answer.failures,
            start_ns=answer.start_ns, end_ns=answer.end_ns,
        )  # fmt: skip
        for device, got in answer.answers.items():
            late = self._late_s(device, got)
            if late != 0.0:
                samples.failures[device] = _why_late(late)
                continue
            if device == self.board_id:
                samples.board, samples.board_time_ns = got.data, got.time_ns
                continue
            i, motion = self._index[device], MotionBlock.decode(got.data)
            samples.valid[i], samples.time_ns[i], samples.error[i] = True, got.time_ns, got.error
            samples.position[i], samples.velocity[i] = motion.position, motion.velocity
            if i == turn:
                samples.health = (i, HealthBlock.decode(got.data[len(table.MOTION_BYTES) :]))
        if answer.first_missing is not None:
            self._order.remove(answer.first_missing)
            self._order.append(answer.first_missing)
        return samples

    def _late_s(self, device: int, answer: Answer) -> float:
        if device == self.board_id:
            clock = board_table.CLOCK.address - board_table.SAMPLE_ADDRESS
            count = board_table.CLOCK.decode(answer.data[clock:])
        else:
            count = MotionBlock.decode(answer.data).tick_ms
        return self._clocks[device].late_s(count, answer.time_ns)

    def joint_motion(self, samples: TickSamples) -> tuple[Array, Array]:
        """Joint positions (n,) rad and velocities (n,) rad/s."""
        spec = self.spec
        angle = (samples.position - table.CENTRE_COUNT) * self._count
        return (
            spec.joint_direction * angle + spec.joint_offset,
            spec.joint_direction * samples.velocity * self._rate,
        )

    # ------------------------------------------------------------------ writing

    def counts_of(self, joint_position: Array) -> NDArray[np.int64]:
        """Goal counts (n,) of joint positions (n,) rad, inside the servo's one turn."""
        spec = self.spec
        angle = spec.joint_direction * (np.asarray(joint_position) - spec.joint_offset)
        counts = np.rint(angle / self._count).astype(np.int64) + table.CENTRE_COUNT
        return np.clip(counts, 0, table.COUNTS_PER_TURN - 1)

    def write_goals(self, joint_position: Array) -> None:
        """Give all servos joint targets (n,), rad.

        Raises:
            PortLost: the port is gone.
        """
        counts = self.counts_of(joint_position).tolist()
        self.bus.sync_write(table.GOAL_POSITION, dict(zip(self.ids, counts, strict=True)))

    def write_stiffness(self, stiffness: float) -> None:
        """Stiffness of all servos as a share of the P gains of robot.yaml.

        Raises:
            PortLost: the port is gone.
        """
        values = np.rint(np.clip(stiffness, 0.0, 1.0) * self._p_gain).astype(int).tolist()
        self.bus.sync_write(table.POSITION_P_GAIN, dict(zip(self.ids, values, strict=True)))

    def enable_torque(self, on: bool) -> None:
        """Switch all servos on or off. On: each holds where it is, since a servo takes its position for its goal then.

        Raises:
            PortLost: the port is gone.
        """
        self.bus.sync_write(table.TORQUE_ENABLE, dict.fromkeys(self.ids, int(on)))

    def arm_watchdog(self, seconds: float) -> None:
        """From now on servos stop by themselves when nobody speaks for `seconds`; clears one that has tripped. 0: off.

        Raises:
            PortLost: the port is gone.
        """
        self.bus.sync_write(table.BUS_WATCHDOG, dict.fromkeys(self.ids, 0))
        if seconds > 0:
            units = max(1, round(seconds / table.WATCHDOG_S))
            self.bus.sync_write(table.BUS_WATCHDOG, dict.fromkeys(self.ids, units))


def _why_late(late_s: float) -> str:
    if 0.0 < late_s < LATEST_S:
        return f"an answer of {1e3 * late_s:.0f} ms ago"
    return "its clock has jumped: it has restarted"


class DeviceClock:
    """Whether an answer is of this request: the device's own clock must have gone on as far as the host's.

    Packets carry no number. An answer that comes a whole tick late looks like one to the request that has just gone
    out; only the device's clock in it tells. Follows a counter that counts `unit_s` and wraps after `period` counts.
    """

    def __init__(self, unit_s: float, period: int) -> None:
        self._unit_s, self._period_s = unit_s, unit_s * period
        self._offset_s: float | None = None
        """Host time minus device time, modulo the period."""
        self._seen_s = 0.0
        self._first = 0

    def late_s(self, count: int, time_ns: int) -> float:
        """How old a reading is that was asked for at `time_ns`, s; 0 for one of this request, give or take.

        A reading of this request is followed; another one changes nothing.
        """
        time_s = 1e-9 * time_ns
        offset = time_s - count * self._unit_s
        elapsed = time_s - self._seen_s
        if self._offset_s is None or elapsed > FORGET_S:
            self._offset_s, self._seen_s, self._first = offset, time_s, 1
            return 0.0
        late = (offset - self._offset_s + 0.5 * self._period_s) % self._period_s - 0.5 * self._period_s
        if abs(late) > TOLERANCE_S + DRIFT * elapsed:
            return late
        if self._first < FIRST_READINGS:
            # an interrupted host makes the offset too small, never too large
            self._first += 1
            self._offset_s += max(late, 0.0)
        else:
            self._offset_s += _FOLLOW * late
        self._seen_s = time_s
        return 0.0


@dataclass(frozen=True)
class WireTime:
    """Modelled seconds on the wire of one tick, without USB."""

    read_s: float
    write_s: float


def wire_time(spec: RobotSpec, baud: int, fast: bool, return_delay_s: float = 0.0) -> WireTime:
    """Time of the tick's request, its answers and the goal write at `baud`; one servo shows its slow registers."""
    sizes = [board_table.SAMPLE_SIZE] + [len(table.MOTION_BYTES)] * spec.num_joints
    sizes[-1] += len(table.HEALTH_BYTES)
    body = bytes(5 * len(sizes))
    request = len(encode(BROADCAST_ID, Instruction.BULK_READ, body))
    if fast:
        reply = 8 + sum(4 + size for size in sizes)
    else:
        reply = sum(11 + size for size in sizes)
    goals = len(encode(BROADCAST_ID, Instruction.SYNC_WRITE, bytes(4 + 5 * spec.num_joints)))
    delays = return_delay_s * (1 if fast else len(sizes))
    return WireTime((request + reply) * 10 / baud + delays, goals * 10 / baud)
