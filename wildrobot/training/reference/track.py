"""Execute planned clips in simulation: train a tracking policy, record what it does, judge it clip by clip."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import torch

from wildrobot.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.features import feature_names
from wildrobot.runtime.randomization import BASIC, Randomization
from wildrobot.runtime.simulation import Simulation
from wildrobot.training.checkpoint import load_checkpoint, save_checkpoint
from wildrobot.training.environment import Environment
from wildrobot.training.networks import Critic, SymmetricActor
from wildrobot.training.ppo import PPO, PPOConfig
from wildrobot.training.progress import Bar
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.dataset import ARRAYS, FORMAT, SENSOR_FIELDS, ReferenceDataset
from wildrobot.training.runner import Mix, Runner
from wildrobot.training.tracking import ClipLibrary, TrackingTask, tracking_layout


@dataclass(frozen=True)
class Limits:
    """What an executed clip must keep to be accepted."""

    joint_rmse_rad: float = 0.10
    saturation: float = 0.05
    survival: float = 0.5
    sole_depth_m: float = 0.004
    """Deepest 99th percentile of the soles under the floor."""
    weight_error: float = 0.1
    """Mean total foot force against the robot's weight."""
    self_collision: float = 0.03
    """Share of frames in which two parts of the robot touch; a rollout with any such frame is not kept."""


@dataclass(frozen=True)
class TrackConfig:
    """How the tracker is trained and what is recorded."""

    iterations: int = 150
    num_envs: int = 512
    steps: int = 24
    hidden: tuple[int, ...] = (256, 128)
    episode_s: float = 8.0
    """Length to which periodic clips are unrolled."""
    rollouts_per_clip: int = 4
    """Rollouts of the tracker's own motion: what the discriminator takes for real."""
    noisy_rollouts_per_clip: int = 4
    """More rollouts, disturbed by action noise, to show how the tracker recovers: for cloning only."""
    action_noise: float = 0.2
    """Standard deviation of that noise, in units of action."""
    settle_s: float = 0.6
    """Start of a periodic clip's recording that is left out."""
    ppo: PPOConfig = field(default_factory=lambda: PPOConfig(gamma=0.97, learning_rate=5e-4, init_std=0.15, critic_warmup=0))
    limits: Limits = Limits()


def _randomization(pushes: bool) -> Randomization:
    return BASIC if pushes else dataclasses.replace(BASIC, push_speed_m_s=0.0)


def make_runner(
    spec: RobotSpec, clips: list[PlannedClip], config: TrackConfig, seed: int, threads: int = 0
) -> Runner:
    """Environment, networks and learner of the tracker."""
    frames = round(config.episode_s * spec.control_hz)
    library = ClipLibrary(spec, clips, frames)
    sim = Simulation(spec, config.num_envs, seed, _randomization(pushes=True), threads)
    task = TrackingTask(spec, library, sim, seed + 1)
    env = Environment(spec, sim, task, tracking_layout(spec), 1, config.episode_s)
    torch.manual_seed(seed)
    actor = SymmetricActor(spec, env.layout, config.hidden, config.ppo.init_std, task.mirror_extra())
    critic = Critic(env.critic_size, config.hidden)
    return Runner(env, PPO(actor, critic, config.ppo), None, config.steps, Mix(task=1.0, style=0.0, scale=0.1), seed)


def train_tracker(
    spec: RobotSpec, clips: list[PlannedClip], config: TrackConfig, seed: int, checkpoint: Path | None = None
) -> Any:
    """Train (or continue training) the tracker; returns its actor."""
    runner = make_runner(spec, clips, config, seed)
    names = [clip.name for clip in clips]
    if checkpoint is not None and checkpoint.exists():
        state = load_checkpoint(checkpoint)
        if state["clips"] == names and state["robot_hash"] == spec.robot_hash:
            runner.load_state_dict(state["runner"])
    if runner.iteration == 0:
        runner.start()

    def save() -> None:
        if checkpoint is not None:
            state = {"clips": names, "robot_hash": spec.robot_hash, "iteration": runner.iteration}
            save_checkpoint(checkpoint, state | {"runner": runner.state_dict()})

    with Bar("tracker", config.iterations, runner.iteration) as bar:
        while runner.iteration < config.iterations:
            metrics = runner.iterate()
            bar.advance(
                f"reward {metrics['task_reward_mean']:.3f}  pose {metrics['reward/pose']:.3f}  "
                f"falls/1000 {metrics['falls_per_1000_steps']:.2f}  std {metrics['action_std']:.3f}  "
                f"{metrics['steps_per_s']:.0f} steps/s"
            )
            if runner.iteration % 25 == 0:
                save()
    save()
    return runner.ppo.actor


