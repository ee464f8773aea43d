"""Left and right change places exactly: in the map, features and observations, the policy, the physics."""

from __future__ import annotations

import dataclasses
from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from kinematics_helpers import torso_rotation

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.mujoco_model import compile_model
from wildrobot.signal_path.features import feature_mirror, feature_names, mirror_features
from wildrobot.signal_path.observation import (
    DEFAULT_FRAMES,
    Layout,
    default_layout,
    layout_size,
    make_layout,
    observation_mirror,
    term_sizes,
)
from wildrobot.signal_path.path import SignalPath
from wildrobot.simulation.randomization.config import NOMINAL
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.rl.networks import Critic, Parts, SymmetricActor
from wildrobot.training.tasks.clip_library import ClipLibrary
from wildrobot.training.tasks.environment import Environment, InitialState
from wildrobot.training.tasks.tracking import TrackingTask, tracking_layout
from wildrobot.training.tasks.walking import WalkingConfig, WalkingTask

REFLECT = np.array([1.0, -1.0, 1.0])
AXIAL = np.array([-1.0, 1.0, -1.0])


def poses(spec: RobotSpec, count: int = 200) -> Any:
    return np.random.default_rng(0).uniform(spec.joint_lower, spec.joint_upper, (count, spec.num_joints))


def mirror_joints(spec: RobotSpec, q: Any, sign: Any = None) -> Any:
    return q[..., spec.mirror.joint_index] * (spec.mirror.joint_sign if sign is None else sign)


def check_feet_mirror(spec: RobotSpec, sign: Any = None) -> None:
    """Mirrored joints give mirrored foot points, at random poses."""
    q = poses(spec)
    mirrored = spec.kinematics.foot_points(mirror_joints(spec, q, sign))[:, spec.mirror.foot_index]
    np.testing.assert_allclose(mirrored, spec.kinematics.foot_points(q) * REFLECT, atol=1e-9)


def test_mirrored_joints_give_mirrored_foot_points(spec: RobotSpec) -> None:
    check_feet_mirror(spec)


def test_mirrored_joints_give_the_mirrored_torso(spec: RobotSpec) -> None:
    q, reflect = poses(spec), np.diag(REFLECT)
    torso = torso_rotation(spec.kinematics, q)
    mirrored = torso_rotation(spec.kinematics, mirror_joints(spec, q))
    np.testing.assert_allclose(mirrored, reflect @ torso @ reflect, atol=1e-12)


@pytest.mark.parametrize("joint", range(1, 9))
def test_one_wrong_sign_of_a_leg_is_seen_by_the_feet(spec: RobotSpec, joint: int) -> None:
    sign = spec.mirror.joint_sign.copy()
    sign[joint] *= -1.0
    with pytest.raises(AssertionError):
        check_feet_mirror(spec, sign)


def test_mirrored_poses_stay_inside_the_limits(spec: RobotSpec) -> None:
    corners = np.stack([spec.joint_lower, spec.joint_upper])
    for q in (poses(spec), corners):
        mirrored = mirror_joints(spec, q)
        assert np.all(mirrored >= spec.joint_lower - 1e-12)
        assert np.all(mirrored <= spec.joint_upper + 1e-12)


def test_the_home_pose_is_its_own_mirror_image(spec: RobotSpec) -> None:
    np.testing.assert_array_equal(mirror_joints(spec, spec.default_joint_pos), spec.default_joint_pos)
    np.testing.assert_array_equal(spec.action_scale[spec.mirror.joint_index], spec.action_scale)


def test_hip_roll_and_waist_change_sign_and_pitch_does_not(spec: RobotSpec) -> None:
    for name, sign, index in zip(
        spec.joint_names, spec.mirror.joint_sign, spec.mirror.joint_index, strict=True
    ):
        assert sign == (-1.0 if name.endswith(("roll", "yaw")) else 1.0)
        swapped = name.replace("left", "L").replace("right", "left").replace("L", "right")
        assert spec.joint_names[index] == swapped


