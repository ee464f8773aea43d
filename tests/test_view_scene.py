"""The drawn robot: every body where MuJoCo has it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from feed_helpers import simulated_walk
from runtime_helpers import SPEC, frame_at

pytest.importorskip("viser", reason="needs the extra 'view'")

from wildrobot.robot_description.mujoco_model import compile_model
from wildrobot.view.scene import ARROW_M_PER_M_S, RobotScene
from wildrobot.view.server import GuardedServer
from wildrobot.view.track import PelvisTrack, Placement


@pytest.fixture(scope="module")
def scene() -> Iterator[RobotScene]:
    server = GuardedServer("127.0.0.1", 0, "test")
    yield RobotScene(server, SPEC)
    server.stop()


def test_every_body_is_drawn_where_mujoco_has_it(scene: RobotScene, monkeypatch: pytest.MonkeyPatch) -> None:
    import mujoco

    walk = simulated_walk()
    model = compile_model(SPEC)
    data = mujoco.MjData(model)
    track, now_s = PelvisTrack(SPEC), iter(np.arange(0.0, 1000.0, SPEC.control_dt))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now_s)))
    for frame in walk.frames:
        pose = track.update(frame)
        scene.show(pose, frame.joint_position[0], frame.foot_contact[0], (0.3, 0.0))
    data.qpos[:3], data.qpos[3:7] = walk.position[-1], walk.quaternion[-1]
    data.qpos[[model.joint(name).qposadr[0] for name in SPEC.joint_names]] = frame.joint_position[0]
    mujoco.mj_kinematics(model, data)
    frames = {model.body(body).name: handle for body, handle in scene._bodies}
    assert set(frames) == {model.body(body).name for body in range(1, model.nbody)}
    pelvis = frames["pelvis"].position
    for name, handle in frames.items():
        true = data.body(name).xpos - data.body("pelvis").xpos
        assert np.allclose(handle.position - pelvis, true, atol=0.02), name
    # The view follows: however far it walked, the robot stays near the middle.
    assert np.linalg.norm(pelvis[:2]) < 0.1
    assert np.linalg.norm(walk.position[-1, :2]) > 0.5
    assert [pad.visible for pad in scene._pads] == [bool(value > 0.5) for value in frame.foot_contact[0]]
    assert scene._arrows["commanded"][0].visible
    assert scene._lengths["commanded"] == pytest.approx(0.3 * ARROW_M_PER_M_S)


def test_a_robot_that_lies_is_drawn_on_the_floor(scene: RobotScene) -> None:
    track = PelvisTrack(SPEC)
    pose = track.update(frame_at(0.0))
    side = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    lying = Placement(np.array([0.0, 0.0, 5.0]), side, 0.0, True, pose.velocity)
    scene.show(lying, SPEC.default_joint_pos, np.zeros(4), (0.0, 0.0))
    pelvis = dict(scene._bodies)[1].position
    assert 0.03 < pelvis[2] < 0.15
    assert not any(pad.visible for pad in scene._pads)
    assert not scene._arrows["commanded"][0].visible
