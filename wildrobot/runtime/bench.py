"""`wildrobot-run --bench`: whether this computer keeps time, measured with whole control ticks and without a robot."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wildrobot.core.constants import GRAVITY_M_S2
from wildrobot.core.lcm_network import lcm_url, open_network
from wildrobot.core.rotations import quat_to_matrix, rotate_inverse
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.commands.source import FixedCommand, StopSignals
from wildrobot.runtime.control.realtime import Usage
from wildrobot.runtime.control.safety import SafetySupervisor
from wildrobot.runtime.control.session import RunParts, SessionConfig, assemble, drive, summary
from wildrobot.runtime.control.skills import Skill
from wildrobot.runtime.control.timing import RunTime
from wildrobot.runtime.robots.base import Health
from wildrobot.runtime.telemetry.identity import new_identity
from wildrobot.runtime.telemetry.telemetry import Telemetry
from wildrobot.signal_path.sensor_frame import SensorFrame

DURATION_S = 20.0
WIRE_MS = 8.0
"""What reading and writing the bus may take of a tick at 1 Mbit/s, when servos answer late."""
LATENESS_P99_MS = 1.0
"""A robot that is asked this late on every hundredth tick walks as well as one that is not; training has seen more."""
SYNC_BLOCK = 16 * 1024


class StillRobot:
    """Stands where it is told to, at once: every tick costs what it costs, and nothing is read from a wire."""

    lockstep = False

    def __init__(self, spec: RobotSpec) -> None:
        self._spec, self._target = spec, np.array(spec.default_joint_pos)
        self._reads = 0

    def read(self) -> SensorFrame:
        self._reads += 1
        now, n = time.monotonic(), self._spec.num_joints
        return SensorFrame(
            time_s=np.array([now]),
            joint_position=self._target[None].copy(),
            joint_velocity=np.zeros((1, n)),
            joint_time_s=np.full((1, n), now),
            joint_valid=np.ones((1, n), dtype=bool),
            imu_quaternion=np.array([self._spec.imu_mount]),
            imu_angular_velocity=np.array([[1e-6 * (self._reads % 7), 0.0, 0.0]]),  # a chip that lives
            imu_acceleration=rotate_inverse(
                quat_to_matrix(self._spec.imu_mount[None]), np.array([[0.0, 0.0, GRAVITY_M_S2]])
            ),
            imu_time_s=np.array([now]),
            imu_valid=np.ones(1, dtype=bool),
            foot_contact=np.ones((1, self._spec.num_feet)),
            foot_time_s=np.array([now]),
            foot_valid=np.ones(1, dtype=bool),
        )

    def health(self) -> Health:
        unknown = np.full(self._spec.num_joints, np.nan)
        return Health(unknown, unknown, unknown)

    def write(self, joint_target: Any) -> None:
        self._target = np.array(joint_target[0])

    def set_stiffness(self, stiffness: float) -> None:
        """It has no servos."""

    def truth(self) -> None:
        return None

    def close(self) -> None:
        """Nothing to release."""


@dataclass(frozen=True)
class Verdict:
    """One thing that was looked at; `advice` says what to do where it is not well."""

    name: str
    found: str
    well: bool
    needed: bool
    """Without it the computer is not fit; otherwise it is only told."""
    advice: str = ""


@dataclass(frozen=True)
class BenchReport:
    """What was measured, and what it means."""

    figures: dict[str, Any]
    verdicts: list[Verdict]

    @property
    def fit(self) -> bool:
        """Whether this computer can make the robot walk."""
        return all(verdict.well or not verdict.needed for verdict in self.verdicts)

    def document(self) -> dict[str, Any]:
        """All of it as plain data."""
        verdicts = [
            {"name": v.name, "found": v.found, "well": v.well, "needed": v.needed} for v in self.verdicts
        ]
        return self.figures | {"fit": self.fit, "verdicts": verdicts}


def bench(
    spec: RobotSpec,
    skills: Sequence[Skill],
    config: SessionConfig,
    note: Callable[[str], None] = lambda text: None,
) -> BenchReport:
    """Tick for `DURATION_S`, or as long as `config` says, and judge; `note` is told of rights that are refused."""
    with tempfile.TemporaryDirectory() as folder:
        sync_ms = disk(Path(folder))
        figures, refused, has_lcm = run_ticks(spec, skills, config, Path(folder) / "bench.lcmlog", note)
    return BenchReport(figures, judge(spec, figures, refused, has_lcm, sync_ms))


def run_ticks(
    spec: RobotSpec, skills: Sequence[Skill], config: SessionConfig, log: Path, note: Callable[[str], None]
) -> tuple[dict[str, Any], list[str], bool]:
    """The loop of a real run on a robot that stands still; figures, rights that were refused, whether LCM is there."""
    command = config.command
    identity = new_identity(config.name, simulated=True)
    network = open_network(lcm_url(config.lcm_url)) if config.publish else None
    telemetry = Telemetry(log, network, identity.robot_name, quiet=True)
    with StopSignals() as signals:
        safety = SafetySupervisor(spec, StillRobot(spec))
        source = FixedCommand(spec, command.speed, command.yaw_rate, command.duration_s or DURATION_S)
        run = RunParts(identity, RunTime(), telemetry, signals)
        controller, clock = assemble(spec, skills, safety, source, config, run)
        usage = Usage()
        refused = drive(controller, clock, config, note=note)
        figures = summary(controller, usage, telemetry.dropped, config)
    telemetry.close()
    has_lcm = network is not None and not network.problem
    if network is not None:
        network.close()
    return figures, refused, has_lcm


def judge(
    spec: RobotSpec, figures: dict[str, Any], refused: Sequence[str], has_lcm: bool, sync_ms: float
) -> list[Verdict]:
    """What the figures mean for a robot."""
    tick, late, usage = figures["tick"], figures["lateness"], figures["usage"]
    room_ms = 1e3 * spec.control_dt - WIRE_MS
    load = "Stop what else runs here, allow real-time priority (above), or take a faster computer."
    slow = "Take a faster computer, or a smaller policy."
    late_text = f"p99 {late['p99_ms']:.2f} ms (up to {LATENESS_P99_MS:g}), max {late['max_ms']:.2f} ms"
    room_text = f"up to {room_ms:g}, for the bus takes {WIRE_MS:g}"
    work_text = f"p99 {tick['p99_ms']:.2f} ms ({room_text}), max {tick['max_ms']:.2f} ms"
    missed_text = f"{tick['missed']} of {tick['count']}"
    share, memory = usage["cpu_share"], usage["memory_mb"]
    sync_text = f"{sync_ms:.1f} ms to write and sync {SYNC_BLOCK // 1024} kB, worst of 20"
    lossy = "A log on it may lose more than half a second when the power fails. Log to another disk."
    verdicts = [
        Verdict("missed ticks", missed_text, tick["missed"] == 0, True, load),
        Verdict("wake-up delay", late_text, late["p99_ms"] <= LATENESS_P99_MS, True, load),
        Verdict("loop time", work_text, tick["p99_ms"] <= room_ms, True, slow),
        Verdict("share of a CPU", f"{share:.1%}", share <= 0.5, False, slow),
        Verdict(
            "memory", f"{memory:.0f} MB", memory <= 500.0, False, "Twice what it should be: please report it."
        ),
        Verdict("disk", sync_text, sync_ms < 200.0, False, lossy),
        Verdict(
            "LCM",
            "there" if has_lcm else "not there",
            has_lcm,
            False,
            "See the warning above, or say --no-lcm.",
        ),
    ]
    rights = [text.split(" (") for text in refused]
    verdicts += [
        Verdict(what, "refused", False, False, f"{remedy.rstrip(')')[0].upper()}{remedy.rstrip(')')[1:]}.")
        for what, remedy in rights
    ]
    if not refused:
        verdicts.append(Verdict("rights", "real-time priority and locked memory", True, False))
    governor = frequency_governor()
    if governor is not None:
        advice = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        verdicts.append(
            Verdict("CPU frequency", f"governor {governor}", governor == "performance", False, advice)
        )
    return verdicts


def frequency_governor() -> str | None:
    """Of the first CPU; None where it has none."""
    try:
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    except OSError:
        return None


def disk(folder: Path) -> float:
    """Longest of 20 writes with fdatasync, ms."""
    worst, block = 0.0, os.urandom(SYNC_BLOCK)
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(20):
            began = time.perf_counter()
            file.write(block)
            (os.fdatasync if sys.platform == "linux" else os.fsync)(file.fileno())
            worst = max(worst, 1e3 * (time.perf_counter() - began))
    return worst
