"""Messages as MCAP: JSON with a JSON schema for every channel, which Foxglove and MCAP's own tools read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mcap.writer import Writer

from wildrobot import __version__
from wildrobot.core.errors import UserError
from wildrobot.core.files import atomic_write, json_document
from wildrobot.runtime.logs.decoding import ElementNames, is_array, type_name
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES

_TYPES = {
    "int8_t": "integer",
    "int32_t": "integer",
    "int64_t": "integer",
    "boolean": "boolean",
    "float": "number",
    "double": "number",
    "string": "string",
}


def write(path: Path, messages: Iterable[tuple[str, int, Any]], channels: Sequence[str]) -> dict[str, int]:
    """Write (channel, log time us, message); returns channel -> messages.

    Messages on other than `channels` are not written; a run_configuration among them names the values all the same.

    A list whose values have names is an object (joint_position.left_knee_pitch); a name with a slash is an object in
    it (features.joint_position.left_knee_pitch). JSON knows no NaN: what was not measured is null.
    """
    names, counts, ids = ElementNames(None), dict[str, int](), dict[str, int]()
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        writer = Writer(file)
        writer.start(profile="", library=f"wildrobot {__version__}")
        for channel, time_us, message in messages:
            if channel == "run_configuration":
                names = ElementNames(message)
                writer.add_metadata("run_configuration", {"robot": message.robot, "json": message.json})
            if channel not in channels:
                continue
            if channel not in ids:
                schema = writer.register_schema(
                    f"wildrobot.{channel}",
                    "jsonschema",
                    json.dumps(_schema(channel, message, names)).encode(),
                )
                ids[channel] = writer.register_channel(channel, "json", schema)
                counts[channel] = 0
            writer.add_message(
                ids[channel],
                log_time=1000 * time_us,
                publish_time=1000 * int(message.timestamp_us),
                sequence=counts[channel],
                data=json.dumps(_document(channel, message, names), allow_nan=False).encode(),
            )
            counts[channel] += 1
        writer.finish()
        if not counts:  # inside, so that no file of that name appears
            raise UserError(f"there is no message on {', '.join(channels)}: nothing was written.")
    return counts


def _schema(channel: str, message: Any, names: ElementNames) -> dict[str, Any]:
    """JSON schema of a channel's messages, with the sizes of `message`."""
    kind = CHANNEL_TYPES[channel]
    properties: dict[str, Any] = {}
    for name in kind.__slots__:
        own = {"type": _TYPES[type_name(kind, name)]}
        if not is_array(kind, name):
            properties[name] = own
            continue
        known = names.columns(name, len(getattr(message, name)))
        properties[name] = _object(known, own) if known is not None else {"type": "array", "items": own}
    return {"type": "object", "title": kind.__name__, "properties": properties}


def _object(names: Sequence[str], own: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    for name in names:
        inner = schema
        *outer, last = name.split("/")
        for step in outer:
            inner = inner["properties"].setdefault(step, {"type": "object", "properties": {}})
        inner["properties"][last] = own
    return schema


def _document(channel: str, message: Any, names: ElementNames) -> dict[str, Any]:
    kind, document = CHANNEL_TYPES[channel], dict[str, Any]()
    for name in kind.__slots__:
        value = getattr(message, name)
        if not is_array(kind, name):
            document[name] = json_document(value)
            continue
        known = names.columns(name, len(value))
        if known is None:
            document[name] = json_document(value)
            continue
        tree = document[name] = {}
        for element, entry in zip(known, value, strict=True):
            inner = tree
            *outer, last = element.split("/")
            for step in outer:
                inner = inner.setdefault(step, {})
            inner[last] = json_document(entry)
    return document
