"""Tracking task: execute planned clips in simulation (DeepMimic, Peng et al. 2018, reference-state initialisation)."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from wildrobot.core.rotations import rotate_heading, wrap_angle
from wildrobot.core.state import Stateful
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.mirror import POLAR, SAME, Mirror, joined
from wildrobot.signal_path.observation import Layout, make_layout
from wildrobot.simulation.simulation import Simulation, Truth
from wildrobot.training.tasks import rewards
from wildrobot.training.tasks.clip_library import ClipLibrary
from wildrobot.training.tasks.environment import AVERAGED_S, InitialState, PelvisMotion, StepData

Array = NDArray[np.float64]


ANCHOR_SHARE = 0.004
"""Share of the ground drift that the plan gives in to per tick: it asks for the plan's velocity, not for a place."""


SEEN_DRIFT_M, SEEN_YAW_RAD = 0.3, 0.5
"""How much of the distance to the plan the tracker is shown."""


@dataclass(frozen=True)
class TrackingWeights:
    """Weight of each reward term; the positive ones add up to one."""

    pose: float = 0.25
    velocity: float = 0.05
    root_velocity: float = 0.1
    speed: float = 0.2
    """Forward speed averaged over half a stride: what makes a fast plan a fast walk where the servos lag behind it."""
    turn: float = 0.1
    """Yaw rate, averaged likewise: the feet slip in a turn, and no robot walks straight by itself."""
    root_position: float = 0.05
    upright: float = 0.1
    contact: float = 0.15
    feet_apart: float = -0.3
    """From feet that are nearer than `TrackingKernels.feet_apart_m`, where it begins, to touching ones."""
    action_rate: float = -0.02
    saturation: float = -0.4


@dataclass(frozen=True)
class TrackingKernels:
    """Of the reward terms (`rewards.py`): width in exp(-(error / width)^2), sharpness in exp(-sharpness error^2)."""

    pose_per_rad2: float = 4.0
    """Sharpness in the joint angles."""
    velocity_s2: float = 0.03
    """Sharpness in the joint velocities."""
    root_velocity_s2_m2: float = 30.0
    """Sharpness in the pelvis's velocity."""
    root_yaw_rate_s2: float = 2.0
    """Sharpness in the pelvis's yaw rate."""
    speed_m_s: float = 0.06
    """Width, averaged forward speed."""
    turn_rad_s: float = 0.2
    """Width, averaged yaw rate."""
    root_position_per_m2: float = 20.0
    """Sharpness in the pelvis's place on the floor."""
    root_height_per_m2: float = 200.0
    """Sharpness in the pelvis's height."""
    root_yaw_per_rad2: float = 4.0
    """Sharpness in the heading."""
    upright: float = 20.0
    """Sharpness in the direction of up, a unit vector."""
    feet_apart_m: float = 0.03
    """Distance of the feet's inner edges below which they are too near each other."""


@dataclass(frozen=True)
class TrackingConfig:
    """Where episodes begin and end, and what is paid for."""

    joint_noise_rad: float = 0.01
    """Standard deviation of joint angles about the clip's where an episode begins."""
    shortest_frames: int = 25
    """An episode begins at least so many frames before the clip's end."""
    fallen_height: float = 0.6
    """Pelvis height below which a robot has fallen, as a share of the standing one."""
    fallen_up: float = 0.6
    """Cosine of the pelvis's tilt below which it has fallen."""
    weights: TrackingWeights = TrackingWeights()
    kernels: TrackingKernels = TrackingKernels()


def tracking_layout(spec: RobotSpec) -> Layout:
    """What the tracker sees of the robot; the rest of its observation is the plan."""
    frames = {"features": 1, "projected_gravity": 1, "linear_velocity": 1, "previous_action": 1}
    return make_layout(spec, frames)


def _feet_width(sim: Simulation) -> float:
    """Half widths of both feet, m, from the boxes that the model lets touch each other; 0 if it has none."""
    model, spec = sim.model, sim.spec
    feet = {int(model.site(name).bodyid[0]) for name in spec.foot_names}
    for geoms in zip(model.pair_geom1.tolist(), model.pair_geom2.tolist(), strict=True):
        boxes = all(model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX for geom in geoms)
        if boxes and {int(model.geom_bodyid[geom]) for geom in geoms} == feet:
            return float(sum(model.geom_size[geom, 1] for geom in geoms))
    return 0.0


