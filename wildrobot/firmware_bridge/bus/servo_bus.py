"""The tick's two packets: one request that reads every device, one write that gives the targets."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wildrobot.firmware_bridge.board import control_table as board_table
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import HealthBlock, MotionLayout
from wildrobot.firmware_bridge.bus.driver import BulkRequest, Bus
from wildrobot.firmware_bridge.bus.protocol import BROADCAST_ID, Instruction, encode
from wildrobot.robot_description import RobotSpec

Array = NDArray[np.float64]
_BOARD_CLOCK = struct.Struct("<I")
_BOARD_CLOCK_AT = board_table.CLOCK.address - board_table.SAMPLE_ADDRESS
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

    def __init__(self, bus: Bus, spec: RobotSpec, fast: bool, layout: MotionLayout = table.HALVES) -> None:
        """`layout`: how the servos' reads are mapped."""
        self.bus, self.spec, self.fast, self.layout = bus, spec, fast, layout
        self.ids = spec.servo_ids
        self.board_id = spec.config.bus.sensor_board_id
        self._index = {device: i for i, device in enumerate(self.ids)}
        # The board last: its processor may be busy with its IMU when the request ends.
        self._order = [*self.ids, self.board_id]
        self._requests: dict[int, BulkRequest] = {}
        """By turn, as long as the order stands."""
        self._turn = 0
        self._clocks = {device: DeviceClock(1e-3, table.REALTIME_TICK_PERIOD) for device in self.ids}
        self._clocks[self.board_id] = DeviceClock(1e-6, 1 << 32)
        self._scales = [
            (sign, offset, float(servo.position_rad_per_count), float(servo.velocity_rad_s_per_count))
            for sign, offset, servo in zip(
                spec.joint_direction.tolist(), spec.joint_offset.tolist(), spec.servos, strict=True
            )
        ]
        """Direction, offset, rad per count and rad/s per count of every servo."""
        self._p_gain = np.array([joint.p_gain for joint in spec.config.joints])

    # ------------------------------------------------------------------ reading

    def blocks(self, health_of: int) -> list[tuple[int, int, int]]:
        """(id, address, length) of every device; servo `health_of` (index) shows its slow registers too."""
        lengths = {device: len(self.layout.addresses) for device in self.ids}
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
        if (request := self._requests.get(turn)) is None:
            request = self._requests[turn] = BulkRequest.of(self.blocks(turn), self.fast)
        answer = self.bus.ask(request)
        # plain lists until all is there: arrays of nine numbers take longer to fill than to make
        valid = [False] * n
        position, velocity, time, error = [0] * n, [0] * n, [0] * n, [0] * n
        board: bytes | None = None
        board_time_ns, health, failures = 0, None, answer.failures
        arrived_ns, motion = answer.end_ns, self.layout.format
        for device, (data, error_byte, time_ns) in answer.answers.items():
            i = self._index.get(device)
            if i is None:
                (clock,) = _BOARD_CLOCK.unpack_from(data, _BOARD_CLOCK_AT)
            else:
                counts, speed, clock = motion.unpack_from(data)
            late = self._clocks[device].late_s(clock, time_ns, arrived_ns)
            if late != 0.0:
                failures[device] = _why_late(late)
            elif i is None:
                board, board_time_ns = data, time_ns
            else:
                valid[i], position[i], velocity[i], time[i], error[i] = (
                    True,
                    counts,
                    speed,
                    time_ns,
                    error_byte,
                )
                if i == turn:
                    health = (i, HealthBlock.decode(data[motion.size :]))
        if answer.first_missing is not None:
            self._order.remove(answer.first_missing)
            self._order.append(answer.first_missing)
            self._requests.clear()
        numbers = np.array((position, velocity, time, error))
        return TickSamples(
            np.array(valid), numbers[0], numbers[1], numbers[2], numbers[3], board, board_time_ns, health,
            failures, answer.start_ns, answer.end_ns,
        )  # fmt: skip

    def joint_motion(self, samples: TickSamples) -> tuple[Array, Array]:
        """Joint positions (n,) rad and velocities (n,) rad/s."""
        angles, rates = [], []
        for count, speed, (direction, offset, scale, rate) in zip(
            samples.position.tolist(), samples.velocity.tolist(), self._scales, strict=True
        ):
            angles.append(direction * ((count - table.CENTRE_COUNT) * scale) + offset)
            rates.append(direction * speed * rate)
        return np.array(angles), np.array(rates)

    # ------------------------------------------------------------------ writing

    def counts_of(self, joint_position: Array) -> NDArray[np.int64]:
        """Goal counts (n,) of joint positions (n,) rad, inside the servo's one turn."""
        return np.array(self._counts(joint_position))

    def _counts(self, joint_position: Array) -> list[int]:
        # nine numbers are done sooner without arrays, on a processor whose caches are cold after every sleep
        last = table.COUNTS_PER_TURN - 1
        return [
            min(max(round(direction * (position - offset) / count) + table.CENTRE_COUNT, 0), last)
            for position, (direction, offset, count, _) in zip(
                joint_position.tolist(), self._scales, strict=True
            )
        ]

    def write_goals(self, joint_position: Array) -> None:
        """Give all servos joint targets (n,), rad.

        Raises:
            PortLost: the port is gone.
        """
        self.bus.sync_write(
            table.GOAL_POSITION, dict(zip(self.ids, self._counts(joint_position), strict=True))
        )

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

    __slots__ = ("_first", "_offset_s", "_period_s", "_seen_s", "_slack_s", "_unit_s")

    def __init__(self, unit_s: float, period: int) -> None:
        self._unit_s, self._period_s = unit_s, unit_s * period
        self._offset_s: float | None = None
        """Host time minus device time, modulo the period."""
        self._seen_s = 0.0
        self._slack_s = 0.0
        """By which the first offset may be too small."""
        self._first = 0

    def late_s(self, count: int, time_ns: int, arrived_ns: int) -> float:
        """How old a reading is that was asked for at `time_ns` and there at `arrived_ns`, s; 0 for one of this request,
        give or take.

        A host that is held up between looking at its clock and sending, or whose adapter is, gets a reading from any
        time until its arrival. A reading of this request is followed; another one changes nothing.
        """
        time_s, span_s = 1e-9 * time_ns, 1e-9 * (arrived_ns - time_ns)
        offset = time_s - count * self._unit_s
        elapsed = time_s - self._seen_s
        if self._offset_s is None or elapsed > FORGET_S:
            self._offset_s, self._seen_s, self._first, self._slack_s = offset, time_s, 1, span_s
            return 0.0
        half = 0.5 * self._period_s
        late = (offset - self._offset_s + half) % self._period_s - half
        tolerance = TOLERANCE_S + DRIFT * elapsed
        beginning = self._first < FIRST_READINGS
        if not -tolerance - span_s <= late <= tolerance + self._slack_s * beginning:
            return late
        self._seen_s = time_s
        if beginning:
            # an interrupted host makes the offset too small, never too large
            self._first += 1
            self._offset_s += max(late, 0.0)
        elif late >= -tolerance:
            self._offset_s += _FOLLOW * late
        return 0.0


@dataclass(frozen=True)
class WireTime:
    """Modelled seconds on the wire of one tick, without USB."""

    read_s: float
    write_s: float


def wire_time(
    spec: RobotSpec,
    baud: int,
    fast: bool,
    return_delay_s: float = 0.0,
    layout: MotionLayout = table.HALVES,
) -> WireTime:
    """Time of the tick's request, its answers and the goal write at `baud`; one servo shows its slow registers."""
    sizes = [board_table.SAMPLE_SIZE] + [len(layout.addresses)] * spec.num_joints
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
