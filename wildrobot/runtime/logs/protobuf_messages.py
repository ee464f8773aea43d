"""Protobuf messages of named values, with a schema made at run time: no protoc, no generated code.

A list whose values have names is a message in the message, with a field for each: joint_position.left_knee_pitch.
Comments hold the unit and what the `.lcm` file says. Fields have presence (proto2), and every one is sent: a 0 is a 0,
and NaN what was not measured.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from wildrobot.runtime.logs.named_values import MessageLayout, NamedValue

PACKAGE = "wildrobot"
_Field = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "int8_t": _Field.TYPE_INT32,
    "int16_t": _Field.TYPE_INT32,
    "int32_t": _Field.TYPE_INT32,
    "int64_t": _Field.TYPE_INT64,
    "boolean": _Field.TYPE_BOOL,
    "float": _Field.TYPE_FLOAT,
    "double": _Field.TYPE_DOUBLE,
    "string": _Field.TYPE_STRING,
}
# Numbers of fields in descriptor.proto, of which the place of a comment is made.
_MESSAGES_OF_FILE, _FIELDS_OF_MESSAGE, _MESSAGES_OF_MESSAGE = 4, 2, 3


class ProtobufType:
    """The Protobuf type of a channel's messages."""

    def __init__(self, layout: MessageLayout, name: str) -> None:
        """`name`: of the type, one of its own in the file."""
        self._layout = layout
        self.full_name = f"{PACKAGE}.{name}"
        self._file = descriptor_pb2.FileDescriptorProto(
            name=f"{PACKAGE}/{name}.proto", package=PACKAGE, syntax="proto2"
        )
        root = _Group(self._file, self._file.message_type.add(name=name), [_MESSAGES_OF_FILE, 0], PACKAGE)
        self.units: dict[str, str] = {}
        """Unit of every field that has one: joint_position.left_knee_pitch -> rad."""
        self._places: list[tuple[tuple[str, ...], str, bool]] = []
        for value in layout.values:
            group, above = root, list[str]()
            for part in value.path[:-1]:
                group, name = group.group(part, value)
                above.append(name)
            name = group.add(value.path[-1], value)
            self._places.append((tuple(above), name, value.listed))
            if value.unit:
                self.units[".".join([*above, name])] = value.unit
        pool = descriptor_pool.DescriptorPool()
        pool.Add(self._file)
        self._class = message_factory.GetMessageClass(pool.FindMessageTypeByName(self.full_name))

    @property
    def schema(self) -> bytes:
        """A FileDescriptorSet, as MCAP wants it."""
        return bytes(descriptor_pb2.FileDescriptorSet(file=[self._file]).SerializeToString())

    def encode(self, message: Any) -> bytes:
        """The bytes of an LCM message."""
        encoded = self._class()
        inner, inside = encoded, tuple[str, ...]()
        for (above, name, listed), value in zip(self._places, self._layout.read(message), strict=True):
            if above != inside:
                inner, inside = encoded, above
                for group in above:
                    inner = getattr(inner, group)
            if listed:
                getattr(inner, name).extend(value)
            else:
                setattr(inner, name, value)
        return bytes(encoded.SerializeToString())


class _Group:
    """A message type that is being described."""

    def __init__(self, file: Any, message: Any, place: list[int], around: str) -> None:
        self._file, self._message, self._place = file, message, place
        self._full_name = f"{around}.{message.name}"
        self._names: set[str] = set()
        self._groups: dict[str, tuple[_Group, str]] = {}

    def group(self, part: str, value: NamedValue) -> tuple[_Group, str]:
        """The message of the field `part`, and the field's name."""
        if part not in self._groups:
            name = self._identifier(part)
            message = self._message.nested_type.add(name=f"{name}_t")
            place = [*self._place, _MESSAGES_OF_MESSAGE, len(self._message.nested_type) - 1]
            inner = _Group(self._file, message, place, self._full_name)
            field = self._field(name, value.text if part == value.path[0] else "")
            field.type, field.type_name = _Field.TYPE_MESSAGE, f".{inner._full_name}"
            self._groups[part] = inner, name
        return self._groups[part]

    def add(self, part: str, value: NamedValue) -> str:
        """A field for a value; returns its name."""
        name = self._identifier(part)
        text = value.text if len(value.path) == 1 else ""
        said = f"[{value.unit}] {text}" if value.unit else text
        field = self._field(name, said if name == part else f"{said} ({part})")
        field.type = _TYPES[value.kind]
        if value.listed:
            field.label = _Field.LABEL_REPEATED
            if value.kind != "string":
                field.options.packed = True
        return name

    def _field(self, name: str, comment: str) -> Any:
        number = len(self._message.field)
        field = self._message.field.add(
            name=name, json_name=name, number=number + 1, label=_Field.LABEL_OPTIONAL
        )
        if comment.strip():
            location = self._file.source_code_info.location.add(trailing_comments=f" {comment.strip()}\n")
            location.path.extend([*self._place, _FIELDS_OF_MESSAGE, number])
            location.span.extend([0, 0, 0])
        return field

    def _identifier(self, part: str) -> str:
        """The part as Protobuf can have it, unlike every other one here."""
        plain = re.sub(r"\W", "_", part, flags=re.ASCII)
        plain = f"_{plain}" if not plain or plain[0].isdigit() else plain
        name, count = plain, 1
        while name in self._names:
            count += 1
            name = f"{plain}_{count}"
        self._names.add(name)
        return name
