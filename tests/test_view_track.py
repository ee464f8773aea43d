"""The robot's way from its own sensors against the simulator's truth, and the histories that the plots show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from feed_helpers import (
    Walk,
    simulated_walk,
)
from runtime_helpers import SPEC, frame_at

pytest.importorskip("viser", reason="needs the extra 'view'")

from wildrobot.core.rotations import quat_to_matrix
from wildrobot.view.history import History
from wildrobot.view.track import AIRBORNE_S, PelvisTrack


@pytest.fixture
def walk() -> Walk:
    return simulated_walk()


def test_the_track_follows_the_simulated_robot(walk: Walk) -> None:
    track = PelvisTrack(SPEC)
    poses = [track.update(frame) for frame in walk.frames]
    way = np.linalg.norm(np.diff(walk.position[:, :2], axis=0), axis=1).sum()
    assert way > 0.8
    found = np.array([pose.position for pose in poses])
    error = np.linalg.norm(found[:, :2] - (walk.position - walk.position[0])[:, :2], axis=1)
    assert error.max() < 0.1 * way
    assert np.abs(found[20:, 2] - walk.position[20:, 2]).max() < 0.02
    truth = quat_to_matrix(walk.quaternion)
    yaw = np.arctan2(truth[:, 1, 0], truth[:, 0, 0])
    heading = np.array([pose.heading for pose in poses])
    assert np.abs(heading - (yaw - yaw[0])).max() < 0.02
    assert heading[-1] > 0.2, "the curve went to the left"
    # The whole attitude, not only the heading.
    assert np.abs(np.array([pose.rotation for pose in poses]) - truth).max() < 0.05
    assert not any(pose.airborne for pose in poses)


def test_another_run_begins_at_the_origin(walk: Walk) -> None:
    track = PelvisTrack(SPEC)
    for frame in walk.frames:
        last = track.update(frame)
    assert np.linalg.norm(last.position[:2]) > 0.5
    later = replace(walk.frames[0], time_s=walk.frames[0].time_s + 1000.0)
    for first in (later, walk.frames[0]):  # a gap, and a step back
        pose = track.update(first)
        assert pose.position[:2].tolist() == [0.0, 0.0]
        assert pose.heading == 0.0


def test_a_robot_that_touches_nothing_does_not_wander_off(walk: Walk) -> None:
    track = PelvisTrack(SPEC)
    for frame in walk.frames[:100]:
        before = track.update(frame)
    place = []
    for tick in range(100):
        frame = frame_at(float(walk.frames[99].time_s[0]) + 0.02 * (tick + 1))
        frame.foot_contact[:] = 0.0
        frame.imu_acceleration[:] = (3.0, 0.0, 9.81)  # carried about
        pose = track.update(frame)
        place.append(pose.position[:2])
    assert pose.airborne
    late = np.array(place[round(AIRBORNE_S / 0.02) + 1 :])
    assert np.ptp(late, axis=0).max() == 0.0
    assert np.linalg.norm(late[-1] - before.position[:2]) < 0.5


def test_invalid_samples_keep_the_last_pose(walk: Walk) -> None:
    track = PelvisTrack(SPEC)
    for frame in walk.frames[:50]:
        before = track.update(frame)
    broken = walk.frames[50].copy()
    broken.imu_quaternion[:], broken.joint_position[:] = np.nan, np.nan
    broken.imu_valid[:], broken.joint_valid[:] = False, False
    after = track.update(broken)
    assert np.all(np.isfinite(after.rotation))
    assert np.linalg.norm(after.position - before.position) < 0.05


def test_the_history_is_read_oldest_first_and_forgets() -> None:
    history = History(SPEC, seconds=0.06)
    assert history.rows == 3
    assert np.isnan(history.part("height")).all()
    for value in range(5):
        history.append(height=float(value), gyro=(1.0, 2.0, 3.0))
    assert history.part("height")[:, 0].tolist() == [2.0, 3.0, 4.0]
    assert history.part("gyro")[-1].tolist() == [1.0, 2.0, 3.0]
    assert np.isnan(history.part("tilt")).all()
    assert history.time_s[-1] == 0.0
