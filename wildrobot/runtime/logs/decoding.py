"""Messages of a log, decoded, and the names of their values: joints, features, feet, axes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wildrobot.core.errors import UserError
from wildrobot.runtime.logs.eventlog import Damage
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES
from wildrobot.signal_path.observation import Layout, layout_from_dicts

BY_JOINT = (
    "joint_position", "joint_velocity", "joint_time_s", "joint_valid", "action", "joint_target",
    "joint_target_requested", "joint_target_applied", "current_a", "temperature_c", "voltage_v",
)  # fmt: skip
AXES = ("x", "y", "z")
BY_AXIS = (
    "imu_angular_velocity", "imu_acceleration", "linear_velocity", "angular_velocity", "projected_gravity",
    "pelvis_angular_velocity", "pelvis_linear_velocity", "torso_angular_velocity",
)  # fmt: skip


def decode(path: Path, channel: str, data: bytes) -> Any:
    """A message of a known channel.

    Raises:
        UserError: it has another layout.
    """
    try:
        return CHANNEL_TYPES[channel].decode(data)
    except Exception as error:
        raise UserError(
            f"{path}: a message on channel {channel} has another layout than this release knows. "
            "Read the log with the release that wrote it."
        ) from error


def read_messages(
    path: Path, channels: Sequence[str], damages: list[Damage] | None = None
) -> Iterator[tuple[str, Any]]:
    """(channel, message) of some channels in the order of the log; `damages` as for `read_events`."""
    for event in read_log(path, damages):
        if event.channel in channels:
            yield event.channel, decode(path, event.channel, event.data)


def read_configuration(path: Path) -> Any:
    """The log's first `run_configuration` message.

    Raises:
        UserError: it has none.
    """
    for _, message in read_messages(path, ("run_configuration",), damages=[]):
        return message
    raise UserError(
        f"{path} has no message on channel run_configuration, so it does not say which policy ran. "
        "Give a log of `wildrobot-run --log`."
    )


def is_array(kind: Any, field: str) -> bool:
    """Whether a field of a message class is a list."""
    return kind.__dimensions__[kind.__slots__.index(field)] is not None


def type_name(kind: Any, field: str) -> str:
    """LCM type of a field, or of its elements: int64_t, double, string, ..."""
    return str(kind.__typenames__[kind.__slots__.index(field)])


def slice_parts(
    joints: Sequence[str], features: Sequence[str], commands: Sequence[str]
) -> dict[str, Sequence[str]]:
    """Names of the values of those slices that a robot's own names describe, for `observation_names`."""
    return {"features": features, "command": commands, "previous_action": joints}


def observation_names(layout: Layout, parts: Mapping[str, Sequence[str]]) -> list[str]:
    """A name for every value of an observation: features/joint_position/left_knee_pitch, command_1_ticks_ago/yaw_rate.

    `parts` names the values of one tick of a slice; where it does not, they are value_0, value_1, ...
    """
    parts = {**dict.fromkeys(BY_AXIS, AXES), "gait_clock": ("sin", "cos"), **parts}
    names = []
    for term in layout:
        inner = parts.get(term.name, ())
        if len(inner) != term.size:
            inner = [f"value_{i}" for i in range(term.size)]
        for age in range(term.frames - 1, -1, -1):
            slice_name = f"{term.name}_{age}_ticks_ago" if age else term.name
            names += [f"{slice_name}/{name}" for name in inner]
    return names


class ElementNames:
    """Names of the values in a message's lists, as a `run_configuration` gives them."""

    def __init__(self, configuration: Any | None) -> None:
        content = json.loads(configuration.json) if configuration is not None else {}
        joints, commands = content.get("joint_names", ()), content.get("command_names", ())
        features, layout = content.get("feature_names", ()), layout_from_dicts(content.get("observation", []))
        self._names: dict[str, Sequence[str]] = {
            **dict.fromkeys(BY_JOINT, joints),
            **dict.fromkeys(BY_AXIS, AXES),
            "imu_quaternion": ("w", "x", "y", "z"),
            "foot_contact": content.get("foot_names", ()),
            "features": features,
            "observation": observation_names(layout, slice_parts(joints, features, commands)),
            "command": commands,
            "user_command": commands,
        }
        self.observation_scale = [term.scale for term in layout for _ in range(term.frames * term.size)]
        """By how much each value of an observation was multiplied."""

    def known(self, field: str, size: int) -> Sequence[str] | None:
        """A name for each of the `size` values of a field; None where there are none."""
        names = self._names.get(field, ())
        return names if len(names) == size > 0 else None

    def __call__(self, field: str, size: int) -> Sequence[str]:
        """`known`, with numbers where there are no names."""
        return self.known(field, size) or [str(i) for i in range(size)]
