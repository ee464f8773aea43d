"""A servo's control loop at 1 kHz, as far as it shows: encoder, profile, position control, current, heat.

Only the proportional gains act; integral, derivative and feed-forward gains can be written and do nothing (robot.yaml
demands them zero). The present velocity is the difference of encoder counts over the last `velocity_window_ms`,
rounded to the register's unit: the maker does not say how the servo filters it.
"""

from __future__ import annotations

import math
from typing import Any

from wildrobot.firmware_bridge.bus.control_table import (
    CENTRE_COUNT,
    COUNTS_PER_TURN,
    FULL_PWM,
    PROFILE_ACCELERATION_REV_MIN2,
    OperatingMode,
)
from wildrobot.robot_description.spec import ServoModel

DT_S = 0.001
STALL_CURRENT_A = 2.3
"""At the nominal voltage; XM430-W350 and W210 alike."""
AMBIENT_C = 25.0
WINDING_OHM = 12.0 / STALL_CURRENT_A
THERMAL_K_PER_W = 6.0
HEAT_CAPACITY_J_PER_K = 100.0
"""Assumed: 1 A for ten minutes warms the servo by about 20 K."""
OVERLOAD_DUTY = 0.95
OVERLOAD_S = 2.0
"""Assumed: full duty without motion for so long is an overload."""
IN_POSITION_COUNTS = 20
FOLLOWING_COUNTS = 100
"""Assumed: within so many counts of the goal a servo has arrived; further than so many from its trajectory it does not
follow. The manual speaks of a "predefined value"."""
_POSITION_MODES = (
    OperatingMode.POSITION,
    OperatingMode.EXTENDED_POSITION,
    OperatingMode.CURRENT_BASED_POSITION,
)
_COUNT = 2.0 * math.pi / COUNTS_PER_TURN
_CURRENT_MODES = (OperatingMode.CURRENT, OperatingMode.CURRENT_BASED_POSITION)


def heating_c_per_s(current_a: Any, temperature_c: Any) -> Any:
    """How fast a servo warms, °C/s, at a current, A, and a temperature, °C; numbers or arrays of one shape."""
    heat_w = current_a * current_a * WINDING_OHM
    loss_w = (temperature_c - AMBIENT_C) / THERMAL_K_PER_W
    return (heat_w - loss_w) / HEAT_CAPACITY_J_PER_K


