"""Fills the messages of one tick and hands them to telemetry."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wildrobot.runtime.commands.source import CommandWatch
from wildrobot.runtime.control.guards import GuardReading
from wildrobot.runtime.control.safety import Applied
from wildrobot.runtime.control.timing import TickTimer, TimerWindow
from wildrobot.runtime.robots.base import Health
from wildrobot.runtime.telemetry.configuration_message import with_policies
from wildrobot.runtime.telemetry.lcm_types import (
    robot_command_t,
    robot_event_t,
    robot_health_t,
    run_configuration_t,
)
from wildrobot.runtime.telemetry.messages import frame_to_message, policy_to_message
from wildrobot.runtime.telemetry.telemetry import Telemetry
from wildrobot.signal_path.path import Signal
from wildrobot.signal_path.sensor_frame import SensorFrame

HISTOGRAM_BIN_MS = 0.5
CONFIGURATION_EVERY_US = 60_000_000
"""In the log: should its head be damaged, what comes later can still be understood."""


class Publisher:
    """Call `begin` once per tick, then the messages, then `end`; all of a tick share its number and timestamp."""

    def __init__(self, telemetry: Telemetry, configuration: run_configuration_t, start_ns: int) -> None:
        self._telemetry, self._configuration = telemetry, configuration
        self._start_ns, self._start_us = start_ns, configuration.timestamp_us
        self._timestamp_us, self._tick, self._state = configuration.timestamp_us, 0, ""
        self._logged_us = configuration.timestamp_us
        telemetry.put("run_configuration", copy.copy(configuration))
        telemetry.flush()

    def begin(self, now_ns: int, tick: int, state: str) -> None:
        """A tick at `now_ns` on the loop's clock; timestamps are Unix time moved on by that clock."""
        self._timestamp_us = self._start_us + (now_ns - self._start_ns) // 1000
        self._tick, self._state = tick, state

    def end(self) -> None:
        """Hand over what the tick has to say."""
        self._telemetry.flush()

    def reconfigure(self, policies: Sequence[tuple[Path, str]]) -> None:
        """Other policies (file, SHA-256) from now on: into the log, too."""
        self._configuration = with_policies(self._configuration, policies)
        self._configuration.timestamp_us = self._timestamp_us
        self._telemetry.put("run_configuration", copy.copy(self._configuration))

    def event(self, name: str, text: str, severity: int = robot_event_t.INFO) -> None:
        """A change of state, a warning or a fault; warnings and faults are also printed."""
        message = robot_event_t()
        message.timestamp_us, message.tick = self._timestamp_us, self._tick
        message.severity, message.name, message.text = severity, name, text
        self._telemetry.put("robot_event", message)
        if severity or name in ("state", "command"):
            self._telemetry.say(f"{('', 'warning: ', 'FAULT: ')[severity]}{text}")

    def state(self, frame: SensorFrame) -> None:
        """The raw frame (1, ...)."""
        if self._telemetry.active:
            message = frame_to_message(frame, self._timestamp_us, self._tick, self._state)
            self._telemetry.put("robot_state", message)

    def policy(
        self, signal: Signal, action: Any, target: Any, reset: bool, policy: int, style: float
    ) -> None:
        """All that went into and came out of the policy with the index `policy`, and its style score."""
        if self._telemetry.active:
            message = policy_to_message(
                signal, action, target, reset, policy, style, self._timestamp_us, self._tick
            )
            self._telemetry.put("policy_state", message)

    def status(self, line: Callable[[], str]) -> None:
        """The line that stays at the foot of the screen, where there is one."""
        if self._telemetry.has_status:
            self._telemetry.status(line())

    def command(self, user: Any, stiffness: float, applied: Applied, watch: CommandWatch) -> None:
        """What the servos were given, and at whose command."""
        if not self._telemetry.active:
            return
        message = robot_command_t()
        message.timestamp_us, message.tick, message.state = self._timestamp_us, self._tick, self._state
        message.user_command, message.torque_gain = user.tolist(), stiffness
        message.command_source, message.command_age_s = watch.source, watch.age_s
        message.joint_target_requested = applied.requested[0].tolist()
        message.joint_target_applied = applied.target[0].tolist()
        message.num_joints = len(message.joint_target_applied)
        message.limited_by = ",".join(applied.limited_by)
        self._telemetry.put("robot_command", message)

    def health(
        self, timer: TickTimer, health: Health, readings: list[GuardReading], watch: CommandWatch
    ) -> None:
        """Timing, servo health, guards and who commands; and the configuration again for those who have just joined."""
        telemetry = self._telemetry
        if not telemetry.active:
            return
        message, window = robot_health_t(), timer.window()
        message.timestamp_us, message.tick = self._timestamp_us, self._tick
        message.missed_ticks, message.messages_dropped = timer.missed, telemetry.dropped
        message.stage_name = list(timer.stages)
        message.num_stages = len(message.stage_name)
        message.current_a = np.asarray(health.current_a).tolist()
        message.temperature_c = np.asarray(health.temperature_c).tolist()
        message.voltage_v = np.asarray(health.voltage_v).tolist()
        message.num_joints = len(message.current_a)
        message.guard_name = [reading.name for reading in readings]
        message.guard_value = [reading.value for reading in readings]
        message.guard_level = [int(reading.level) for reading in readings]
        message.num_guards = len(readings)
        message.command_source, message.command_age_s = watch.source, watch.age_s
        message.commands_lost = watch.lost
        message.refusal_name, message.refusal_count = list(watch.refused), list(watch.refused.values())
        message.num_refusals = len(watch.refused)
        telemetry.put("robot_health", lambda: _with_timing(message, window))
        self._configuration.timestamp_us = self._timestamp_us
        due = self._timestamp_us - self._logged_us >= CONFIGURATION_EVERY_US
        self._logged_us = self._timestamp_us if due else self._logged_us
        telemetry.put("run_configuration", copy.copy(self._configuration), to_log=due)


def _with_timing(message: robot_health_t, window: TimerWindow) -> robot_health_t:
    """The message with percentiles of the window: they take longer than the rest of a tick's messages together."""
    work, stages = window.work_ms(), window.stages_ms()
    message.tick_p50_ms, message.tick_p99_ms = work["p50"], work["p99"]
    message.tick_max_ms, message.lateness_max_ms = work["max"], work["late"]
    message.stage_p50_ms, message.stage_p99_ms = stages["p50"], stages["p99"]
    message.stage_max_ms = stages["max"]
    message.bin_width_ms = HISTOGRAM_BIN_MS
    message.histogram = window.run.coarse(HISTOGRAM_BIN_MS)
    message.num_bins = len(message.histogram)
    return message
