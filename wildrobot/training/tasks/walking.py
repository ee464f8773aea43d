"""Walking task: follow a velocity command; the style comes from the motion prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.config import check_least
from wildrobot.core.state import Stateful
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.mirror import Mirror
from wildrobot.signal_path.command import is_moving
from wildrobot.simulation.simulation import Simulation, Truth, fallen
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.tasks import rewards
from wildrobot.training.tasks.environment import AVERAGED_S, InitialState, PelvisMotion, StepData

Array = NDArray[np.float64]


@dataclass(frozen=True)
class WalkingWeights:
    """Weight of each reward term per control tick; the positive ones add up to about one."""

    forward: float = 0.40
    """Forward speed, averaged over half a stride, as commanded."""
    lateral: float = 0.08
    yaw_rate: float = 0.30
    contact: float = 0.12
    """Feet on the floor and off it as the gait clock says; all of them while standing."""
    clearance: float = 0.15
    """Height of the swing sole at mid-swing; paid in full while standing."""
    upright: float = 0.08
    stand_still: float = -0.4
    """Distance from the home pose and joint speed while commanded to stand."""
    action_rate: float = -0.01
    saturation: float = -0.6
    """Share of servos at their voltage limit."""
    slip: float = -0.15
    """Horizontal speed of soles in contact, m/s."""


@dataclass(frozen=True)
class WalkingKernels:
    """Widths and thresholds of the reward terms (`rewards.py`); a Gaussian kernel pays exp(-(error / width)^2)."""

    forward_m_s: tuple[float, float] = (0.08, 0.3)
    """Narrow and wide kernel of the forward speed's error."""
    lateral_m_s: float = 0.1
    yaw_rate_rad_s: tuple[float, float] = (0.1, 0.3)
    """Narrow and wide kernel of the yaw rate's error."""
    swing_sine: float = 0.35
    """Sine of a foot's phase above which it is to be aloft. Below 0 it is to stand, in between both are right."""
    mid_swing_sine: float = 0.8
    """Sine of a foot's phase above which its height is paid for."""
    clearance_m: float = 0.03
    """Height of the swing sole that is paid in full."""
    upright: float = 0.03
    """Of 1 - cos tilt, exponential: 14 degrees pay 0.37."""
    joint_speed_s2: float = 0.05
    """Squared joint speed against squared distance from the home pose while standing."""
    stand_still_rad2: float = 1.0
    """That sum counts up to here."""
    slip_m_s: float = 1.0
    """A sole's speed counts up to here."""

    def __post_init__(self) -> None:
        check_least(
            self,
            forward_m_s=1e-6,
            lateral_m_s=1e-6,
            yaw_rate_rad_s=1e-6,
            clearance_m=1e-6,
            upright=1e-6,
            slip_m_s=0.0,
        )


@dataclass(frozen=True)
class WalkingConfig:
    """Commands, resets and rewards."""

    speed: tuple[float, float] = (0.06, 0.6)
    """Commanded forward speed while walking, m/s."""
    yaw_rate: tuple[float, float] = (-0.4, 0.4)
    stand_share: float = 0.12
    """Share of commands that are exactly zero."""
    turn_share: float = 0.25
    """Share of walking commands with a yaw rate of their own; the others hold their heading."""
    command_s: tuple[float, float] = (3.0, 7.0)
    """Time until the next command."""
    first_stand_s: tuple[float, float] = (0.3, 2.0)
    """Time until the first command of an episode that begins standing."""
    reference_resets: float = 0.75
    """Share of episodes that begin in a state of the reference; the others stand at home, commanded to stand."""
    heading_error_rad: float = 0.4
    """Largest heading error to be corrected at the start of an episode."""
    straight_rad_s: float = 0.05
    """A frame of the reference with a smaller commanded yaw rate walks straight on."""
    home_noise_rad: float = 0.02
    """Standard deviation of joint angles where an episode begins at home."""
    weights: WalkingWeights = WalkingWeights()
    kernels: WalkingKernels = WalkingKernels()