class TrackingTask(Stateful):
    """Follow a clip from a random frame of it; the policy's action is a correction to the plan's next pose."""

    state_fields = ("_rng", "clip", "frame", "_last_action", "_shift", "_behind")
    heading_hold = False

    def __init__(
        self,
        spec: RobotSpec,
        library: ClipLibrary,
        sim: Simulation,
        seed: int,
        config: TrackingConfig = TrackingConfig(),
        from_start: bool = False,
    ) -> None:
        self.spec, self.library, self.sim, self.config = spec, library, sim, config
        self.from_start = from_start
        self._rng = np.random.default_rng(seed)
        num_envs = sim.num_envs
        self.clip = np.arange(num_envs) % len(library.clips)
        self.frame = np.zeros(num_envs, dtype=np.int64)
        self._last_action = np.zeros((num_envs, spec.num_joints))
        self._shift = np.zeros((num_envs, 3))
        self._behind = np.zeros((num_envs, 2))
        self._width = _feet_width(sim)
        n = spec.num_joints
        self.obs_size = 2 * n + 2 + 2 + 1 + 1 + 3 + 1 + 3

    def obs_mirror(self) -> Mirror:
        """Index and sign of `observation`'s mirror image."""
        joints = self.spec.mirror.joints
        clock = (np.arange(2), np.array([-1.0, -1.0]))
        odd = (np.arange(1), -np.ones(1))
        behind = (np.arange(2), np.array([1.0, -1.0]))
        return joined([joints, joints, clock, behind, odd, SAME, POLAR, odd, POLAR])

    def at(self, offset: int = 0) -> NDArray[np.int64]:
        """Each row's place (N,) in the library, `offset` frames on (at most at its clip's end)."""
        frame = np.minimum(self.frame + offset, self.library.length[self.clip] - 1)
        at: NDArray[np.int64] = self.library.begin[self.clip] + frame
        return at

    def reset(self, rows: NDArray[np.int64]) -> InitialState:
        """Random clip and frame (or each row's own clip from its first frame), with a little noise."""
        library, rng, config = self.library, self._rng, self.config
        if self.from_start:
            self.frame[rows] = 0
        else:
            self.clip[rows] = rng.integers(len(library.clips), size=len(rows))
            last = library.length[self.clip[rows]] - config.shortest_frames
            self.frame[rows] = rng.integers(np.maximum(1, last))
        at = self.at()[rows]
        qpos, qvel = self.sim.home(len(rows))
        qpos[:, :3], qpos[:, 3:7] = library.root_position[at], library.root_quaternion[at]
        qpos[:, self.sim.joint_qpos] = library.joint_position[at]
        qvel[:, :3], qvel[:, 3:6] = library.root_velocity[at], library.root_rate_pelvis[at]
        qvel[:, self.sim.joint_qvel] = library.joint_velocity[at]
        qpos[:, self.sim.joint_qpos] += rng.normal(
            0.0, config.joint_noise_rad, (len(rows), self.spec.num_joints)
        )
        self._last_action[rows] = 0.0
        self._shift[rows] = 0.0
        return InitialState(qpos, qvel, np.zeros(len(rows)), np.zeros(len(rows)))

    def command(self) -> Array:
        """The clip's own command at this frame."""
        value: Array = self.library.command[self.at()]
        return value

    def process_action(self, action: Array) -> Array:
        """The tracker's correction, added to the plan's next pose, in the units of a policy's action."""
        plan = self.library.joint_position[self.at(1)]
        value: Array = (plan - self.spec.default_joint_pos) / self.spec.action_scale + action
        return value

    def _drift(self, truth: Truth) -> Array:
        """Where the robot is against the plan (N, 3), m, world. The plan's ground position follows it slowly."""
        value: Array = truth.pelvis_position - self.library.root_position[self.at()] - self._shift
        return value

    def observation(self, truth: Truth, motion: PelvisMotion) -> Array:
        """The plan's next pose, and where the robot is against the plan."""
        library, at, following = self.library, self.at(), self.at(1)
        error = rotate_heading(motion.yaw, -self._drift(truth), inverse=True)
        return np.concatenate(
            [
                library.joint_position[following] - self.spec.default_joint_pos,
                0.1 * library.joint_velocity[following],
                library.clock[at],
                np.clip(error[:, :2], -SEEN_DRIFT_M, SEEN_DRIFT_M),
                np.clip(wrap_angle(library.yaw[at] - motion.yaw), -SEEN_YAW_RAD, SEEN_YAW_RAD)[:, None],
                error[:, 2:],
                library.velocity_heading[at],
                library.yaw_rate[at][:, None],
                motion.velocity,
            ],
            axis=-1,
        )

    def _feet_gap(self, truth: Truth, motion: PelvisMotion) -> Array:
        """Sideways distance of the feet's inner edges (...), m."""
        left, right = self.spec.foot_pads
        soles = truth.foot_position
        between = soles[..., left, :].mean(axis=-2) - soles[..., right, :].mean(axis=-2)
        gap: Array = rotate_heading(motion.yaw, between, inverse=True)[..., 1] - self._width
        return gap

    def critic_observation(self, data: StepData) -> Array:
        """Time left in the clip, s (capped), and what forward speed and yaw rate lack, averaged."""
        left = np.minimum(data.task["left_s"], 1.0)
        return np.concatenate([left[..., None], data.task["behind"]], axis=-1)

    def critic_mirror(self) -> Mirror:
        """Index and sign of `critic_observation`'s mirror image."""
        return np.arange(3), np.array([1.0, 1.0, -1.0])

    def step(
        self, truth: Truth, motion: PelvisMotion, action: Array, reset: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], dict[str, Array]]:
        """Move on by one frame; keep where the plan was."""
        self.frame = np.where(reset, self.frame, self.frame + 1)
        library, at, was_reset = self.library, self.at(), reset[:, None]
        drift = self._drift(truth)
        self._shift[:, :2] += np.where(was_reset, 0.0, ANCHOR_SHARE * drift[:, :2])
        forward = motion.velocity[:, 0] - library.velocity_heading[at, 0]
        turn = motion.angular_velocity[:, 2] - library.yaw_rate[at]
        share = self.spec.control_dt / AVERAGED_S
        error = np.stack([forward, turn], axis=-1)
        self._behind = np.where(was_reset, 0.0, self._behind + share * (error - self._behind))
        left = library.length[self.clip] - self.frame
        kept = {
            "at": at,
            "drift": drift,
            "behind": self._behind,
            "left_s": left * self.spec.control_dt,
            "action_step": np.where(was_reset, 0.0, action - self._last_action),
        }
        self._last_action = action
        low = motion.height < self.config.fallen_height * self.spec.standing_height
        return low | (motion.up[:, 2] < self.config.fallen_up), left <= 1, kept

    def compute_rewards(self, data: StepData) -> tuple[dict[str, Array], dict[str, Array]]:
        """For being where the plan is."""
        library, k, truth, motion, kept = (
            self.library,
            self.config.kernels,
            data.truth,
            data.motion,
            data.task,
        )
        at, behind = kept["at"], kept["behind"]
        pose_error = truth.joint_position - library.joint_position[at]
        joint_velocity_error = truth.joint_velocity - library.joint_velocity[at]
        velocity_error = motion.velocity - library.velocity_heading[at]
        yaw_rate_error = motion.angular_velocity[..., 2] - library.yaw_rate[at]
        yaw_error = wrap_angle(motion.yaw - library.yaw[at])
        contact = truth.foot_force > self.spec.foot_switch.on_n
        terms = {
            "pose": rewards.squared_distance(pose_error, k.pose_per_rad2),
            "velocity": rewards.squared_distance(joint_velocity_error, k.velocity_s2),
            "root_velocity": rewards.root_velocity(
                velocity_error, yaw_rate_error, k.root_velocity_s2_m2, k.root_yaw_rate_s2
            ),
            "speed": rewards.gaussian(behind[..., 0], k.speed_m_s),
            "turn": rewards.gaussian(behind[..., 1], k.turn_rad_s),
            "root_position": rewards.root_position(
                kept["drift"], yaw_error, k.root_position_per_m2, k.root_height_per_m2, k.root_yaw_per_rad2
            ),
            "upright": rewards.squared_distance(motion.up - library.up[at], k.upright),
            "contact": rewards.same_contact(contact, library.contact[at] > 0.5),
            "feet_apart": rewards.feet_too_near(self._feet_gap(truth, motion), k.feet_apart_m),
            "action_rate": rewards.action_rate(kept["action_step"]),
            "saturation": rewards.saturation(truth.saturated),
        }
        figures = {
            "joint_rmse_rad": np.sqrt(np.sum(pose_error**2, axis=-1) / pose_error.shape[-1]),
            "saturation": terms["saturation"],
        }
        return rewards.weighted(terms, self.config.weights), figures
