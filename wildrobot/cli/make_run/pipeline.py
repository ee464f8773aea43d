"""Stages that run one after the other, remember what is done, and go on where they were interrupted."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wildrobot import __version__
from wildrobot.core.errors import EXIT_INTERRUPTED, UserError
from wildrobot.core.files import write_text
from wildrobot.core.progress import duration


@dataclass(frozen=True)
class Stage:
    """One command of the pipeline."""

    name: str
    summary: str
    """What a person reads before it starts."""
    estimate: str
    """How long it takes, in words."""
    command: tuple[str, ...]
    outputs: tuple[Path, ...]
    """Files that exist when it is done."""
    stamps: Path | None = None
    """Folder for its stamps, when its outputs are shared with other pipelines; None: the pipeline's own."""
    resumes: bool = False
    """It goes on from what an interrupted attempt left, and so must not find that of another one."""
    fine: tuple[int, ...] = (0,)
    """Exit codes that count as done."""
    inputs: tuple[Path, ...] = ()
    """Files of the program that decide the result: when their content changes, the stage runs again."""


class Pipeline:
    """Runs stages in order; a stamp per finished stage holds the key of everything that it was made from.

    A stage's key covers the program's version, its command, the content of its inputs and the key of the
    stage before, so a change anywhere makes that stage and all later ones run again. Stamps are written
    atomically, after the outputs exist.
    """

    def __init__(self, stages: Sequence[Stage], stamps: Path, say: Callable[[str], None] = print) -> None:
        self.stages = tuple(stages)
        self.stamps = stamps
        self._say = say
        self._keys: list[str] = []
        for stage in self.stages:
            digest = hashlib.sha256("\0".join((__version__, *self._keys[-1:], *stage.command)).encode())
            for path in stage.inputs:
                digest.update(path.read_bytes())
            self._keys.append(digest.hexdigest())

    def finished(self) -> int:
        """How many stages from the first on need not run again."""
        for index, stage in enumerate(self.stages):
            done = self._stamp(stage).exists() and _read(self._stamp(stage)).get("key") == self._keys[index]
            if not done or not all(path.exists() for path in stage.outputs):
                return index
        return len(self.stages)

    def half_done_from_something_else(self) -> bool:
        """Whether the next stage would resume an attempt that had another command or other inputs."""
        index = self.finished()
        if index == len(self.stages) or not self.stages[index].resumes:
            return False
        begun = _read(self._begun(self.stages[index])).get("key")
        return begun not in (None, self._keys[index])

    def run(self) -> int:
        """Run what is not finished.

        Returns:
            0, or the exit code of the stage that failed, or 130 when it was interrupted.
        """
        first, total = self.finished(), len(self.stages)
        for stage in self.stages[:first]:
            self._say(f"[{self.stages.index(stage) + 1}/{total}] {stage.name}: done before, kept")
        for stage in self.stages[first:]:
            self._stamp(stage).unlink(missing_ok=True)
        for index in range(first, total):
            stage = self.stages[index]
            self._say(f"\n[{index + 1}/{total}] {stage.name}: {stage.summary} ({stage.estimate})")
            write_text(self._begun(stage), json.dumps({"key": self._keys[index]}))
            started = time.monotonic()
            code = run_command(stage.command)
            if code == EXIT_INTERRUPTED:
                self._say(f"interrupted in '{stage.name}'; the same command goes on from here")
                return code
            if code not in stage.fine:
                self._say(f"'{stage.name}' failed with exit code {code}; what it said stands above")
                return code
            missing = [str(path) for path in stage.outputs if not path.exists()]
            if missing:
                raise UserError(f"stage '{stage.name}' ended well but did not write {', '.join(missing)}.")
            seconds = time.monotonic() - started
            write_text(
                self._stamp(stage), json.dumps({"key": self._keys[index], "seconds": round(seconds, 1)})
            )
            self._say(f"[{index + 1}/{total}] {stage.name}: done in {duration(seconds)}")
        return 0

    def seconds(self) -> dict[str, float]:
        """Wall time of each finished stage."""
        stamps = {stage.name: _read(self._stamp(stage)) for stage in self.stages}
        return {name: float(stamp["seconds"]) for name, stamp in stamps.items() if "seconds" in stamp}

    def _stamp(self, stage: Stage) -> Path:
        return (stage.stamps or self.stamps) / f"{stage.name}.json"

    def _begun(self, stage: Stage) -> Path:
        return (stage.stamps or self.stamps) / f"{stage.name}.begun.json"


def run_command(command: Sequence[str]) -> int:
    """Run a command on this terminal and return its exit code.

    Ctrl-C reaches the command too, as a member of the same foreground group: it may end in its own way.
    """
    with subprocess.Popen(list(command)) as process:
        interrupted = False
        while True:
            try:
                code = process.wait()
                return EXIT_INTERRUPTED if interrupted or code == -2 else code
            except KeyboardInterrupt:
                interrupted = True


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
