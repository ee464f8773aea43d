"""What a policy file and a robot must agree on, as plain data, and every place where they do not.

`robot_contract` is written into the file by the exporter and computed again on the robot: the same lines on
both sides, from `robot.yaml` and the MJCF alone.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.command import COMMAND_NAMES, HeadingHold
from wildrobot.signal_path.features import feature_names
from wildrobot.signal_path.observation import Layout, layout_to_dicts, term_sizes

CONTRACT_VERSION = 1
METADATA_KEY = "wildrobot"
HISTORY_ORDER = "oldest first"
ACTION_KIND = "joint_position_target"
# Numbers are stored in full precision; this allows for the rounding of another machine.
NUMBER_TOLERANCE = 1e-9


def robot_contract(spec: RobotSpec, layout: Layout) -> dict[str, Any]:
    """The robot's side of the contract: JSON data, SI units, joints in policy order.

    With it both ends of the network can be rebuilt: target = default + scale * clip(action), limited to
    `target_rate_limit` per second and to the joint limits; the observation's slices; gait clock, heading hold
    and foot switches. Estimator and kinematics, which make features of sensors, are the robot description's.
    """
    gait, switch = spec.gait, spec.foot_switch
    hold = inspect.signature(HeadingHold).parameters
    return {
        "contract_version": CONTRACT_VERSION,
        "robot": spec.name,
        "robot_hash": spec.robot_hash,
        "control_hz": spec.control_hz,
        "joint_names": list(spec.joint_names),
        "default_joint_pos": spec.default_joint_pos.tolist(),
        "joint_lower": spec.joint_lower.tolist(),
        "joint_upper": spec.joint_upper.tolist(),
        "target_rate_limit": spec.target_rate_limit.tolist(),
        "joint_stiffness": spec.joint_stiffness.tolist(),
        "joint_damping": spec.joint_damping.tolist(),
        "action": {"kind": ACTION_KIND, "scale": spec.action_scale.tolist(), "clip": spec.action_clip},
        "observation": layout_to_dicts(layout),
        "history": HISTORY_ORDER,
        "feature_names": list(feature_names(spec)),
        "foot_names": list(spec.foot_names),
        "foot_switch": {"on_n": switch.on_n, "off_n": switch.off_n},
        "command_names": list(COMMAND_NAMES),
        "command_ranges": {name: list(getattr(spec.command, name)) for name in COMMAND_NAMES},
        "gait_clock": {
            "stride_hz": gait.stride_hz,
            "fast_stride_hz": gait.fast_stride_hz,
            "stride_speeds_m_s": list(gait.stride_speeds_m_s),
            "moving_speed_m_s": gait.moving_speed_m_s,
            "moving_yaw_rate_rad_s": gait.moving_yaw_rate_rad_s,
        },
        "heading_hold": {name: hold[name].default for name in ("gain_per_s", "limit_rad_s")},
    }


def style_contract(spec: RobotSpec, frames: int, reward: str) -> dict[str, Any]:
    """The robot's side of a discriminator's contract: windows of `frames` feature vectors, oldest first."""
    return {
        "contract_version": CONTRACT_VERSION,
        "robot": spec.name,
        "robot_hash": spec.robot_hash,
        "control_hz": spec.control_hz,
        "history": HISTORY_ORDER,
        "feature_names": list(feature_names(spec)),
        "frames": frames,
        "reward": reward,
    }


def contract_differences(
    contract: dict[str, Any], spec: RobotSpec, layout: Layout | None = None
) -> list[str]:
    """Every difference between a policy's contract and the robot, one line each; empty: they agree.

    Without `layout` any observation made of known slices will do. The hash is no difference of its own: servo
    ids, calibration and guard levels may differ from robot to robot (see `hash_note`).
    """
    expected = robot_contract(spec, layout or ())
    if layout is None:
        del expected["observation"]
    lines = _compare(contract, expected, spec)
    if layout is None:
        lines += _unknown_slices(contract.get("observation"), spec)
    return lines


def style_differences(contract: dict[str, Any], spec: RobotSpec) -> list[str]:
    """Every difference between a discriminator's contract and the robot."""
    expected = style_contract(spec, 1, "")
    del expected["frames"], expected["reward"]
    lines = _compare(contract, expected, spec)
    frames = contract.get("frames")
    if not isinstance(frames, int) or frames < 1:
        lines.append(f"frames: the file has {frames!r}, a whole number of 1 or more is needed")
    return lines


def hash_note(contract: dict[str, Any], spec: RobotSpec) -> str | None:
    """What to tell a person when robot.yaml or the MJCF changed in a way that the contract allows."""
    found = str(contract.get("robot_hash", ""))
    if found == spec.robot_hash:
        return None
    return (
        f"the robot description is not the one that the policy was trained with (hash "
        f"{spec.robot_hash[:12]}, trained with {found[:12]})"
    )