class WalkingTask(Stateful):
    """Velocity command, reference-state initialisation, rewards from the simulator's truth."""

    state_fields = ("_rng", "_command", "_change_at", "_time", "_last_action", "_last_soles", "_filtered")
    heading_hold = True
    obs_size = 0

    def __init__(
        self, spec: RobotSpec, sim: Simulation, reference: ReferenceDataset, config: WalkingConfig, seed: int
    ) -> None:
        self.spec, self.sim, self.config = spec, sim, config
        self._starts = {name: reference.arrays[name] for name in ("qpos", "qvel", "command", "phase")}
        self._rng = np.random.default_rng(seed)
        count = sim.num_envs
        self._command = np.zeros((count, 2))
        self._change_at = np.zeros(count)
        self._time = np.zeros(count)
        self._last_action = np.zeros((count, spec.num_joints))
        self._last_soles = np.zeros((count, spec.num_feet, 3))
        self._filtered = np.zeros((count, 3))
        self._left = spec.foot_side == 0

    def reset(self, rows: NDArray[np.int64]) -> InitialState:
        """From a random frame of the reference with its own command, or standing at home with none."""
        rng, config, count = self._rng, self.config, len(rows)
        qpos, qvel = self.sim.home(count)
        qpos[:, self.sim.joint_qpos] += rng.normal(0.0, config.home_noise_rad, (count, self.spec.num_joints))
        phase, error = np.zeros(count), np.zeros(count)
        command = np.zeros((count, 2))
        from_reference = np.flatnonzero(rng.random(count) < config.reference_resets)
        starts = self._starts
        frames = rng.integers(len(starts["qpos"]), size=len(from_reference))
        qpos[from_reference] = starts["qpos"][frames]
        qvel[from_reference] = starts["qvel"][frames]
        command[from_reference] = starts["command"][frames]
        phase[from_reference] = starts["phase"][frames]
        straight = np.abs(command[:, 1]) < config.straight_rad_s
        command[straight, 1] = 0.0
        moving = is_moving(self.spec, command)
        command[moving, 0] = np.clip(command[moving, 0], *config.speed)
        command[~moving] = 0.0
        error[moving & straight] = (
            rng.uniform(-1.0, 1.0, int(np.sum(moving & straight))) * config.heading_error_rad
        )
        self._command[rows] = command
        self._time[rows] = 0.0
        walking, standing = rng.uniform(*config.command_s, count), rng.uniform(*config.first_stand_s, count)
        self._change_at[rows] = np.where(moving, walking, standing)
        return InitialState(qpos, qvel, phase, error)

    def command(self) -> Array:
        """The user's command of this tick, (N, 2)."""
        rows = np.flatnonzero(self._time >= self._change_at)
        if rows.size:
            rng, config, count = self._rng, self.config, len(rows)
            walk = rng.random(count) >= config.stand_share
            turn = walk & (rng.random(count) < config.turn_share)
            speed = np.where(walk, rng.uniform(*config.speed, count), 0.0)
            rate = np.where(turn, rng.uniform(*config.yaw_rate, count), 0.0)
            self._command[rows] = np.stack([speed, rate], axis=-1)
            self._change_at[rows] += rng.uniform(*config.command_s, count)
        return self._command.copy()

    def process_action(self, action: Array) -> Array:
        """The policy's action as it is."""
        return action

    def observation(self, truth: Truth, motion: PelvisMotion) -> Array:
        """Nothing beyond the robot's own observation."""
        return np.zeros((self.sim.num_envs, 0))

    def obs_mirror(self) -> Mirror:
        """Index and sign of `observation`'s mirror image."""
        return np.arange(0), np.ones(0)

    def critic_observation(self, data: StepData) -> Array:
        """The user's command (forward speed, yaw rate), before heading hold, and both speeds and yaw rate averaged."""
        return np.concatenate([data.task["user"], data.task["averaged"]], axis=-1)

    def critic_mirror(self) -> Mirror:
        """Index and sign of `critic_observation`'s mirror image."""
        return np.arange(5), np.array([1.0, -1.0, 1.0, -1.0, -1.0])

    def step(
        self, truth: Truth, motion: PelvisMotion, action: Array, reset: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], dict[str, Array]]:
        """Move on by one tick; keep what its rewards need of the past."""
        dt = self.spec.control_dt
        self._time += dt
        now = np.concatenate([motion.velocity[:, :2], motion.angular_velocity[:, 2:]], axis=-1)
        was_reset = reset[:, None]
        self._filtered = np.where(was_reset, now, self._filtered + dt / AVERAGED_S * (now - self._filtered))
        soles = truth.foot_position
        kept = {
            "user": self._command.copy(),
            "averaged": self._filtered,
            "sole_step": np.where(was_reset[..., None], 0.0, soles - self._last_soles),
            "action_step": np.where(was_reset, 0.0, action - self._last_action),
        }
        self._last_soles, self._last_action = soles, action
        down = fallen(self.spec, truth)
        return down, np.zeros_like(down), kept

    def compute_rewards(self, data: StepData) -> tuple[dict[str, Array], dict[str, Array]]:
        """Reward terms and figures."""
        k, spec, truth, kept = self.config.kernels, self.spec, data.truth, data.task
        command, averaged, clock = data.command, kept["averaged"], data.gait_clock
        moving = is_moving(spec, command)
        speed_error, turn_error = averaged[..., 0] - command[..., 0], averaged[..., 2] - command[..., 1]
        contact = truth.foot_force > spec.foot_switch.on_n
        planned = rewards.planned_contact(clock, moving, self._left, k.swing_sine)
        sole_height = truth.foot_position[..., spec.foot_pads, 2].min(axis=-1)
        joint_offset = truth.joint_position - spec.default_joint_pos
        terms = {
            "forward": rewards.two_gaussians(speed_error, *k.forward_m_s),
            "lateral": rewards.gaussian(averaged[..., 1], k.lateral_m_s),
            "yaw_rate": rewards.two_gaussians(turn_error, *k.yaw_rate_rad_s),
            "contact": rewards.contact_as_planned(contact, planned),
            "clearance": rewards.swing_clearance(clock, sole_height, moving, k.mid_swing_sine, k.clearance_m),
            "upright": rewards.upright(data.motion.up, k.upright),
            "stand_still": rewards.stand_still(
                joint_offset, truth.joint_velocity, moving, k.joint_speed_s2, k.stand_still_rad2
            ),
            "action_rate": rewards.action_rate(kept["action_step"]),
            "saturation": rewards.saturation(truth.saturated),
            "slip": rewards.slip(contact, kept["sole_step"], spec.control_dt, k.slip_m_s),
        }
        figures = {
            "speed_error": np.where(moving, np.abs(speed_error), np.nan),
            "saturation": terms["saturation"],
        }
        return rewards.weighted(terms, self.config.weights), figures
