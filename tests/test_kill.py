"""kill -9 of the runtime while the robot walks: the servos' watchdogs stop it, as its true state shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from process_helpers import STATES_EVERY_S, STOPPED_WITHIN_S, NeverWalkedError, kill_while_it_walks
from session_helpers import SPEC


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
