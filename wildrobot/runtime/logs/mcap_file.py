"""Messages as MCAP: Protobuf with a schema, which Foxglove, Lichtblick, rerun and PlotJuggler plot."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from mcap.writer import Writer

from wildrobot import __version__
from wildrobot.core.errors import UserError
from wildrobot.core.files import atomic_write
from wildrobot.runtime.logs.named_values import LogEntry, MessageLayout, NamedLog
from wildrobot.runtime.logs.protobuf_messages import ProtobufType

CHUNK_BYTES = 256 * 1024
"""What a file that was cut loses at most, before compression: some seconds."""
_LATEST_US = (2**64 - 1) // 1000


def write(path: Path, log: NamedLog) -> dict[str, int]:
    """Write the messages of a log; returns channel -> messages.

    A topic is a channel. Times are nanoseconds of Unix time: the log's, and as publish time the message's own.
    The metadata `run_configuration` is the log's, `units TOPIC` has the unit of every field.

    Raises:
        UserError: there is no message; nothing is written.
    """
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        output = _Output(file)
        for configuration in log.configurations:
            content = {"robot": configuration.robot, "json": configuration.json}
            output.writer.add_metadata("run_configuration", content)
        for entry in log:
            output.add(entry)
        output.writer.finish()
        if not output.counts:  # inside, so that no file of that name appears
            raise UserError(f"there is no message on {', '.join(log.channels)}: nothing was written.")
    return output.counts


class _Output:
    """The writer, and what it has been told of."""

    def __init__(self, file: BinaryIO) -> None:
        self.writer = Writer(file, chunk_size=CHUNK_BYTES)
        self.writer.start(profile="", library=f"wildrobot {__version__}")
        self.counts: dict[str, int] = {}
        self._types: dict[MessageLayout, tuple[int, ProtobufType]] = {}
        self._names: set[str] = set()

    def add(self, entry: LogEntry) -> None:
        layout = entry.layout
        known = self._types.get(layout)
        channel, kind = known if known is not None else self._register(layout)
        count = self.counts.get(layout.channel, 0)
        self.writer.add_message(
            channel,
            log_time=_nanoseconds(entry.time_us),
            publish_time=_nanoseconds(entry.message.timestamp_us),
            sequence=count,
            data=kind.encode(entry.message),
        )
        self.counts[layout.channel] = count + 1

    def _register(self, layout: MessageLayout) -> tuple[int, ProtobufType]:
        """A channel of MCAP: another one of the same topic where other names come, of another robot or run."""
        name = plain = layout.kind.__name__
        count = 1
        while name in self._names:
            count += 1
            name = f"{plain}_{count}"
        self._names.add(name)
        kind = ProtobufType(layout, name)
        schema = self.writer.register_schema(kind.full_name, "protobuf", kind.schema)
        channel = self.writer.register_channel(layout.channel, "protobuf", schema)
        self.writer.add_metadata(f"units {layout.channel}", kind.units)
        self._types[layout] = channel, kind
        return self._types[layout]


def _nanoseconds(time_us: int) -> int:
    """Unsigned, as MCAP's times are: a sender of commands may have set its clock to anything."""
    return 1000 * min(max(time_us, 0), _LATEST_US)
