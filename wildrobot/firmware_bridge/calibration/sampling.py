"""All servos and the sensor board as they are, fifty times a second, by their ids: no set-up of the servos needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.board import control_table as board_table
from wildrobot.firmware_bridge.board.driver import BoardSample
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.driver import BEHIND, Bus

Array = NDArray[np.float64]
PERIOD_S = 0.02
LOST_READS = 15
"""Reads in a row that a device may miss before the measurement is given up."""
_FIRST, _END = table.PRESENT_CURRENT.address, table.PRESENT_TEMPERATURE.end


@dataclass(frozen=True)
class Sample:
    """One read of everything; (n,) in the order of the ids asked for, NaN where a servo kept silent."""

    time_s: float
    count: Array
    velocity_count: Array
    current_count: Array
    temperature_c: Array
    alert: NDArray[np.bool_]
    board: BoardSample | None


class Sampler:
    """Reads servos `ids` and the board `board_id`, one transaction a time."""

    def __init__(self, bus: Bus, ids: Sequence[int], board_id: int) -> None:
        self.bus, self.ids, self.board_id = bus, tuple(ids), board_id
        self._order = [*ids, board_id]
        self._missed = dict.fromkeys(self._order, 0)
        self._next_ns = 0

    def read(self) -> Sample:
        """Read now.

        Raises:
            UserError: a device has been silent for `LOST_READS` reads.
            PortLost: the port is gone.
        """
        board_block = (self.board_id, board_table.SAMPLE_ADDRESS, board_table.SAMPLE_SIZE)
        got = self.bus.bulk_read(
            [
                board_block if device == self.board_id else (device, _FIRST, _END - _FIRST)
                for device in self._order
            ],
            fast=False,
        )
        n = len(self.ids)
        count, velocity, current, temperature = (np.full(n, np.nan) for _ in range(4))
        alert = np.zeros(n, dtype=bool)
        for i, device in enumerate(self.ids):
            if (answer := got.answers.get(device)) is None:
                continue

            def value(register: table.Register, data: bytes = answer.data) -> int:
                return register.decode(data[register.address - _FIRST : register.end - _FIRST])

            count[i], velocity[i] = value(table.PRESENT_POSITION), value(table.PRESENT_VELOCITY)
            current[i], temperature[i] = value(table.PRESENT_CURRENT), value(table.PRESENT_TEMPERATURE)
            alert[i] = answer.alert
        self._watch(got.failures)
        if got.first_missing is not None:  # in a chain it would silence those behind it
            self._order.remove(got.first_missing)
            self._order.append(got.first_missing)
        board = got.answers.get(self.board_id)
        return Sample(
            got.start_ns * 1e-9, count, velocity, current, temperature, alert,
            None if board is None else BoardSample.decode(board.data),
        )  # fmt: skip

    def _watch(self, failures: dict[int, str]) -> None:
        for device in self._missed:
            if failures.get(device) == BEHIND:  # not its fault
                continue
            self._missed[device] = self._missed[device] + 1 if device in failures else 0
            if self._missed[device] >= LOST_READS:
                raise UserError(
                    f"device {device} does not answer any more ({failures[device]}). Check its cable and "
                    "begin again; `wildrobot doctor` shows more."
                )

    def wait(self) -> None:
        """Sleep to the next multiple of the period."""
        now, period = self.bus.transport.now_ns(), round(PERIOD_S * 1e9)
        self._next_ns = max(self._next_ns + period, now)
        if self._next_ns > now:
            self.bus.transport.sleep((self._next_ns - now) * 1e-9)

    def record(self, seconds: float) -> list[Sample]:
        """What is there over `seconds`."""
        samples = []
        end = self.bus.transport.now_ns() + round(seconds * 1e9)
        while self.bus.transport.now_ns() < end:
            samples.append(self.read())
            self.wait()
        return samples


def resting_counts(samples: Sequence[Sample]) -> Array:
    """Median position of every servo over samples at rest, (n,) counts.

    Raises:
        UserError: a servo gave no position at all.
    """
    counts = np.array([sample.count for sample in samples])
    if len(counts) == 0 or np.isnan(counts).all(axis=0).any():
        raise UserError("a servo gave no position. Run `wildrobot doctor` and mend what it names.")
    median: Array = np.nanmedian(counts, axis=0)
    return median
