"""The tick's own transaction for some seconds, at the run's rate: what a run would lose, and why. Nothing moves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.driver import BEHIND, MARGIN_S, Bus
from wildrobot.firmware_bridge.bus.inspection import Finding
from wildrobot.firmware_bridge.bus.servo_bus import wire_time
from wildrobot.firmware_bridge.bus.startup import map_all_reads, tick_reader
from wildrobot.robot_description import RobotSpec

SECONDS = 2.0
PATIENT_S = 0.025
"""How long the trial waits for an answer: longer than a run, to see how late it comes."""
LOST_WARN, LOST_STOP = 0.001, 0.02
"""Shares of lost samples: a run bridges single ones, and stops when a device is silent for several ticks."""
DISTURBED = (
    "Look at the adapter's plug, its ground to the supply, motor cables beside the line; try a lower speed"
)
"""What to do about a disturbed line."""
CULPRIT = 0.8
"""Share of all losses from which on one device is named for them."""


@dataclass
class Trial:
    """What so many transactions brought. Times in s."""

    ticks: int
    devices: int
    fast: bool
    whole: bool
    """The servos show values of 4 bytes only whole."""
    wire_s: float
    """Modelled time of the read on the wire, at the bus's speed."""
    read_s: list[float] = field(default_factory=list)
    """Of every read that was whole."""
    lost: Counter[int] = field(default_factory=Counter)
    """Samples, by device."""
    reasons: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    """Reads that did not bring everything."""


def run_trial(bus: Bus, spec: RobotSpec, seconds: float = SECONDS) -> Trial:
    """Read as a run does; every servo must answer, be set up and limp: its reads are mapped anew, in its RAM.

    Raises:
        BusError: a servo does not take its map, or shows something else than its registers.
        PortLost: the port is gone.
    """
    layout = map_all_reads(bus, spec)
    transport = bus.transport
    servos = tick_reader(Bus(transport, PATIENT_S), spec, layout)
    trial = Trial(
        round(seconds * spec.control_hz),
        spec.num_joints + 1,
        servos.fast,
        layout is table.WHOLE,
        wire_time(spec, transport.baud, servos.fast, layout=layout).read_s,
    )
    deadline = transport.now_ns()
    for _ in range(trial.ticks):
        deadline = max(deadline + round(spec.control_dt * 1e9), transport.now_ns())
        transport.sleep(max(0.0, (deadline - transport.now_ns()) * 1e-9))
        samples = servos.read_tick()
        # who was not asked because the chain broke before it has lost nothing of its own
        own = {device: why for device, why in samples.failures.items() if why != BEHIND}
        trial.lost.update(own.keys())
        trial.reasons.update(own.values())
        trial.broken += bool(samples.failures)
        if not samples.failures:
            trial.read_s.append((samples.end_ns - samples.start_ns) * 1e-9)
    return trial


def judge(trial: Trial, spec: RobotSpec, latency_timer_ms: int | None = None) -> list[Finding]:
    """What the trial says: losses with their place, and answers that come later than a run waits for them."""

    def finding(level: str, what: str, advice: str = "") -> Finding:
        return Finding(level, 0, "bus", what, advice)

    findings = []
    share = trial.broken / trial.ticks
    if share > LOST_WARN:
        findings.append(_losses(trial, spec, "error" if share > LOST_STOP else "warning"))
    if not trial.read_s:
        return findings
    middle, longest = float(np.median(trial.read_s)), max(trial.read_s)
    held_s = float(np.percentile(trial.read_s, 90)) - trial.wire_s
    if held_s > MARGIN_S:
        timer = (
            "no latency_timer file shows it"
            if latency_timer_ms is None
            else f"latency timer {latency_timer_ms} ms"
        )
        what = (
            f"answers come {1e3 * held_s:.0f} ms later than the wire brings them, a run waits {1e3 * MARGIN_S:.0f} ms: "
            f"the adapter, or its driver, keeps them back ({timer})"
        )
        advice = (
            "Set the adapter's latency timer to 1 ms, or use another adapter; docs/deployment.md shows how"
        )
        findings.append(finding("error", what, advice))
    if not findings:
        kind = ("fast bulk reads" if trial.fast else "plain bulk reads") + ", whole values" * trial.whole
        text = (
            f"{trial.ticks} reads at {spec.control_hz:g} Hz ({kind}): all {trial.ticks * trial.devices} answers whole, "
            f"{1e3 * middle:.1f} ms a read, {1e3 * longest:.1f} at most; the wire takes {1e3 * trial.wire_s:.1f}"
        )
        findings.append(finding("ok", text))
    return findings


def _losses(trial: Trial, spec: RobotSpec, level: str) -> Finding:
    (device, count), *_ = trial.lost.most_common(1)
    (reason, _), *_ = trial.reasons.most_common(1)
    total = sum(trial.lost.values())
    what = f"{trial.broken} of {trial.ticks} reads at the run's rate broke off ({reason})"
    if count >= CULPRIT * total and total >= 3:
        name = dict(zip(spec.servo_ids, spec.joint_names, strict=True)).get(device, "sensor board")
        what += f", {count} of them at device {device} ({name})"
        return Finding(level, device, "bus", what, f"Look at the plugs and the cable of {name}")
    what += ", now at one device and now at another: the line itself is disturbed"
    return Finding(level, 0, "bus", what, DISTURBED)
