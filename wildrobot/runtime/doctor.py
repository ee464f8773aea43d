"""Checks of what a run needs beside the bus: this computer, a policy, a gamepad; each finding with its repair."""

from __future__ import annotations

from pathlib import Path

from wildrobot.core import lcm_network
from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus.inspection import Finding
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.commands.gamepad.evdev import BUS_BLUETOOTH
from wildrobot.runtime.commands.gamepad.finder import PadFinder
from wildrobot.runtime.commands.gamepad.rest import RestWatch
from wildrobot.runtime.control.realtime import realtime
from wildrobot.runtime.telemetry.neighbours import find_robots
from wildrobot.signal_path.policy import OnnxPolicy

LISTEN_S = 1.2
"""For the echo of a message and for other robots, which announce themselves twice a second."""


def check_computer(lcm_url: str | None) -> list[Finding]:
    """Real-time rights and LCM."""
    with realtime() as refused:
        pass
    findings = [
        Finding(
            "warning",
            0,
            "computer",
            f"no {text.split(' (')[0]}",
            text.split(" (")[1].rstrip(")").capitalize(),
        )
        for text in refused
    ]
    if not refused:
        findings.append(Finding("ok", 0, "computer", "real-time priority and locked memory are allowed"))
    return findings + check_network(lcm_network.lcm_url(lcm_url))


def check_network(url: str) -> list[Finding]:
    """Whether what is sent on the LCM network comes back, where it goes, and who else is there."""
    try:
        network = lcm_network.open_network(url)
    except UserError as error:
        return [Finding("warning", 0, "LCM", str(error))]
    robots = find_robots(network, LISTEN_S)
    problem, odd = network.problem, network.joined_elsewhere() or network.library_elsewhere()
    network.close()
    if problem:
        return [Finding("warning", 0, "LCM", f"{url}: {problem}", "Mend it, or run with --no-lcm")]
    findings = [Finding("ok", 0, "LCM", f"{url}: {network.reach}; a message sent to itself came back")]
    if odd is not None:
        findings.append(Finding("warning", 0, "LCM", odd.found, odd.advice))
    findings += [Finding("ok", 0, "LCM", f"{robot} is there") for robot in robots]
    return findings


def check_policy(path: Path, spec: RobotSpec) -> list[Finding]:
    """Contract and golden vectors of a policy."""
    try:
        policy = OnnxPolicy(path, spec)
    except UserError as error:
        return [Finding("error", 0, "policy", str(error))]
    if policy.note:
        return [Finding("warning", 0, "policy", policy.note)]
    what = f"{path} fits the robot, golden answers within {policy.golden_difference:.1e}"
    return [Finding("ok", 0, "policy", what)]


def check_gamepad(device: Path | None = None) -> list[Finding]:
    """Whether there is a gamepad, which of its buttons do what, and whether one of them or a stick is stuck."""
    try:
        pad = PadFinder(device).look()
    except UserError as error:
        return [Finding("error", 0, "gamepad", str(error))]
    if pad is None:
        where = f"at {device}" if device is not None else "in /dev/input"
        return [Finding("warning", 0, "gamepad", f"none {where}", "Connect it; on Bluetooth, pair it first")]
    pad.device.close()
    findings = [Finding("ok", 0, "gamepad", f"{pad}: {pad.layout.help()}")]
    if pad.device.identity.bus == BUS_BLUETOOTH:
        what = "on Bluetooth: a lost link shows after up to 3 s only"
        findings.append(
            Finding("warning", 0, "gamepad", what, "Prefer a cable, or have a hand at the power switch")
        )
    if pad.device.down:
        codes = ", ".join(f"{code:#x}" for code in sorted(pad.device.down))
        findings.append(
            Finding("warning", 0, "gamepad", f"a button is down ({codes})", "Let it go, or it is stuck")
        )
    findings += [Finding("warning", 0, "gamepad", text) for text in RestWatch(pad).warnings()]
    return findings
