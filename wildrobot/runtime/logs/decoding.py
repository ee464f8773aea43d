"""Messages of a log, decoded, and the names of their values: joints, features, feet, axes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from wildrobot.core.errors import UserError
from wildrobot.runtime.logs.eventlog import Damage, read_log
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES
from wildrobot.signal_path.observation import Layout, layout_from_dicts

BY_JOINT = (
    "joint_position", "joint_velocity", "joint_time_s", "joint_valid", "action", "joint_target",
    "joint_target_requested", "joint_target_applied", "current_a", "temperature_c", "voltage_v",
)  # fmt: skip
BY_AXIS = (
    "imu_angular_velocity", "imu_acceleration", "linear_velocity", "angular_velocity", "projected_gravity",
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
    """(channel, message) of some channels in the order of the log; `damages` as for `read_log`."""
    for event in read_log(path, damages):
        if event.channel in channels:
            yield event.channel, decode(path, event.channel, event.data)


def exported_messages(
    path: Path, channels: Sequence[str], warn: Callable[[str], None]
) -> Iterator[tuple[str, int, Any]]:
    """(channel, time us, message) of the channels asked for and, for the names of values, of run_configuration.

    A message of another layout is left out; `warn` is told of the first of each channel.
    """
    told: set[str] = set()
    for event in read_log(path):
        if event.channel not in channels and event.channel != "run_configuration":
            continue
        try:
            yield event.channel, event.timestamp_us, decode(path, event.channel, event.data)
        except UserError as error:
            if event.channel not in told:
                warn(f"left out: {error}")
            told.add(event.channel)


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


def observation_names(layout: Layout) -> list[str]:
    """A name for every value of an observation."""
    return [
        f"{term.name}[{i}] {term.frames - 1 - frame} ticks ago"
        for term in layout
        for frame in range(term.frames)
        for i in range(term.size)
    ]


class ElementNames:
    """Names of the values in a message's lists, as a `run_configuration` gives them."""

    def __init__(self, configuration: Any | None) -> None:
        content = json.loads(configuration.json) if configuration is not None else {}
        joints, axes = content.get("joint_names", ()), ("x", "y", "z")
        self._names: dict[str, Sequence[str]] = {
            **dict.fromkeys(BY_JOINT, joints),
            **dict.fromkeys(BY_AXIS, axes),
            "imu_quaternion": ("w", "x", "y", "z"),
            "foot_contact": content.get("foot_names", ()),
            "features": content.get("feature_names", ()),
            "observation": observation_names(layout_from_dicts(content.get("observation", []))),
            "command": content.get("command_names", ()),
            "user_command": content.get("command_names", ()),
        }

    def known(self, field: str, size: int) -> Sequence[str] | None:
        """A name for each of the `size` values of a field; None where there are none."""
        names = self._names.get(field, ())
        return names if len(names) == size > 0 else None

    def columns(self, field: str, size: int) -> Sequence[str] | None:
        """`known` for a table with a column for every value: an observation stays a list."""
        return None if field == "observation" else self.known(field, size)

    def __call__(self, field: str, size: int) -> Sequence[str]:
        """`known`, with numbers where there are no names."""
        return self.known(field, size) or [str(i) for i in range(size)]