def check_involution(index: Any, sign: Any) -> None:
    np.testing.assert_array_equal(index[index], np.arange(len(index)))
    np.testing.assert_array_equal(sign * sign[index], np.ones(len(index)))


def test_every_mirror_undoes_itself(spec: RobotSpec) -> None:
    check_involution(spec.mirror.joint_index, spec.mirror.joint_sign)
    check_involution(spec.mirror.foot_index, np.ones(4))
    check_involution(*feature_mirror(spec))
    check_involution(*observation_mirror(spec, every_slice(spec)))


def test_the_mirror_of_a_feature_is_the_feature_of_the_other_side(spec: RobotSpec) -> None:
    names = feature_names(spec)
    index, sign = feature_mirror(spec)
    assert names[index[names.index("contact/left_toe")]] == "contact/right_toe"
    assert names[index[names.index("joint_velocity/right_hip_roll")]] == "joint_velocity/left_hip_roll"
    flipped = {name for name, s in zip(names, sign, strict=True) if s < 0 and not name.startswith("joint")}
    assert flipped == {"velocity_direction/y", "angular_velocity/x", "angular_velocity/z"}


def reach_of_actor(actor: SymmetricActor) -> SymmetricActor:
    """Give it weights, statistics and answers that are large and lopsided."""
    for parameter in actor.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    size = len(actor.normalizer.index)
    actor.normalizer.update(3.0 * torch.randn(100, size) + torch.linspace(-2.0, 2.0, size))
    return actor.double()


def check_equivariant(spec: RobotSpec, actor: SymmetricActor) -> None:
    index, sign = actor.normalizer.index, actor.normalizer.sign
    obs = torch.randn(50, len(index), dtype=torch.float64)
    with torch.no_grad():
        answer, mirrored = actor(obs), actor(obs[:, index] * sign)
    assert answer.abs().mean() > 0.1
    expected = answer.numpy()[:, spec.mirror.joint_index] * spec.mirror.joint_sign
    np.testing.assert_allclose(mirrored.numpy(), expected, atol=1e-12)


def test_the_actor_answers_the_mirrored_observation_with_the_mirrored_action(spec: RobotSpec) -> None:
    check_equivariant(spec, reach_of_actor(SymmetricActor(spec, default_layout(spec), (16, 8))))


@pytest.mark.parametrize("mistake", ["bias of an odd part", "statistics of one side"])
def test_an_actor_that_is_not_quite_symmetric_is_seen(spec: RobotSpec, mistake: str) -> None:
    actor = reach_of_actor(SymmetricActor(spec, default_layout(spec), (16, 8)))
    if mistake == "bias of an odd part":
        actor.net.layers[0].odd.bias = torch.nn.Parameter(torch.ones(8, dtype=torch.float64))
    else:
        actor.normalizer.mean += torch.linspace(-1.0, 1.0, len(actor.normalizer.index))
    with pytest.raises(AssertionError):
        check_equivariant(spec, actor)


def test_even_and_odd_parts_keep_lengths_and_lead_back(spec: RobotSpec) -> None:
    index, sign = observation_mirror(spec, default_layout(spec))
    parts = Parts((index, sign))
    matrix = parts.matrix()
    torch.testing.assert_close(matrix.T @ matrix, torch.eye(parts.size))
    x = torch.randn(5, parts.size)
    torch.testing.assert_close(parts(x) @ matrix, x)
    turned = parts(x[:, torch.as_tensor(index.copy())] * torch.as_tensor(sign.copy()).float())
    torch.testing.assert_close(turned[:, : parts.even], parts(x)[:, : parts.even])
    torch.testing.assert_close(turned[:, parts.even :], -parts(x)[:, parts.even :])


def test_hidden_layers_come_in_pairs(spec: RobotSpec) -> None:
    with pytest.raises(UserError, match="even numbers"):
        SymmetricActor(spec, default_layout(spec), (16, 7))