class Motor:
    """State of one motor. Positions in counts, angle in rad at the horn as the encoder's disc sees it."""

    def __init__(self, model: ServoModel, velocity_window_ms: int) -> None:
        self.model = model
        self._window = velocity_window_ms
        self._unit = _COUNT / (velocity_window_ms * DT_S) / model.velocity_rad_s_per_count
        profile_unit = model.velocity_rad_s_per_count / _COUNT * DT_S
        self._profile_velocity_unit = profile_unit
        # rev/min^2 to counts per control period squared
        self._profile_acceleration_unit = (
            PROFILE_ACCELERATION_REV_MIN2 / 3600.0 * COUNTS_PER_TURN * DT_S * DT_S
        )
        self._raw = CENTRE_COUNT
        self._sign, self._shift = 1, 0
        self._homing = 0
        self._turns = 0
        self.count = CENTRE_COUNT
        self._past = [CENTRE_COUNT] * velocity_window_ms
        self._at = 0
        self.velocity_count = 0
        self.trajectory = float(CENTRE_COUNT)
        self._speed = 0.0
        self._vmax = self._amax = 0.0
        self._times_ms: tuple[int, int] | None = None
        """Of a time-based profile: of the way, and of its acceleration."""
        self._planned: int | None = None
        """The goal that the profile leads to."""
        self._way = 0.0
        """Counts from where it was when that goal came."""
        self.goal_count = CENTRE_COUNT
        self.mode = OperatingMode.POSITION
        self.torque_on = False
        self.p_gain = self.velocity_p_gain = 0.0
        self.pwm_limit = self.goal_pwm = FULL_PWM
        self.goal_current_a = self.goal_velocity_rad_s = 0.0
        self.duty = self.current_a = 0.0
        self.supply_v = model.nominal_voltage_v
        self.temperature_c = AMBIENT_C + 5.0
        self.forced_temperature_c: float | None = None
        """What a fault makes of the temperature."""
        self._stalled_s = 0.0

    # ------------------------------------------------------------------ encoder

    def frame(self, reverse: bool, homing: int) -> None:
        """Direction and zero in which positions are reported."""
        self._sign, self._shift = (-1, COUNTS_PER_TURN - 1) if reverse else (1, 0)
        self._homing = homing
        self._forget()

    def observe(self, angle_rad: float) -> None:
        """Where the horn stands now."""
        self._raw = math.floor(angle_rad / _COUNT + 0.5) + CENTRE_COUNT
        self.count = self._present()

    def _present(self) -> int:
        return self._sign * self._raw + self._shift + self._homing - self._turns

    def _forget(self) -> None:
        self.count = self._present()
        self._past = [self.count] * self._window
        self.velocity_count = 0
        self.hold()

    @property
    def beyond_a_turn(self) -> bool:
        """It reports turns, too."""
        return not 0 <= self.count - self._homing < COUNTS_PER_TURN

    def clear_turns(self) -> None:
        """Report a position within one turn."""
        self._turns = 0
        self._turns = (self._present() - self._homing) // COUNTS_PER_TURN * COUNTS_PER_TURN
        self._forget()

    def power_on(self, reverse: bool, homing: int) -> None:
        """The processor starts: it knows the angle within one turn only."""
        self.frame(reverse, homing)
        self.clear_turns()
        self.duty = 0.0
        self._stalled_s = 0.0

    # ------------------------------------------------------------------ goals

    def hold(self) -> None:
        """Goal := present position, at rest."""
        self.goal_count = self.count
        self.trajectory, self._speed = float(self.count), 0.0

    def set_profile(self, velocity: int, acceleration: int, time_based: bool = False) -> None:
        """PROFILE_VELOCITY and PROFILE_ACCELERATION; velocity 0 is a step, acceleration 0 an infinite one.

        `time_based`: they are the times of the way to a goal and of its acceleration, ms.
        """
        if time_based:
            if self._times_ms != (velocity, acceleration):
                self._times_ms, self._planned = (velocity, acceleration), None
            return
        self._times_ms = None
        self._vmax = velocity * self._profile_velocity_unit
        self._amax = acceleration * self._profile_acceleration_unit

    @property
    def profile_running(self) -> bool:
        """The trajectory has not reached the goal."""
        return self.trajectory != self.goal_count

    @property
    def trajectory_velocity_count(self) -> int:
        """Velocity of the trajectory in the register's unit."""
        return round(self._speed / self._profile_velocity_unit)

    @property
    def overloaded(self) -> bool:
        """It has pushed with all its might against something that does not move."""
        return self._stalled_s > OVERLOAD_S

    @property
    def horn_goal_rad(self) -> float:
        """Angle of the horn at the goal."""
        raw = self._sign * (self.goal_count + self._turns - self._homing - self._shift)
        return (raw - CENTRE_COUNT) * _COUNT

    def moving(self, threshold: int) -> bool:
        """Faster than the register MOVING_THRESHOLD, or under way to a goal."""
        return abs(self.velocity_count) > threshold or (self.torque_on and self.profile_running)

    @property
    def moving_status(self) -> int:
        """Register MOVING_STATUS: at the goal (1), under way (2), not following (8), shape of the profile (0x30)."""
        if self._vmax <= 0.0:
            shape = 0
        elif self._amax <= 0.0:
            shape = 1
        else:
            shape = 3 if self._vmax * self._vmax <= self._amax * self._way else 2
        bits = shape << 4 | 2 * int(self.torque_on and self.profile_running)
        if self.mode not in _POSITION_MODES:
            return bits
        bits |= int(abs(self.goal_count - self.count) <= IN_POSITION_COUNTS)
        return bits | 8 * int(self.torque_on and abs(self.trajectory - self.count) > FOLLOWING_COUNTS)

    def _plan(self) -> None:
        """A new goal: a time-based profile gets the top speed and slope of the trapezoid that takes the times given."""
        self._planned = self.goal_count
        self._way = abs(self.goal_count - self.trajectory)
        if self._times_ms is not None:
            whole_ms, rise_ms = self._times_ms[0], min(self._times_ms[1], 0.5 * self._times_ms[0])
            self._vmax = self._way / max(whole_ms - rise_ms, 1.0) if whole_ms else 0.0
            self._amax = self._vmax / rise_ms if rise_ms else 0.0

    def _advance_trajectory(self) -> None:
        if self._planned != self.goal_count:
            self._plan()
        rest = self.goal_count - self.trajectory
        if self._vmax <= 0.0:
            self.trajectory, self._speed = float(self.goal_count), 0.0
            return
        if rest == 0.0 and self._speed == 0.0:
            return
        wanted = self._vmax
        if self._amax > 0.0:
            # speed from which the remaining way is enough to stop, one period's step already taken
            wanted = min(wanted, max(math.sqrt(2.0 * self._amax * abs(rest)) - 0.5 * self._amax, 0.0))
        wanted = math.copysign(wanted, rest)
        step = self._amax if self._amax > 0.0 else math.inf
        self._speed += max(-step, min(step, wanted - self._speed))
        slow = abs(self._speed) <= step + 1e-12 and abs(rest) <= max(abs(self._speed), 0.5 * self._amax)
        if slow or (self._amax <= 0.0 and abs(rest) <= self._vmax):
            self.trajectory, self._speed = float(self.goal_count), 0.0
        else:
            self.trajectory += self._speed

    # ------------------------------------------------------------------ control

    def coast(self, angle_rad: float, speed_rad_s: float, supply_v: float) -> None:
        """One control period without a processor."""
        self.observe(angle_rad)
        self.supply_v = supply_v
        self.duty = self.current_a = 0.0

    def control(self, angle_rad: float, speed_rad_s: float, supply_v: float) -> float:
        """One control period; returns the duty, -1 to 1, positive along the angle."""
        model = self.model
        self._raw = math.floor(angle_rad / _COUNT + 0.5) + CENTRE_COUNT
        self.count = count = self._sign * self._raw + self._shift + self._homing - self._turns
        at, past = self._at, self._past
        self.velocity_count = round((count - past[at]) * self._unit)
        past[at] = count
        self._at = at + 1 if at + 1 < self._window else 0
        self.supply_v = supply_v
        volts = supply_v / model.nominal_voltage_v
        speed = self._sign * speed_rad_s / model.no_load_speed_rad_s
        duty = 0.0
        if self.torque_on:
            self._advance_trajectory()
            duty = self._wanted_duty(count)
            bound = self.pwm_limit / FULL_PWM
            duty = max(-bound, min(bound, duty))
            if self.mode in _CURRENT_MODES and volts > 0.0:
                most = self.goal_current_a / STALL_CURRENT_A
                least, most = (most, most) if self.mode == OperatingMode.CURRENT else (-abs(most), abs(most))
                duty = max((least + speed) / volts, min((most + speed) / volts, duty))
                duty = max(-bound, min(bound, duty))
            # A driven motor is shorted by its bridge: speed induces current. Let go of, nothing flows.
            self.current_a = STALL_CURRENT_A * (duty * volts - speed)
        else:
            self.current_a = 0.0
        self.duty = duty
        stalled = abs(duty) >= OVERLOAD_DUTY and abs(speed) < 0.02
        self._stalled_s = self._stalled_s + DT_S if stalled else 0.0
        self._warm()
        return self._sign * duty

    def _wanted_duty(self, count: int) -> float:
        mode = self.mode
        if mode == OperatingMode.PWM:
            return self.goal_pwm / FULL_PWM
        if mode == OperatingMode.CURRENT:
            return 0.0  # its current bounds decide
        if mode == OperatingMode.VELOCITY:
            unit = self.model.velocity_rad_s_per_count
            error = self.goal_velocity_rad_s / unit - self.velocity_count
            feed = self.goal_velocity_rad_s / self.model.no_load_speed_rad_s
            return feed + self.velocity_p_gain * error / FULL_PWM
        bound = self.goal_pwm / FULL_PWM
        return max(-bound, min(bound, self.p_gain * (self.trajectory - count) / FULL_PWM))

    def _warm(self) -> None:
        self.temperature_c += heating_c_per_s(self.current_a, self.temperature_c) * DT_S
        if self.forced_temperature_c is not None:
            self.temperature_c = self.forced_temperature_c
