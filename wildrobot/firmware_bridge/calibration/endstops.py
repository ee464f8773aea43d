"""Zeros of the joints: each one is driven softly to both of its mechanical end stops.

The middle of both readings is the middle of the joint's range, so what gives way at the stops cancels; the way between
them must be the range. While one joint is measured the others hold a pose in which the legs cannot touch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.driver import Bus, BusError
from wildrobot.firmware_bridge.bus.transport import PortLost
from wildrobot.firmware_bridge.calibration.sampling import PERIOD_S, Sample, Sampler
from wildrobot.robot_description import RobotSpec

Array = NDArray[np.float64]
WIDTH_TOLERANCE_RAD = 0.03
PUSHES = (0.2, 0.4, 0.6)
"""Shares of full duty, tried one after another: a joint that its own weight stops is pushed harder next time."""
HOLD_DUTY = 0.7
LEAD_RAD = 0.3
"""How far the goal runs ahead of the joint; at this lead the servo pushes with all the duty it is given."""
SPEED_RAD_S = 0.6
POSE_SPEED_RAD_S = 0.8
STALL_S = 0.3
STALL_COUNTS = 2
TIME_LIMIT_S = 15.0
WATCHDOG_S = 0.5
"""Longer than in the control loop: this runs without real-time rights."""
_POSES: dict[str, dict[str, float]] = {
    # role of the joint that is measured, and where joints of its leg stand meanwhile
    # the knee's weight pulls alike at both ends; with the thigh forward the roll axis is upright and carries none
    "hip_pitch": {"knee_pitch": 1.2},
    "hip_roll": {"hip_pitch": -1.35, "knee_pitch": 1.1},
    "knee_pitch": {"hip_pitch": -0.7},
}
_APART_RAD = 0.12


@dataclass(frozen=True)
class Ends:
    """Readings of a servo at its joint's end stops, counts, joint's lower end first, and the duty it took."""

    lower_count: float
    upper_count: float
    duty: float

    def width_rad(self, rad_per_count: float) -> float:
        """The way between the stops."""
        return abs(self.upper_count - self.lower_count) * rad_per_count


def offset_from_ends(
    ends: Ends, lower_rad: float, upper_rad: float, direction: int, rad_per_count: float
) -> float:
    """offset_rad of robot.yaml: the middle of the readings is the middle of the range.

    joint = direction * (count - 2048) * rad_per_count + offset_rad
    """
    middle = 0.5 * (ends.lower_count + ends.upper_count) - table.CENTRE_COUNT
    return 0.5 * (lower_rad + upper_rad) - direction * middle * rad_per_count


def pose_for(spec: RobotSpec, joint: int) -> Array:
    """(n,) rad: how all joints stand while `joint` is measured."""
    pose = spec.default_joint_pos.copy()
    for i in spec.joints_of("hip_roll"):
        outwards = 1.0 if spec.joint_upper[i] > -spec.joint_lower[i] else -1.0
        pose[i] = outwards * _APART_RAD
    role = spec.roles[joint]
    for other, angle in _POSES.get(role.name, {}).items():
        i = spec.joints_of(other)[role.side or 0]
        pose[i] = spec.roles[i].sign * angle
    return np.clip(pose, spec.joint_lower, spec.joint_upper)


@contextlib.contextmanager
def free_limits(bus: Bus, spec: RobotSpec, say: Callable[[str], None]) -> Iterator[None]:
    """Torque off and position limits wide open for the block, and as they were behind it.

    A servo refuses goals outside its limits, and with a wrong zero these may lie before the stops.
    """
    registers = ((table.MIN_POSITION_LIMIT, 0), (table.MAX_POSITION_LIMIT, table.COUNTS_PER_TURN - 1))
    old: list[tuple[int, table.Register, int]] = []
    try:
        for device in spec.servo_ids:
            bus.write(device, table.TORQUE_ENABLE, 0)
            for register, wide in registers:
                old.append((device, register, bus.read(device, register)))
                bus.write(device, register, wide)
        yield
    except BusError as error:
        raise UserError(f"{error}. Check its cable and begin again.") from error
    finally:
        for device, register, value in old:
            try:
                bus.write(device, table.TORQUE_ENABLE, 0)
                bus.write(device, register, value)
            except (BusError, PortLost):
                say(f"servo {device}: {register.name} could not be put back to {value}")


class EndStops:
    """Moves the suspended robot. Use as a context: behind it all servos are limp and set up as before."""

    def __init__(self, bus: Bus, spec: RobotSpec, say: Callable[[str], None] = lambda text: None) -> None:
        self.bus, self.spec, self._say = bus, spec, say
        self.sampler = Sampler(bus, spec.servo_ids, spec.config.bus.sensor_board_id)
        self._scale = np.array([servo.position_rad_per_count for servo in spec.servos])
        self._goal = np.zeros(spec.num_joints)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> EndStops:
        with contextlib.ExitStack() as stack:
            stack.enter_context(free_limits(self.bus, self.spec, self._say))
            stack.callback(self._let_go)
            self._hold_here()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    # ------------------------------------------------------------------ packets

    def _all(self, register: table.Register, values: list[int]) -> None:
        self.bus.sync_write(register, dict(zip(self.spec.servo_ids, values, strict=True)))

    def _hold_here(self) -> None:
        n = self.spec.num_joints
        self._goal = self._position(self.sampler.record(0.1)[-1])
        self._all(table.BUS_WATCHDOG, [0] * n)
        self._stiffness(None, 0.0)
        self._all(table.TORQUE_ENABLE, [1] * n)
        self._all(table.BUS_WATCHDOG, [round(WATCHDOG_S / table.WATCHDOG_S)] * n)

    def _let_go(self) -> None:
        n = self.spec.num_joints
        self._all(table.TORQUE_ENABLE, [0] * n)
        self._all(table.BUS_WATCHDOG, [0] * n)
        self._all(table.GOAL_PWM, [table.FULL_PWM] * n)
        self._all(table.POSITION_P_GAIN, [joint.p_gain for joint in self.spec.config.joints])

    def _stiffness(self, soft: int | None, duty: float) -> None:
        """Joint `soft` pushes with at most `duty`, all of it at `LEAD_RAD`; the others hold."""
        pwm = [round(HOLD_DUTY * table.FULL_PWM)] * self.spec.num_joints
        gain = [joint.p_gain for joint in self.spec.config.joints]
        if soft is not None:
            pwm[soft] = round(duty * table.FULL_PWM)
            gain[soft] = round(pwm[soft] * table.P_GAIN_UNIT * self._scale[soft] / LEAD_RAD)
        self._all(table.GOAL_PWM, pwm)
        self._all(table.POSITION_P_GAIN, gain)

    def _position(self, sample: Sample) -> Array:
        return np.where(np.isnan(sample.count), self._goal, sample.count)

    def _tick(self) -> Sample:
        """Send the goals, wait, read, and look whether all is well."""
        counts = np.clip(np.rint(self._goal), 0, table.COUNTS_PER_TURN - 1).astype(int).tolist()
        self._all(table.GOAL_POSITION, counts)
        self.sampler.wait()
        sample = self.sampler.read()
        spec, guards = self.spec, self.spec.guards
        current = np.abs(sample.current_count) * [servo.current_a_per_count for servo in spec.servos]
        for i, name in enumerate(spec.joint_names):
            who = f"servo {spec.servo_ids[i]} ({name})"
            if sample.alert[i]:
                raise UserError(
                    f"{who} reports a hardware error; all servos were let go. `wildrobot doctor` names it."
                )
            if current[i] > guards["current_a"].stop:
                raise UserError(
                    f"{who} draws {current[i]:.2f} A, at most {guards['current_a'].stop:g} are allowed; all servos "
                    "were let go. Look what blocks the joint."
                )
            if sample.temperature_c[i] > guards["temperature_c"].warn:
                raise UserError(
                    f"{who} is {sample.temperature_c[i]:.0f} °C hot; all servos were let go. Let it cool."
                )
        return sample

    # ------------------------------------------------------------------ motions

    def take_pose(self, joint_position: Array) -> None:
        """Move all joints to (n,) rad as the description has their zeros, slowly."""
        self._stiffness(None, 0.0)
        start, spec = self._goal.copy(), self.spec
        angle = spec.joint_direction * (joint_position - spec.joint_offset)
        end = angle / self._scale + table.CENTRE_COUNT
        way = float(np.max(np.abs(end - start) * self._scale))
        steps = max(1, round(1.5 * way / POSE_SPEED_RAD_S / PERIOD_S))
        for i in range(1, steps + 1):
            part = i / steps
            self._goal = start + (end - start) * part * part * (3.0 - 2.0 * part)
            self._tick()

    def keep(self) -> None:
        """One period in the pose that is held."""
        self._tick()

    def hold(self, seconds: float) -> list[Sample]:
        """What is there over `seconds` in the pose that is held."""
        return [self._tick() for _ in range(round(seconds / PERIOD_S))]

    def swing(
        self, joint: int, amplitude_rad: float, period_s: float, turns: int, take: Callable[[Sample], None]
    ) -> None:
        """Swing one joint as a sine about where it is held; every sample goes to `take`."""
        centre = self._goal[joint]
        counts = self.spec.joint_direction[joint] * amplitude_rad / self._scale[joint]
        for i in range(round(turns * period_s / PERIOD_S)):
            # the first and last quarter come in and go out slowly
            time_s = i * PERIOD_S
            envelope = min(1.0, 4.0 * time_s / period_s, 4.0 * (turns - time_s / period_s))
            self._goal[joint] = centre + counts * envelope * np.sin(2.0 * np.pi * time_s / period_s)
            take(self._tick())
        self._goal[joint] = centre
        self._tick()

    def _seek(self, joint: int, sign: int) -> float:
        """Drive a joint's servo up (+1) or down (-1) until it stalls; its reading there, counts."""
        name, scale = self.spec.joint_names[joint], self._scale[joint]
        lead, step = LEAD_RAD / scale, SPEED_RAD_S * PERIOD_S / scale
        history: list[float] = []
        quiet = round(STALL_S / PERIOD_S)
        here = self._position(self._tick())[joint]
        self._goal[joint] = here
        for _ in range(round(TIME_LIMIT_S / PERIOD_S)):
            ahead = sign * (self._goal[joint] - here)
            self._goal[joint] = here + sign * min(ahead + step, lead)
            here = self._position(self._tick())[joint]
            history.append(here)
            pushing = sign * (self._goal[joint] - here) > 0.9 * lead
            if pushing and len(history) > quiet and np.ptp(history[-quiet:]) <= STALL_COUNTS:
                return float(np.mean(history[-quiet // 2 :]))
            if not lead < here < table.COUNTS_PER_TURN - 1 - lead:
                raise UserError(
                    f"{name} reads {here:.0f} counts without having met its end stop: its horn sits more than a "
                    "quarter turn off. Mount it again, near 2048 in the middle of the range."
                )
        raise UserError(f"{name} found no end stop within {TIME_LIMIT_S:g} s; all servos were let go.")

    def measure(self, joint: int) -> Ends:
        """Find both ends of a joint.

        Raises:
            UserError: the way between them is not the joint's range, or a limit was met.
        """
        spec, name = self.spec, self.spec.joint_names[joint]
        range_rad = float(spec.joint_upper[joint] - spec.joint_lower[joint])
        self.take_pose(pose_for(spec, joint))
        direction = int(spec.joint_direction[joint])
        tried = []
        for duty in PUSHES:
            self._stiffness(joint, duty)
            lower, upper = self._seek(joint, -direction), self._seek(joint, direction)
            ends = Ends(lower, upper, duty)
            width = ends.width_rad(self._scale[joint])
            if abs(width - range_rad) < WIDTH_TOLERANCE_RAD:
                self._back(joint)
                return ends
            tried.append(f"{width:.3f} rad at {100 * duty:.0f} % duty")
            if width > range_rad:
                break
        self._require_watchdogs()
        raise UserError(
            f"{name} went {', '.join(tried)} between its end stops, expected {range_rad:.3f}: something is in its "
            "way, a stop is bent, or another joint's servo was meant (calibrate the ids first)."
        )

    def _require_watchdogs(self) -> None:
        for device, name in zip(self.spec.servo_ids, self.spec.joint_names, strict=True):
            if self.bus.read(device, table.BUS_WATCHDOG) == -1:
                raise UserError(
                    f"servo {device} ({name}) heard nothing for {WATCHDOG_S:g} s and stopped by itself: this "
                    "computer was held up. All servos were let go. End what else runs here, and begin again."
                )

    def _back(self, joint: int) -> None:
        """Leave the stop before the joint is held again."""
        count = self._position(self._tick())
        self._goal[joint] = count[joint]


def find_offsets(
    bus: Bus,
    spec: RobotSpec,
    joints: list[int],
    say: Callable[[str], None],
    keep: Callable[[str, float], None] = lambda name, offset_rad: None,
) -> dict[str, float]:
    """offset_rad of joints, by name; `keep` hears each as it is found. Moves the robot: it must hang free, and somebody
    must have agreed.

    Raises:
        UserError: a joint could not be measured; all servos have been let go.
    """
    found = {}
    with EndStops(bus, spec, say) as stops:
        for joint in joints:
            ends = stops.measure(joint)
            scale = spec.servos[joint].position_rad_per_count
            offset = offset_from_ends(
                ends,
                spec.joint_lower[joint],
                spec.joint_upper[joint],
                int(spec.joint_direction[joint]),
                scale,
            )
            found[spec.joint_names[joint]] = offset
            keep(spec.joint_names[joint], offset)
            say(
                f"{spec.joint_names[joint]}: {ends.width_rad(scale):.3f} rad between the stops at "
                f"{100 * ends.duty:.0f} % duty, offset {offset:+.4f} rad"
            )
    return found
