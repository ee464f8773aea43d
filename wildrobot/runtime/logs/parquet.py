"""Messages as parquet: a file for every channel, a row for every message, a column for every value with a name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from wildrobot.core.errors import UserError
from wildrobot.core.files import atomic_write
from wildrobot.runtime.logs.decoding import ElementNames, is_array, type_name
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES

ROWS_AT_ONCE = 3000
"""In memory, and in a row group: a minute of ticks."""
_TYPES = {
    "int8_t": pyarrow.int8(),
    "int32_t": pyarrow.int32(),
    "int64_t": pyarrow.int64(),
    "boolean": pyarrow.bool_(),
    "float": pyarrow.float32(),
    "double": pyarrow.float64(),
    "string": pyarrow.string(),
}


def write(folder: Path, messages: Iterable[tuple[str, int, Any]], channels: Sequence[str]) -> dict[str, int]:
    """Write FOLDER/CHANNEL.parquet for (channel, log time us, message); returns channel -> messages.

    Messages on other than `channels` are not written; a run_configuration among them names the values all the same.

    `log_time` (UTC) is the log's; a list whose values have names is a column for each, another one a list.
    The configuration's JSON is in every file's metadata under `wildrobot`. All files appear at the end, or none.

    Raises:
        UserError: the folder cannot be made, or there is a file of that name.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, expected the name of a folder, or of a file ending in .mcap.")
    names, configuration = ElementNames(None), ""
    with contextlib.ExitStack() as stack:
        tables: dict[str, _Table] = {}
        for channel, time_us, message in messages:
            if channel == "run_configuration":
                names, configuration = ElementNames(message), message.json
            if channel not in channels:
                continue
            if channel not in tables:
                path = stack.enter_context(atomic_write(folder / f"{channel}.parquet"))
                tables[channel] = _Table(path, channel, message, names, configuration)
            tables[channel].add(time_us, message)
        if not tables:
            raise UserError(f"there is no message on {', '.join(channels)}: nothing was written.")
        for table in tables.values():
            table.close()
        return {channel: table.count for channel, table in tables.items()}


class _Table:
    """One file; its columns are those of the channel's first message."""

    def __init__(
        self, path: Path, channel: str, message: Any, names: ElementNames, configuration: str
    ) -> None:
        kind = CHANNEL_TYPES[channel]
        self._columns: list[tuple[str, int | None, list[str]]] = []  # field, values, their columns
        fields = [pyarrow.field("log_time", pyarrow.timestamp("us", tz="UTC"))]
        for name in kind.__slots__:
            own = _TYPES[type_name(kind, name)]
            listed = is_array(kind, name)
            known = names.columns(name, len(getattr(message, name))) if listed else None
            if known is not None:
                wide = [f"{name}.{_dotted(element)}" for element in known]
                self._columns.append((name, len(known), wide))
                fields += [pyarrow.field(column, own) for column in wide]
            else:
                self._columns.append((name, None, [name]))
                fields.append(pyarrow.field(name, pyarrow.list_(own) if listed else own))
        self._schema = pyarrow.schema(fields, metadata={"wildrobot": configuration})
        self._writer = pyarrow.parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self.count = 0

    def add(self, time_us: int, message: Any) -> None:
        row: dict[str, Any] = {"log_time": time_us}
        for name, size, columns in self._columns:
            value = getattr(message, name)
            if size is None:
                row[name] = value
            elif len(value) == size:  # else another robot's: empty
                row.update(zip(columns, value, strict=True))
        self._rows.append(row)
        self.count += 1
        if len(self._rows) == ROWS_AT_ONCE:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pyarrow.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []


def _dotted(element: str) -> str:
    return element.replace("/", ".")
