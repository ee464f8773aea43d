"""kill -9 of the runtime while the robot walks: the servos' watchdogs stop it, as its true state shows."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import lcm
import numpy as np
import pytest
from dynamixel_helpers import POLICY, SPEC

from wildrobot.firmware_bridge.virtual.lcm_types import CHANNEL, virtual_robot_truth_t

PROGRAM = [sys.executable, "-m", "wildrobot"]
STOPPED_WITHIN_S = 0.1
STATES_EVERY_S = 0.02


class Truths:
    """The virtual robot's true states as they arrive."""

    def __init__(self, url: str) -> None:
        self.states: list[tuple[float, virtual_robot_truth_t]] = []
        self._lcm = lcm.LCM(url)
        self._lcm.subscribe(CHANNEL, self._take).set_queue_capacity(100)

    def _take(self, channel: str, data: bytes) -> None:
        state = virtual_robot_truth_t.decode(data)
        self.states.append((1e-6 * state.timestamp_us, state))

    def listen(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._lcm.handle_timeout(max(1, round(1000 * left)))


@dataclass
class Killed:
    """What the virtual robot's states tell of a run that was killed while it walked."""

    stopped_after_s: float
    """Until the last change of a goal: the watchdogs' own, each servo takes the place where it is for its goal."""
    changes_before: int
    last: virtual_robot_truth_t
    watched_s: float


class NeverWalkedError(Exception):
    """The runtime ended before it walked; what it said."""


def kill_while_it_walks(link: Path, url: str) -> Killed:
    """Virtual robot and runtime, two programs in real time; the runtime is killed.

    Raises:
        NeverWalkedError: the runtime ended before it walked.
    """
    server = subprocess.Popen(
        [*PROGRAM, "virtual-robot", "--link", str(link), "--lcm-truth", "--lcm-url", url],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    server.stdout.readline()
    truths = Truths(url)
    flags = ["--robot", "dynamixel", "--port", str(link), "--no-lcm", "--duration", "60"]
    run = subprocess.Popen(
        [*PROGRAM, "run", str(POLICY), *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert run.stdout is not None
        said = []
        while "-> walking" not in (line := run.stdout.readline()):
            if not line:
                raise NeverWalkedError("".join(said))
            said.append(line)
        truths.listen(1.5)
        run.send_signal(signal.SIGKILL)
        killed = time.time()
        truths.listen(1.5)
    finally:
        run.kill()
        server.terminate()
        server.wait(10.0)
    times = np.array([at for at, _ in truths.states])
    goals = np.array([state.goal_position for _, state in truths.states])
    changed = times[1:][np.any(goals[1:] != goals[:-1], axis=1)]
    before = int(np.count_nonzero(changed < killed))
    return Killed(float(changed.max() - killed), before, truths.states[-1][1], float(times[-1] - killed))


@pytest.mark.slow
def test_the_servos_stop_following_goals_within_100_ms_of_kill_9(tmp_path: Path, multicast: str) -> None:
    # Real time: a machine that others keep busy holds the virtual robot itself up, so it gets three tries.
    for left in reversed(range(3)):
        try:
            found = kill_while_it_walks(tmp_path / f"port{left}", multicast)
        except NeverWalkedError:
            if left == 0:
                raise
            continue
        if 0.0 < found.stopped_after_s < STOPPED_WITHIN_S + STATES_EVERY_S:
            break
    assert 0.0 < found.stopped_after_s < STOPPED_WITHIN_S + STATES_EVERY_S
    assert found.changes_before > 20, "it was walking"
    assert all(found.last.torque_on), "it holds"
    still = np.abs(np.array(found.last.goal_position) - np.array(found.last.joint_position))
    assert np.max(still) < 0.2
    assert found.watched_s > 1.0
    assert len(SPEC.joint_names) == found.last.num_joints
