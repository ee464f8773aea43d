"""kill -9 of the runtime while the robot walks: the servos' watchdogs stop it, as its true state shows."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import lcm
import numpy as np
import pytest
from dynamixel_helpers import POLICY, SPEC

from wildrobot.firmware_bridge.virtual.lcm_types import CHANNEL, virtual_robot_truth_t

PROGRAM = [sys.executable, "-m", "wildrobot"]
STOPPED_WITHIN_S = 0.1


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


@pytest.mark.slow
def test_the_servos_stop_following_goals_within_100_ms_of_kill_9(tmp_path: Path, multicast: str) -> None:
    link = tmp_path / "port"
    server = subprocess.Popen(
        [*PROGRAM, "virtual-robot", "--link", str(link), "--lcm-truth", "--lcm-url", multicast],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    server.stdout.readline()
    truths = Truths(multicast)
    run = subprocess.Popen(
        [
            *PROGRAM,
            "run",
            str(POLICY),
            "--robot",
            "dynamixel",
            "--port",
            str(link),
            "--no-lcm",
            "--duration",
            "60",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert run.stdout is not None
        while "-> walking" not in (line := run.stdout.readline()):
            assert line, "it ended before it walked"
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
    assert np.count_nonzero(changed < killed) > 20, "it was walking"
    after = changed[changed > killed]
    # The last change is the watchdog's own: each servo takes the place where it is for its goal.
    assert 0.0 < after.max() - killed < STOPPED_WITHIN_S + 0.02  # states come every 20 ms
    end = truths.states[-1][1]
    assert all(end.torque_on), "it holds"
    still = np.abs(np.array(end.goal_position) - np.array(end.joint_position))
    assert np.max(still) < 0.2
    assert times[-1] - killed > 1.0
    assert len(SPEC.joint_names) == end.num_joints
