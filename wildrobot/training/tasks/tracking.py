"""Tracking task: execute planned clips in simulation (DeepMimic, Peng et al. 2018, reference-state initialisation)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from wildrobot.core.rotations import (
    heading_split,
    quat_from_yaw,
    quat_multiply,
    quat_to_matrix,
    rotate_heading,
    rotate_inverse,
    wrap_angle,
)
from wildrobot.core.state import Stateful
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.mirror import POLAR, SAME, Mirror, joined
from wildrobot.signal_path.observation import Layout, make_layout
from wildrobot.simulation.simulation import Simulation, Truth
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.tasks.environment import AVERAGED_S, InitialState, PelvisMotion, StepData

Array = NDArray[np.float64]


ANCHOR_SHARE = 0.004
"""Share of the ground drift that the plan gives in to per tick: it asks for the plan's velocity, not for a place."""


FEET_APART_M = 0.03
"""Distance of the feet's inner edges below which they are too near each other."""


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
    """From `FEET_APART_M` between the inner edges of the feet, where it begins, to touching feet."""
    action_rate: float = -0.02
    saturation: float = -0.4


def tracking_layout(spec: RobotSpec) -> Layout:
    """What the tracker sees of the robot; the rest of its observation is the plan."""
    frames = {"features": 1, "projected_gravity": 1, "linear_velocity": 1, "previous_action": 1}
    return make_layout(spec, frames)