def test_the_tracker_s_plan_is_mirrored_with_its_observation(spec: RobotSpec, squat: Any) -> None:
    sim = Simulation(spec, 1, threads=1)
    task = TrackingTask(spec, ClipLibrary(spec, [squat], 10), sim, seed=0)
    index, sign = task.obs_mirror()
    assert len(index) == task.obs_size
    check_involution(index, sign)
    actor = SymmetricActor(spec, tracking_layout(spec), (16, 8), task_mirror=(index, sign))
    check_equivariant(spec, reach_of_actor(actor))


def symmetric_model(spec: RobotSpec) -> Any:
    """The robot with its torso's centre of mass, 2.5 mm to the left on the real one, in the middle."""
    model = compile_model(spec)
    model.body_ipos[model.body(spec.config.torso_body).id, 1] = 0.0
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def symmetric_simulation(spec: RobotSpec) -> Simulation:
    still = dataclasses.replace(NOMINAL, random_yaw_zero=False)
    return Simulation(spec, 2, randomization=still, threads=1, model=symmetric_model(spec))


PHASE = np.array([0.7, 0.7 + np.pi])
COMMAND = np.array([[0.3, 0.2], [0.3, -0.2]])


def mirrored_states(spec: RobotSpec, sim: Simulation, rng: Any, sign: Any = None) -> tuple[Any, Any]:
    """qpos (2, nq) and qvel (2, nv) of a crooked robot in motion and of its mirror image."""
    n = spec.num_joints
    qpos, qvel = sim.home(2)
    lean = np.array([0.06, -0.04, 0.3])
    qpos[0, :3] += [0.3, 0.2, 0.005]
    quat = np.empty(4)
    mujoco.mju_euler2Quat(quat, lean, "xyz")
    qpos[0, 3:7] = quat
    q = qpos[0, sim.joint_qpos] + rng.normal(0.0, 0.05, n)
    qd = rng.normal(0.0, 0.5, n)
    qpos[0, sim.joint_qpos], qvel[0, sim.joint_qvel] = q, qd
    qvel[0, :6] = [0.3, 0.1, 0.0, 0.2, -0.1, 0.4]
    qpos[1, :3], qpos[1, 3:7] = qpos[0, :3] * REFLECT, quat * [1.0, -1.0, 1.0, -1.0]
    qpos[1, sim.joint_qpos] = mirror_joints(spec, q, sign)
    qvel[1, sim.joint_qvel] = mirror_joints(spec, qd, sign)
    qvel[1, :3], qvel[1, 3:6] = qvel[0, :3] * REFLECT, qvel[0, 3:6] * AXIAL
    return qpos, qvel


def every_slice(spec: RobotSpec) -> Layout:
    """A layout of all the slices that there are."""
    return make_layout(spec, {name: DEFAULT_FRAMES.get(name, 1) for name in term_sizes(spec)})


def mirrored_run(spec: RobotSpec, ticks: int, sign: Any = None) -> tuple[Any, Any]:
    """Features and observations (ticks, 2, ...) of a robot and of its mirror image, half a stride apart."""
    sim, rng = symmetric_simulation(spec), np.random.default_rng(5)
    sim.reset(None, *mirrored_states(spec, sim, rng, sign))
    path = SignalPath(spec, every_slice(spec))
    frame = sim.frame()
    path.reset(frame, phase=PHASE)
    features, observations = [], []
    for _ in range(ticks):
        signal = path.observe(frame, COMMAND)
        features.append(signal.features)
        observations.append(signal.observation)
        action = rng.normal(0.0, 0.4, spec.num_joints)
        sim.step(path.act(np.stack([action, mirror_joints(spec, action, sign)])))
        frame = sim.frame()
    return np.array(features), np.array(observations)


