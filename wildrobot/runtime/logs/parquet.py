"""Messages as parquet: a file for every channel, a row for every message, a column for every value with a name."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from wildrobot.core.errors import UserError
from wildrobot.core.files import atomic_write
from wildrobot.runtime.logs.named_values import MessageLayout, NamedLog

ROWS_AT_ONCE = 3000
"""In memory, and in a row group: a minute of ticks."""
TIMES = ("log_time", "publish_time")
_TYPES = {
    "int8_t": pyarrow.int8(),
    "int16_t": pyarrow.int16(),
    "int32_t": pyarrow.int32(),
    "int64_t": pyarrow.int64(),
    "boolean": pyarrow.bool_(),
    "float": pyarrow.float32(),
    "double": pyarrow.float64(),
    "string": pyarrow.string(),
}


def write(folder: Path, log: NamedLog) -> dict[str, int]:
    """Write FOLDER/CHANNEL.parquet for the messages of a log; returns channel -> messages.

    `log_time` is the log's time, `publish_time` the message's own (UTC); a list whose values have names is a column for
    each, another one a list. Each column's metadata has its `unit` and the `comment` of the `.lcm` file; the file's has
    all units as JSON under `units` (and where pandas puts them: `DataFrame.attrs`), and the configuration's JSON under
    `wildrobot`. Messages with other names (another robot, another run) are in CHANNEL_2.parquet, and so on. All files
    appear at the end, or none.

    Raises:
        UserError: the folder cannot be made, or there is a file of that name.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, expected the name of a folder, or of a file ending in .mcap.")
    with contextlib.ExitStack() as stack:
        tables: dict[MessageLayout, _Table] = {}
        counts: dict[str, int] = {}
        for entry in log:
            layout = entry.layout
            if layout not in tables:
                number = 1 + sum(other.channel == layout.channel for other in tables)
                name = layout.channel if number == 1 else f"{layout.channel}_{number}"
                path = stack.enter_context(atomic_write(folder / f"{name}.parquet"))
                tables[layout] = _Table(path, layout, entry.configuration)
            tables[layout].add(entry.time_us, entry.message)
            counts[layout.channel] = counts.get(layout.channel, 0) + 1
        if not tables:
            raise UserError(f"there is no message on {', '.join(log.channels)}: nothing was written.")
        for table in tables.values():
            table.close()
        return counts


class _Table:
    """One file: messages of one layout."""

    def __init__(self, path: Path, layout: MessageLayout, configuration: str) -> None:
        self._layout = layout
        fields = [pyarrow.field(name, pyarrow.timestamp("us", tz="UTC")) for name in TIMES]
        units: dict[str, str] = {}
        for value in layout.values:
            name, own = ".".join(value.path), _TYPES[value.kind]
            notes = {"unit": value.unit, "comment": value.text}
            notes = {key: text for key, text in notes.items() if text}
            fields.append(pyarrow.field(name, pyarrow.list_(own) if value.listed else own, metadata=notes))
            if value.unit:
                units[name] = value.unit
        metadata = {
            "wildrobot": configuration,
            "units": json.dumps(units),
            "PANDAS_ATTRS": json.dumps({"units": units}),
        }
        self._schema = pyarrow.schema(fields, metadata=metadata)
        self._writer = pyarrow.parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[list[Any]] = []

    def add(self, time_us: int, message: Any) -> None:
        self._rows.append([time_us, message.timestamp_us, *self._layout.read(message)])
        if len(self._rows) == ROWS_AT_ONCE:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [pyarrow.array(c, field.type) for c, field in zip(columns, self._schema, strict=True)]
            self._writer.write_table(pyarrow.Table.from_arrays(arrays, schema=self._schema))
            self._rows = []