def unroll(clip: PlannedClip, frames: int) -> PlannedClip:
    """A periodic clip repeated to at least `frames` frames, the root carried on by its motion over a period."""
    if not clip.loop or len(clip) >= frames:
        return clip
    count = -(-frames // len(clip))
    yaw = heading_split(quat_to_matrix(clip.root_quaternion))[0]
    # net motion over one period: from frame 0 to the frame that would follow the last
    net = 2.0 * clip.root_position[-1] - clip.root_position[-2] - clip.root_position[0]
    net_yaw = float(wrap_angle(2.0 * yaw[-1] - yaw[-2] - yaw[0]))
    net[2] = 0.0
    positions, quaternions, linear, angular = [], [], [], []
    origin, turn = np.zeros(3), 0.0
    for _ in range(count):
        angle = np.full(len(clip), turn)
        positions.append(
            origin + rotate_heading(angle, clip.root_position - clip.root_position[0] * [1, 1, 0])
        )
        quaternions.append(quat_multiply(quat_from_yaw(angle), clip.root_quaternion))
        linear.append(rotate_heading(angle, clip.root_linear_velocity))
        angular.append(rotate_heading(angle, clip.root_angular_velocity))
        origin = origin + rotate_heading(np.asarray(turn), net)
        turn += net_yaw

    def repeat(values: Any) -> Any:
        return np.concatenate([values] * count)

    return PlannedClip(
        name=clip.name,
        joint_position=repeat(clip.joint_position),
        joint_velocity=repeat(clip.joint_velocity),
        root_position=np.concatenate(positions),
        root_quaternion=np.concatenate(quaternions),
        root_linear_velocity=np.concatenate(linear),
        root_angular_velocity=np.concatenate(angular),
        contact=repeat(clip.contact),
        command=repeat(clip.command),
        phase=repeat(clip.phase),
        moving=repeat(clip.moving),
        loop=False,
        source=clip.source,
    )


class ClipLibrary:
    """Clips laid end to end: arrays (total, ...), first frame `begin` (c,) and length `length` (c,)."""

    def __init__(self, spec: RobotSpec, clips: list[PlannedClip], min_frames: int) -> None:
        for clip in clips:
            clip.check(spec)
        self.clips = [unroll(clip, min_frames) for clip in clips]
        self.length = np.array([len(clip) for clip in self.clips])
        self.begin = np.concatenate([[0], np.cumsum(self.length)[:-1]])

        def stack(name: str) -> Any:
            return np.concatenate([getattr(clip, name) for clip in self.clips])

        self.joint_position, self.joint_velocity = stack("joint_position"), stack("joint_velocity")
        self.root_position, self.root_quaternion = stack("root_position"), stack("root_quaternion")
        self.contact, self.command = stack("contact").astype(np.float64), stack("command")
        self.phase, self.moving = stack("phase"), stack("moving")
        rotation = quat_to_matrix(self.root_quaternion)
        self.yaw, _ = heading_split(rotation)
        self.up = rotation[:, 2, :]
        velocity, rate = stack("root_linear_velocity"), stack("root_angular_velocity")
        self.root_velocity = velocity
        self.root_rate_pelvis = rotate_inverse(rotation, rate)
        self.velocity_heading = rotate_heading(self.yaw, velocity, inverse=True)
        self.yaw_rate = rate[:, 2]
        self.clock = np.stack([np.sin(self.phase), np.cos(self.phase)], axis=-1) * self.moving[:, None]


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
        weights: TrackingWeights = TrackingWeights(),
        from_start: bool = False,
    ) -> None:
        self.spec, self.library, self.sim, self.weights = spec, library, sim, weights
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
        frame = np.minimum(self.frame + offset, self.library.length[self.clip] - 1)
        at: NDArray[np.int64] = self.library.begin[self.clip] + frame
        return at

    def reset(self, rows: NDArray[np.int64]) -> InitialState:
        """Random clip and frame (or each row's own clip from its first frame), with a little noise."""
        library, rng = self.library, self._rng
        if self.from_start:
            self.frame[rows] = 0
        else:
            self.clip[rows] = rng.integers(len(library.clips), size=len(rows))
            self.frame[rows] = rng.integers(np.maximum(1, library.length[self.clip[rows]] - 25))
        at = self.at()[rows]
        qpos, qvel = self.sim.home(len(rows))
        qpos[:, :3], qpos[:, 3:7] = library.root_position[at], library.root_quaternion[at]
        qpos[:, self.sim.joint_qpos] = library.joint_position[at]
        qvel[:, :3], qvel[:, 3:6] = library.root_velocity[at], library.root_rate_pelvis[at]
        qvel[:, self.sim.joint_qvel] = library.joint_velocity[at]
        qpos[:, self.sim.joint_qpos] += rng.normal(0.0, 0.01, (len(rows), self.spec.num_joints))
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
                np.clip(error[:, :2], -0.3, 0.3),
                np.clip(wrap_angle(library.yaw[at] - motion.yaw), -0.5, 0.5)[:, None],
                error[:, 2:],
                library.velocity_heading[at],
                library.yaw_rate[at][:, None],
                motion.velocity,
            ],
            axis=-1,
        )

    def _too_near(self, truth: Truth, motion: PelvisMotion) -> Array:
        """0 where the feet's inner edges are far enough apart, 1 where they touch, (...)."""
        left, right = self.spec.foot_pads
        soles = truth.foot_position
        between = soles[..., left, :].mean(axis=-2) - soles[..., right, :].mean(axis=-2)
        gap = rotate_heading(motion.yaw, between, inverse=True)[..., 1] - self._width
        share: Array = np.clip(1.0 - gap / FEET_APART_M, 0.0, 1.0)
        return share

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
        fallen = (motion.height < 0.6 * self.spec.standing_height) | (motion.up[:, 2] < 0.6)
        return fallen, left <= 1, kept

    def compute_rewards(self, data: StepData) -> tuple[dict[str, Array], dict[str, Array]]:
        """Pay for being where the plan is."""
        library, w, truth, motion, kept = self.library, self.weights, data.truth, data.motion, data.task
        at, drift, behind = kept["at"], kept["drift"], kept["behind"]
        pose = truth.joint_position - library.joint_position[at]
        rate = truth.joint_velocity - library.joint_velocity[at]
        velocity = motion.velocity - library.velocity_heading[at]
        turn = motion.angular_velocity[..., 2] - library.yaw_rate[at]
        yaw = wrap_angle(motion.yaw - library.yaw[at])
        tilt = motion.up - library.up[at]
        contact = np.mean(
            (truth.foot_force > self.spec.foot_switch.on_n) == (library.contact[at] > 0.5), axis=-1
        )
        off = np.sum(pose**2, axis=-1)
        saturation = np.mean(truth.saturated, axis=-1)
        figures = {"joint_rmse_rad": np.sqrt(off / pose.shape[-1]), "saturation": saturation}
        terms = {
            "pose": w.pose * np.exp(-4.0 * off),
            "velocity": w.velocity * np.exp(-0.03 * np.sum(rate**2, axis=-1)),
            "root_velocity": w.root_velocity * np.exp(-30.0 * np.sum(velocity**2, axis=-1) - 2.0 * turn**2),
            "speed": w.speed * np.exp(-((behind[..., 0] / 0.06) ** 2)),
            "turn": w.turn * np.exp(-((behind[..., 1] / 0.2) ** 2)),
            "root_position": w.root_position
            * np.exp(
                -20.0 * np.sum(drift[..., :2] ** 2, axis=-1) - 200.0 * drift[..., 2] ** 2 - 4.0 * yaw**2
            ),
            "upright": w.upright * np.exp(-20.0 * np.sum(tilt**2, axis=-1)),
            "contact": w.contact * contact,
            "feet_apart": w.feet_apart * self._too_near(truth, motion),
            "action_rate": w.action_rate * np.sum(kept["action_step"] ** 2, axis=-1),
            "saturation": w.saturation * saturation,
        }
        return terms, figures