def check_mirrored_run(spec: RobotSpec, sign: Any = None) -> None:
    features, observations = mirrored_run(spec, 20, sign)
    contacts = features[:, 0, -4:]
    assert 0.0 < contacts.mean() < 1.0  # the feet do something
    np.testing.assert_allclose(mirror_features(spec, features[:, 0]), features[:, 1], atol=1e-6)
    index, flip = observation_mirror(spec, every_slice(spec))
    np.testing.assert_allclose(observations[:, 0, index] * flip, observations[:, 1], atol=1e-5)


def test_a_mirrored_simulation_gives_mirrored_features_and_observations(spec: RobotSpec) -> None:
    check_mirrored_run(spec)


class MirroredWalk(WalkingTask):
    """Two robots that are each other's mirror image, and so are their commands."""

    def reset(self, rows: Any) -> InitialState:
        self._command[:] = COMMAND
        self._change_at[:] = np.inf
        states = mirrored_states(self.spec, self.sim, np.random.default_rng(5))
        return InitialState(*states, phase=PHASE, heading_error=np.array([0.2, -0.2]))


class MirroredTracking(TrackingTask):
    def reset(self, rows: Any) -> InitialState:
        states = mirrored_states(self.spec, self.sim, np.random.default_rng(5))
        return InitialState(*states, phase=np.zeros(2), heading_error=np.zeros(2))


@pytest.mark.parametrize("kind", ["walk", "track"])
def test_a_mirrored_simulation_gives_mirrored_observations_of_actor_and_critic(
    spec: RobotSpec, walking_reference: Any, squat: Any, kind: str
) -> None:
    sim = symmetric_simulation(spec)
    task: Any = MirroredWalk(spec, sim, walking_reference, WalkingConfig(), seed=0)
    if kind == "track":
        task = MirroredTracking(spec, ClipLibrary(spec, [squat], 50), sim, seed=0)
    env = Environment(
        spec, sim, task, default_layout(spec) if kind == "walk" else tracking_layout(spec), window_frames=1
    )
    env.reset()
    rng, joints = np.random.default_rng(6), spec.mirror
    for _ in range(8):
        action = rng.normal(0.0, 0.4, spec.num_joints)
        step = env.step(np.stack([action, action[joints.joint_index] * joints.joint_sign]))
        for seen, (index, sign) in ((step.obs, env.obs_mirror), (step.critic_obs, env.critic_mirror)):
            assert seen.shape[1] == len(index)
            np.testing.assert_allclose(seen[0, index] * sign, seen[1], atol=1e-5)
        np.testing.assert_allclose(step.rewards.total[0], step.rewards.total[1], atol=1e-6)
    assert not np.allclose(step.critic_obs[0], step.critic_obs[1], atol=1e-2)


def test_the_critic_values_a_state_like_its_mirror_image(spec: RobotSpec) -> None:
    mirror = observation_mirror(spec, default_layout(spec))
    critic = Critic(mirror, (16, 8), streams=2)
    index, sign = critic.normalizer.index, critic.normalizer.sign
    critic.normalizer.update(torch.randn(100, len(index)) + 1.0)
    obs = torch.randn(50, len(index), dtype=torch.float64)
    critic.double()
    with torch.no_grad():
        value, mirrored = critic(obs), critic(obs[:, index] * sign)
    torch.testing.assert_close(value, mirrored, atol=1e-12, rtol=0.0)
    assert value.std() > 0.01


@pytest.mark.parametrize("joint", [0, 2, 5])
def test_a_mirrored_simulation_sees_one_wrong_sign(spec: RobotSpec, joint: int) -> None:
    sign = spec.mirror.joint_sign.copy()
    sign[joint] *= -1.0
    with pytest.raises(AssertionError):
        check_mirrored_run(spec, sign)


def test_the_observation_has_the_size_its_layout_says(spec: RobotSpec) -> None:
    _, observations = mirrored_run(spec, 1)
    assert observations.shape == (1, 2, layout_size(every_slice(spec)))