def observation_size(contract: dict[str, Any]) -> int:
    """Length of the observation that a contract describes."""
    return sum(int(term["size"]) * int(term["frames"]) for term in contract["observation"])


def _compare(contract: dict[str, Any], expected: dict[str, Any], spec: RobotSpec) -> list[str]:
    lines: list[str] = []
    for key, wanted in expected.items():
        if key == "robot_hash":
            continue
        if key not in contract:
            lines.append(f"{key}: missing in the file, the robot has {_short(wanted)}")
        elif key == "command_ranges":
            lines += _ranges(contract[key], wanted)
        else:
            lines += _difference(key, _in_robot_order(key, contract[key], contract, spec), wanted, spec)
    return lines


def _in_robot_order(key: str, found: Any, contract: dict[str, Any], spec: RobotSpec) -> Any:
    """Values per joint in the robot's order: another order alone is not other values too."""
    theirs = contract.get("joint_names")
    if key == "joint_names" or not isinstance(theirs, list) or set(map(str, theirs)) != set(spec.joint_names):
        return found
    if isinstance(found, dict):
        return {name: _in_robot_order(name, value, contract, spec) for name, value in found.items()}
    if not isinstance(found, list) or len(found) != len(theirs):
        return found
    return [found[theirs.index(name)] for name in spec.joint_names]


def _difference(key: str, found: Any, wanted: Any, spec: RobotSpec) -> list[str]:
    """Lines for one field; nested mappings and lists of equal length are taken apart."""
    if isinstance(wanted, dict):
        if not isinstance(found, dict):
            return [f"{key}: the policy has {_short(found)}, the robot {_short(wanted)}"]
        lines: list[str] = []
        for name, value in wanted.items():
            lines += _difference(f"{key}.{name}", found.get(name), value, spec)
        return lines
    if isinstance(wanted, list) and isinstance(found, list) and len(found) == len(wanted):
        names = spec.joint_names if len(wanted) == spec.num_joints else range(len(wanted))
        parts = [
            f"{name}: {_short(a)} (robot {_short(b)})"
            for name, a, b in zip(names, found, wanted, strict=True)
            if not _same(a, b)
        ]
        if parts and isinstance(wanted[0], str):
            pairs = enumerate(zip(found, wanted, strict=True))
            parts = [f"{i}: {a} (robot {b})" for i, (a, b) in pairs if a != b]
        return [f"{key}: " + ", ".join(parts)] if parts else []
    if _same(found, wanted):
        return []
    return [f"{key}: the policy has {_short(found)}, the robot {_short(wanted)}"]


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, (int, float)) and isinstance(found, (int, float)) and not isinstance(found, bool):
        return bool(np.isclose(found, wanted, rtol=NUMBER_TOLERANCE, atol=NUMBER_TOLERANCE))
    return bool(found == wanted)


def _ranges(found: Any, wanted: dict[str, list[float]]) -> list[str]:
    """A robot may be allowed less than its policy can do, not more."""
    lines = []
    for name, (low, high) in wanted.items():
        limits = found.get(name) if isinstance(found, dict) else None
        if not isinstance(limits, list) or len(limits) != 2:
            lines.append(f"command_ranges.{name}: missing in the file, the robot allows {low:g} to {high:g}")
        elif low < limits[0] or high > limits[1]:
            lines.append(
                f"command_ranges.{name}: the policy was made for {limits[0]:g} to {limits[1]:g}, "
                f"the robot allows {low:g} to {high:g}"
            )
    return lines


def _unknown_slices(terms: Any, spec: RobotSpec) -> list[str]:
    sizes = term_sizes(spec)
    if not isinstance(terms, list) or not terms:
        return ["observation: missing in the file"]
    lines = []
    for i, term in enumerate(terms):
        if not isinstance(term, dict) or not {"name", "size", "frames", "scale"} <= set(term):
            lines.append(f"observation[{i}]: {term!r} lacks name, size, frames or scale")
        elif term["name"] not in sizes:
            lines.append(f"observation[{i}]: slice '{term['name']}' is unknown here ({', '.join(sizes)})")
        elif term["size"] != sizes[term["name"]]:
            lines.append(
                f"observation[{i}]: slice '{term['name']}' has {term['size']} values, "
                f"here {sizes[term['name']]}"
            )
        elif not isinstance(term["frames"], int) or term["frames"] < 1:
            lines.append(f"observation[{i}]: slice '{term['name']}' has {term['frames']!r} frames")
    return lines


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and all(isinstance(item, (int, float)) for item in value):
        return "[" + ", ".join(f"{item:.6g}" for item in value) + "]"
    return str(value)