def record(
    spec: RobotSpec, clips: list[PlannedClip], actor: Callable[[Any], Any], config: TrackConfig, seed: int
) -> ReferenceDataset:
    """Run the tracker's mean action through every clip, judge the clips, keep the accepted ones' rollouts."""
    per = config.rollouts_per_clip + config.noisy_rollouts_per_clip
    frames = round(config.episode_s * spec.control_hz)
    library = ClipLibrary(spec, clips, frames)
    count = len(clips) * per
    sim = Simulation(spec, count, seed + 100, _randomization(pushes=False))
    task = TrackingTask(spec, library, sim, seed + 101, from_start=True)
    task.clip = np.repeat(np.arange(len(clips)), per)
    noisy = np.tile(np.arange(per) >= config.rollouts_per_clip, len(clips))
    rng = np.random.default_rng(seed + 102)
    env = Environment(spec, sim, task, tracking_layout(spec), 1, 1e6)
    step = env.start()
    ticks = int(library.length.max())
    log: dict[str, list[Any]] = {name: [] for name in (*ARRAYS, "plan", "force", "saturated", "depth")}
    alive, length = np.ones(count, dtype=bool), np.zeros(count, dtype=np.int64)
    with Bar("recording", ticks) as bar:
        for _ in range(ticks):
            at = task._at()
            frame = step.signal.frame
            for name in SENSOR_FIELDS:
                log[name].append(np.asarray(getattr(frame, name), dtype=np.float32))
            log["features"].append(step.features.astype(np.float32))
            log["qpos"].append(sim.qpos.astype(np.float32))
            log["qvel"].append(sim.qvel.astype(np.float32))
            log["command"].append(library.command[at].astype(np.float32))
            log["phase"].append(library.phase[at].astype(np.float32))
            log["moving"].append(library.moving[at].copy())
            log["plan"].append(library.joint_position[at] - step.truth.joint_position)
            log["force"].append(step.truth.foot_force.sum(axis=-1))
            log["saturated"].append(step.truth.saturated)
            log["depth"].append(-step.truth.foot_position[..., 2].min(axis=-1))
            length += alive
            alive &= ~step.ended
            with torch.no_grad():
                action = actor(torch.from_numpy(step.obs)).numpy()
            noise = config.action_noise * noisy[:, None] * rng.standard_normal(action.shape)
            log["previous_action"].append(env.path.previous_action.astype(np.float32))
            log["action"].append(task.to_action(action).astype(np.float32))
            step = env.step(action + noise)
            bar.advance()
    stacked = {name: np.stack(values) for name, values in log.items()}
    survived = length >= library.length[task.clip] - 1
    return _judge(spec, clips, config, sim, task.clip, noisy, stacked, length, survived)


def _judge(
    spec: RobotSpec,
    clips: list[PlannedClip],
    config: TrackConfig,
    sim: Simulation,
    clip_of: Any,
    noisy: Any,
    log: dict[str, Any],
    length: Any,
    survived: Any,
) -> ReferenceDataset:
    limits, weight = config.limits, spec.total_mass * 9.81
    settle = round(config.settle_s * spec.control_hz)
    with Bar("self-collision", len(clip_of)) as bar:
        touching = np.zeros(len(clip_of))
        for row in range(len(clip_of)):
            touching[row] = _self_collision(sim, log["qpos"][: length[row] : 2, row])
            bar.advance()
    good = survived & (touching == 0.0)
    table, pieces, rollout_clip, rollout_noisy = [], [], [], []
    for index, clip in enumerate(clips):
        rows = np.flatnonzero((clip_of == index) & ~noisy)
        skip = settle if clip.loop else 0
        spans = [(row, slice(skip, length[row])) for row in rows if length[row] > skip + 5]
        figures = {"survival": float(np.mean(survived[rows]))}
        if spans:

            def gather(name: str, spans: Any = spans) -> Any:
                return np.concatenate([log[name][span, row] for row, span in spans])

            figures |= {
                "joint_rmse_rad": float(np.sqrt(np.mean(gather("plan") ** 2))),
                "saturation": float(np.mean(gather("saturated"))),
                "sole_depth_m": float(np.percentile(gather("depth"), 99)),
                "weight_error": float(abs(np.mean(gather("force")) / weight - 1.0)),
                "self_collision": float(np.mean([touching[row] for row, _ in spans])),
            }
        reasons = [] if figures["survival"] >= limits.survival else [f"survival {figures['survival']:.2f} < {limits.survival}"]
        for name, value in figures.items():
            if name != "survival" and value > getattr(limits, name):
                reasons.append(f"{name} {value:.4g} > {getattr(limits, name)}")
        if not spans:
            reasons.append("fell at once")
        if spans and not good[rows].any():
            reasons.append("every rollout fell or touched itself")
        accepted = not reasons
        table.append(
            {
                "name": clip.name,
                "source": clip.source,
                "frames": len(clip),
                "loop": clip.loop,
                "command": [float(v) for v in clip.command.mean(axis=0)],
                "accepted": accepted,
                "figures": figures,
                "reason": "; ".join(reasons),
            }
        )
        if accepted:
            kept = [(row, span) for row, span in spans if good[row]]
            kept += [(row, slice(skip, length[row])) for row in np.flatnonzero((clip_of == index) & noisy & good)]
            pieces += kept
            rollout_clip += [index] * len(kept)
            rollout_noisy += [bool(noisy[row]) for row, _ in kept]
    if not pieces:
        raise UserError(
            "no clip was accepted: "
            + "; ".join(f"{entry['name']}: {entry['reason']}" for entry in table[:5])
            + ". Train the tracker longer, or slow the motion down."
        )
    arrays = {name: np.concatenate([log[name][span, row] for row, span in pieces]) for name in ARRAYS}
    sizes = [span.stop - span.start for _, span in pieces]
    meta = {
        "format": FORMAT,
        "robot": spec.name,
        "robot_hash": spec.robot_hash,
        "control_hz": spec.control_hz,
        "joint_names": list(spec.joint_names),
        "feature_names": list(feature_names(spec)),
        "clips": table,
        "rollout_clip": rollout_clip,
        "rollout_noisy": rollout_noisy,
    }
    return ReferenceDataset(arrays, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), meta)


def _self_collision(sim: Simulation, qpos: Any) -> float:
    """Share of poses in which two geoms of the robot touch each other."""
    model = sim.model
    data = mujoco.MjData(model)
    floor = model.geom("floor").id
    hits = 0
    for pose in qpos:
        data.qpos[:] = pose
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        hits += any(floor not in contact.geom for contact in data.contact)
    return hits / max(1, len(qpos))
