"""`wildrobot run` as a program of its own, in real time, on the simulated robot or beside `wildrobot virtual-robot`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from session_helpers import POLICY

from wildrobot.core.lcm_network import open_network
from wildrobot.firmware_bridge.virtual.lcm_types import CHANNEL, virtual_robot_truth_t

STOPPED_WITHIN_S = 0.1
STATES_EVERY_S = 0.02
PROGRAM = [sys.executable, "-m", "wildrobot"]


class NeverWalkedError(Exception):
    """The runtime ended before it walked; what it said."""


class Truths:
    """The virtual robot's true states as they arrive."""

    def __init__(self, url: str) -> None:
        self.states: list[tuple[float, virtual_robot_truth_t]] = []
        self._network = open_network(url)
        self._receiver = self._network.receiver((CHANNEL,))

    def listen(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._receiver.wait(left) and (message := self._receiver.read()) is not None:
                state = virtual_robot_truth_t.decode(message.data)
                self.states.append((1e-6 * state.timestamp_us, state))

    def close(self) -> None:
        self._network.close()


class VirtualServer:
    """`wildrobot virtual-robot` while the block runs; ready to be driven once entered."""

    def __init__(self, link: Path, *flags: str) -> None:
        self._command = [*PROGRAM, "virtual-robot", "--link", str(link), *flags]

    def __enter__(self) -> VirtualServer:
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.process.stdout.readline()  # it says where it is once it answers in time
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20.0)


class Runtime:
    """`wildrobot run` with the shipped policy while the block runs; killed at its end if it has not ended by then."""

    def __init__(self, *flags: str, program: Sequence[str] = PROGRAM, **popen: Any) -> None:
        self._command = [*program, "run", str(POLICY), *flags]
        self._popen = popen
        self.said: list[str] = []

    def __enter__(self) -> Runtime:
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **self._popen
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def until(self, words: str) -> None:
        """Wait until it has said so.

        Raises:
            NeverWalkedError: it ended first.
        """
        assert self.process.stdout is not None
        while words not in (line := self.process.stdout.readline()):
            if not line:
                raise NeverWalkedError("".join(self.said))
            self.said.append(line)
        self.said.append(line)

    def finish(self, timeout_s: float = 60.0) -> int:
        """Wait for its end; the exit code."""
        rest, _ = self.process.communicate(timeout=timeout_s)
        self.said.append(rest)
        return self.process.returncode


def read_figures(path: Path) -> dict[str, Any]:
    """What `--json` wrote; nothing, if it did not get so far."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


@dataclass
class Killed:
    """What the virtual robot's states tell of a run that was killed while it walked."""

    stopped_after_s: float
    """Until the last change of a goal: the watchdogs' own, each servo takes the place where it is for its goal."""
    changes_before: int
    last: virtual_robot_truth_t
    watched_s: float


def kill_while_it_walks(link: Path, url: str) -> Killed:
    """Virtual robot and runtime, two programs in real time; the runtime is killed.

    Raises:
        NeverWalkedError: the runtime ended before it walked.
    """
    flags = ["--robot", "dynamixel", "--port", str(link), "--no-lcm", "--duration", "60"]
    flags += ["--yes", "--countdown", "1"]
    with VirtualServer(link, "--lcm-truth", "--lcm-url", url), Runtime(*flags) as run:
        truths = Truths(url)
        run.until("-> walking")
        truths.listen(1.5)
        run.process.send_signal(signal.SIGKILL)
        killed = time.time()
        truths.listen(1.5)
        truths.close()
    times = np.array([at for at, _ in truths.states])
    goals = np.array([state.goal_position for _, state in truths.states])
    changed = times[1:][np.any(goals[1:] != goals[:-1], axis=1)]
    before = int(np.count_nonzero(changed < killed))
    return Killed(float(changed.max() - killed), before, truths.states[-1][1], float(times[-1] - killed))
