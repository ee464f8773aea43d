"""The steps of a calibration one after another, each with what the steps before it have found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from wildrobot.core import files
from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.driver import Bus
from wildrobot.firmware_bridge.bus.inspection import check
from wildrobot.firmware_bridge.calibration.endstops import find_offsets
from wildrobot.firmware_bridge.calibration.feet import check_feet
from wildrobot.firmware_bridge.calibration.hands import Hands
from wildrobot.firmware_bridge.calibration.identify import identify
from wildrobot.firmware_bridge.calibration.imu_mount import find_mount, rotation_between
from wildrobot.firmware_bridge.calibration.progress import Progress
from wildrobot.firmware_bridge.calibration.sampling import Sampler
from wildrobot.robot_description.spec import RobotSpec

Step = Literal["identify", "offsets", "imu", "feet"]
STEPS: tuple[Step, ...] = ("identify", "offsets", "imu", "feet")

QUESTIONS: dict[Step, str] = {
    "identify": "The robot must hang on its stand, feet off the floor: all servos go limp now. Go on?",
    "offsets": "THE ROBOT MOVES: it must hang free; every joint goes slowly to both its end stops, for some minutes. "
    "Ctrl-C lets go. Go on?",
    "imu": "THE ROBOT MOVES: its stand must be level; all joints go to the home pose, and a waist turns. Go on?",
    "feet": "All servos go limp now, and you press one foot pad after another. Go on?",
}
MOVING: tuple[Step, ...] = ("offsets", "imu")
"""Steps in which the robot moves by itself."""


class Refused(UserError):
    """The person did not agree to a step."""


@dataclass
class Findings:
    """What was measured, as the calibration that follows from it."""

    before: RobotSpec
    after: RobotSpec
    notes: list[str] = field(default_factory=list)
    """What is wrong and no calibration can mend."""


def as_calibration(spec: RobotSpec) -> dict[str, Any]:
    """The content of a calibration file that says what `spec` says."""
    return {
        "joints": {
            joint.name: {
                "id": joint.id,
                "direction": joint.direction,
                "offset_rad": round(joint.offset_rad, 5),
            }
            for joint in spec.config.joints
        },
        "imu_mount": [round(float(value), 6) for value in spec.imu_mount],
    }


def changed(
    spec: RobotSpec, joints: dict[str, dict[str, Any]], imu_mount: Sequence[float] | None = None
) -> RobotSpec:
    """`spec` with other ids, directions or offsets of joints, or another mount."""
    content = as_calibration(spec)
    for name, values in joints.items():
        content["joints"][name] |= values
    if imu_mount is not None:
        content["imu_mount"] = [float(value) for value in imu_mount]
    return RobotSpec(spec.path, content)


def servos_present(bus: Bus, spec: RobotSpec) -> list[int]:
    """Ids of as many servos as the robot has joints: those of its description, and strangers for those that lack.

    Raises:
        UserError: there are fewer, or more than one can tell apart.
    """
    models = {servo.model_number for servo in spec.servos}
    ids = [device for device in spec.servo_ids if bus.ping(device) or bus.ping(device)]
    if lacking := [device for device in spec.servo_ids if device not in ids]:
        strangers = [
            device.id
            for device in bus.scan()
            if device.id not in spec.servo_ids and device.model_number in models
        ]
        if len(strangers) != len(lacking):
            raise UserError(
                f"servos {lacking} do not answer at {bus.transport.baud} bit/s, and there are {len(strangers)} others "
                f"({strangers}). Run `wildrobot doctor`: it looks at other speeds too."
            )
        ids += strangers
    return ids


def identify_step(bus: Bus, spec: RobotSpec, hands: Hands, progress: Progress | None = None) -> RobotSpec:
    """Ids and directions of all joints; those in `progress` are known already.

    Raises:
        UserError: something stays unclear.
    """
    ids = servos_present(bus, spec)
    progress = progress or Progress()
    sampler = Sampler(bus, ids, spec.config.bus.sensor_board_id)
    identify(spec, sampler, hands, progress.wiring, progress.keep)
    return with_progress(spec, progress)


def with_progress(spec: RobotSpec, progress: Progress) -> RobotSpec:
    """`spec` with all that has been measured so far."""
    joints: dict[str, dict[str, Any]] = {name: {} for name in spec.joint_names}
    for name, wiring in progress.wiring.items():
        joints[name] |= {"id": wiring.id, "direction": wiring.direction}
    for name, offset in progress.offset_rad.items():
        joints[name]["offset_rad"] = offset
    return changed(spec, joints, progress.imu_mount)


def require_ready(bus: Bus, spec: RobotSpec) -> None:
    """Refuse to move servos that are not set up as they should; their position limits do not matter here.

    Raises:
        UserError: with all that is wrong.
    """
    wrong = [finding for finding in check(bus, spec) if finding.level == "error" and not finding.calibration]
    if wrong:
        listed = "\n  ".join(str(finding) for finding in wrong)
        raise UserError(
            f"the robot is not ready to move:\n  {listed}\n`wildrobot doctor --fix` repairs registers."
        )


def measure(
    bus: Bus, spec: RobotSpec, steps: Sequence[Step], hands: Hands, progress: Progress | None = None
) -> Findings:
    """Run the steps in their order, but those that `progress` has; it is kept after every joint and step. Whatever
    happens, the servos end limp or hold still.

    Raises:
        Refused: the person did not agree.
        UserError: a step found something that it cannot get past.
    """
    progress, notes = progress or Progress(), []
    now = with_progress(spec, progress)
    if not progress.empty:
        hands.say(f"measured before, and taken from {progress.path}: {progress}. --restart begins anew")
    for step in STEPS:
        if step not in steps or step in progress.steps:
            continue
        if not hands.agree(QUESTIONS[step], step in MOVING):
            raise Refused(f"stopped before '{step}': nothing was written. {progress.kept()}")
        if step == "identify":
            now = identify_step(bus, now, hands, progress)
            progress.finish(step)
            continue
        require_ready(bus, now)
        if step == "offsets":
            _measure_offsets(bus, now, hands, progress)
        elif step == "imu":
            progress.imu_mount = find_mount(bus, now, hands).quaternion.tolist()
        else:
            bus.sync_write(table.TORQUE_ENABLE, dict.fromkeys(now.servo_ids, 0))
            sampler = Sampler(bus, now.servo_ids, now.config.bus.sensor_board_id)
            notes += check_feet(now, sampler, hands)
        if not notes:
            progress.finish(step)
        now = with_progress(spec, progress)
    return Findings(spec, now, notes)


def _measure_offsets(bus: Bus, spec: RobotSpec, hands: Hands, progress: Progress) -> None:
    def keep(name: str, offset_rad: float) -> None:
        progress.offset_rad[name] = offset_rad
        progress.keep()

    left = [i for i, name in enumerate(spec.joint_names) if name not in progress.offset_rad]
    find_offsets(bus, spec, left, hands.say, keep)


# ---------------------------------------------------------------------- showing and writing


def comparison(before: RobotSpec, after: RobotSpec) -> str:
    """Old, new and difference of every joint and of the mount, as a table."""
    width = max(len(name) for name in before.joint_names)
    lines = [
        f"{'joint':<{width}}  {'id':>9}  {'direction':>9}  {'offset rad':>19}  {'difference':>10}",
    ]
    for old, new in zip(before.config.joints, after.config.joints, strict=True):
        difference = new.offset_rad - old.offset_rad
        lines.append(
            f"{old.name:<{width}}  {_change(str(old.id), str(new.id)):>9}  "
            f"{_change(f'{old.direction:+d}', f'{new.direction:+d}'):>9}  "
            f"{_change(f'{old.offset_rad:+.4f}', f'{new.offset_rad:+.4f}'):>19}  {difference:>+10.4f}"
        )
    angle, axis = rotation_between(before.imu_mount, after.imu_mount)
    lines.append(f"IMU mount: {describe_tilt(angle, axis)}")
    return "\n".join(lines)


def _change(old: str, new: str) -> str:
    return old if old == new else f"{old} > {new}"


def describe_tilt(angle_rad: float, axis: Any) -> str:
    """A rotation in the torso frame in words."""
    if np.degrees(angle_rad) < 0.1:
        return "as described"
    x, y, z = (float(value) for value in axis)
    return f"turned by {np.degrees(angle_rad):.1f} degrees about ({x:+.2f}, {y:+.2f}, {z:+.2f}) of the torso"


def write_calibration(path: Path, spec: RobotSpec) -> None:
    """Write the calibration file, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    content = as_calibration(spec)
    text = "# One robot's own measures, by `wildrobot calibrate`; given to the runtime by --calibration.\n"
    text += f"# joint position = direction * servo angle + offset_rad; robot: {spec.name}\n"
    text += yaml.safe_dump(content, sort_keys=False, default_flow_style=None)
    files.write_text(path, text)


def ask_and_write(path: Path, findings: Findings, hands: Hands, show: Callable[[str], None]) -> bool:
    """Show the differences, ask, write; False: not written."""
    show(comparison(findings.before, findings.after))
    if not hands.agree(f"Write {path}?"):
        show("nothing was written")
        return False
    write_calibration(path, findings.after)
    show(f"wrote {path}; run with --calibration {path}")
    return True
