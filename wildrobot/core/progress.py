"""Progress bars of long work: on a terminal they move, in a log they are a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def duration(seconds: float) -> str:
    """`90` → `1 min 30 s`, `9000` → `2 h 30 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Bar:
    """`with Bar("tracking", total) as bar: bar.advance("reward 0.71")`."""

    def __init__(self, title: str, total: int, done: int = 0, every_s: float = 15.0) -> None:
        self._title, self._total, self._done, self._every_s = title, total, done, every_s
        self._first, self._began, self._printed = done, time.monotonic(), 0.0
        self._live = sys.stderr.isatty()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )

    def __enter__(self) -> Bar:
        if self._live:
            self._progress.start()
        self._id = self._progress.add_task(self._title, total=self._total, completed=self._done, note="")
        return self

    def advance(self, note: str = "", count: int = 1) -> None:
        """`count` more done; `note` stands at the end of the line."""
        self._done += count
        if self._live:
            self._progress.update(self._id, completed=self._done, note=note)
            return
        now = time.monotonic()
        if now - self._printed >= self._every_s or self._done >= self._total:
            self._printed = now
            spent = now - self._began
            left = spent / max(1, self._done - self._first) * (self._total - self._done)
            print(
                f"{self._title}: {self._done}/{self._total}, {duration(spent)}, about {duration(left)} left  {note}",
                file=sys.stderr,
                flush=True,
            )

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._progress.stop()
