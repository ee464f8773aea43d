"""The robot in pictures: its parts meet, its colours say left, right and servo, its physics stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from heron_helpers import HERON

from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.robot_description.mujoco_model import compile_model
from wildrobot.simulation import reel
from wildrobot.simulation.picture import CENTER, LEFT, RIGHT, SERVO, picture_model
from wildrobot.simulation.simulation import Simulation

ROBOTS = {"wildrobot": None, "heron": HERON}
RNG = np.random.default_rng(0)


@pytest.fixture(params=ROBOTS, scope="module")
def spec(request: pytest.FixtureRequest) -> RobotSpec:
    return load_robot(ROBOTS[request.param])


def drawn(model: Any) -> list[int]:
    """The robot's shapes that are seen, without the corners of its soles, which the feet cover."""
    return [
        g for g in range(model.ngeom) if model.geom_bodyid[g] > 0 and model.geom_priority[g] == 0
    ]  # fmt: skip


def pieces(model: Any, spec: RobotSpec, pose: Any) -> int:
    """Into how many separate pieces the drawn robot falls in a pose (n,), by MuJoCo's distance of shapes."""
    data = mujoco.MjData(model)
    for name, angle in zip(spec.joint_names, pose, strict=True):
        data.qpos[model.joint(name).qposadr[0]] = angle
    mujoco.mj_kinematics(model, data)
    group = {g: g for g in drawn(model)}
    for a in group:
        for b in group:
            if group[a] != group[b] and mujoco.mj_geomDistance(model, data, a, b, 0.01, None) <= 0.0:
                old, new = group[a], group[b]
                group = {g: new if name == old else name for g, name in group.items()}
    return len(set(group.values()))


def test_all_parts_meet_in_every_pose(spec: RobotSpec) -> None:
    dressed = picture_model(spec)
    share = RNG.uniform(size=(4, spec.num_joints))
    poses = [spec.default_joint_pos, spec.joint_lower, spec.joint_upper]
    poses += list(spec.joint_lower + share * (spec.joint_upper - spec.joint_lower))
    assert [pieces(dressed, spec, pose) for pose in poses] == [1] * len(poses)
    assert pieces(compile_model(spec), spec, spec.default_joint_pos) > 1  # what the MJCF alone leaves open


def test_colours_say_left_right_and_servo(spec: RobotSpec) -> None:
    dressed = picture_model(spec)
    side = dict.fromkeys(range(1, dressed.nbody), CENTER)
    for name, role in zip(spec.joint_names, spec.roles, strict=True):
        if role.side is not None:
            side[int(dressed.joint(name).bodyid[0])] = (LEFT, RIGHT)[role.side]
    servos = 0
    for g in drawn(dressed):
        color = tuple(np.round(dressed.geom_rgba[g].astype(float), 4))
        servos += color == SERVO
        assert color in (SERVO, side[int(dressed.geom_bodyid[g])])
    assert servos == spec.num_joints
    assert len({LEFT, RIGHT, CENTER, SERVO}) == 4


def test_the_dressed_robot_moves_as_the_bare_one_to_the_last_bit(spec: RobotSpec) -> None:
    states = []
    for model in (compile_model(spec), picture_model(spec)):
        data, trace = mujoco.MjData(model), []
        target = np.random.default_rng(1).uniform(-0.3, 0.3, (100, model.nu))
        for ctrl in target:  # it stands, staggers and falls
            data.ctrl[:] = ctrl
            for _ in range(4):
                mujoco.mj_step(model, data)
            trace.append(np.concatenate([data.qpos, data.qvel, data.sensordata, [data.ncon]]))
        states.append(np.array(trace))
    assert states[0][:, -1].max() > 4
    assert np.array_equal(states[0], states[1])


def test_what_is_simulated_has_the_shapes_of_its_mjcf_and_no_others(spec: RobotSpec) -> None:
    alone = mujoco.MjModel.from_xml_path(str(spec.mjcf_path))
    bare, dressed = compile_model(spec), picture_model(spec)
    assert bare.ngeom == alone.ngeom < dressed.ngeom
    for field in ("geom_rgba", "geom_contype", "geom_conaffinity", "geom_size", "geom_pos"):
        assert np.array_equal(getattr(bare, field), getattr(alone, field)), field
    assert np.array_equal(dressed.body_mass, alone.body_mass)
    assert np.array_equal(dressed.body_inertia, alone.body_inertia)


def test_a_film_is_drawn_with_the_dressed_robot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn_with = []

    class Writer:
        def __init__(self, path: Path, model: Any, **sizes: Any) -> None:
            drawn_with.append(model.ngeom)

        def __enter__(self) -> Writer:
            return self

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr(reel, "VideoWriter", Writer)
    robot = load_robot()
    simulation = Simulation(robot, 1, threads=1)
    reel.Reel(simulation).write(tmp_path / "x.mp4")
    assert drawn_with == [picture_model(robot).ngeom]
    assert simulation.model.ngeom < drawn_with[0]
