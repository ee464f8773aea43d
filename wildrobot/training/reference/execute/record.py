"""Record what the tracker does with the planned clips, and judge it clip by clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray

from wildrobot.core.constants import GRAVITY_M_S2
from wildrobot.core.errors import UserError
from wildrobot.core.progress import Bar
from wildrobot.core.rotations import heading_split, quat_to_matrix, rotate_heading
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.features import feature_names
from wildrobot.signal_path.observation import default_layout
from wildrobot.signal_path.path import SignalPath
from wildrobot.simulation.randomization.config import Randomization
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.dataset import ARRAYS, FORMAT, SENSOR_FIELDS, ReferenceDataset
from wildrobot.training.reference.execute.track import Limits, TrackConfig, track_randomization
from wildrobot.training.rl.cloning import CloningConfig, clone
from wildrobot.training.rl.networks import SymmetricActor
from wildrobot.training.tasks.clip_library import ClipLibrary
from wildrobot.training.tasks.environment import Environment
from wildrobot.training.tasks.tracking import TrackingTask, tracking_layout

Spans = list[tuple[np.int64, slice]]
"""Rows of a log, and which of their frames."""
Network = Callable[[torch.Tensor], torch.Tensor]


@dataclass
class Rolls:
    """Rollouts side by side: arrays (T, rows, ...), each row valid for its first `length` frames."""

    log: dict[str, NDArray[Any]]
    clip: NDArray[np.int64]
    noisy: NDArray[np.bool_]
    length: NDArray[np.int64]
    survived: NDArray[np.bool_]


def roll(
    spec: RobotSpec,
    library: ClipLibrary,
    tracker: Network,
    clip: NDArray[np.int64],
    noise: NDArray[np.floating],
    seed: int,
    randomization: Randomization,
    student: Network | None = None,
) -> tuple[Rolls, Simulation]:
    """Run every row's clip from its first frame; `noise` (rows,) is added to the action that is executed.

    The tracker's action is logged as the label in any case; with a `student`, that one drives.
    """
    count = len(clip)
    sim = Simulation(spec, count, seed, randomization)
    task = TrackingTask(spec, library, sim, seed + 1, from_start=True)
    task.clip = np.asarray(clip)
    env = Environment(spec, sim, task, tracking_layout(spec), 1, 1e6)
    # what the policy would see: its own observation, heading hold and clock
    path = SignalPath(spec, default_layout(spec))
    rng = np.random.default_rng(seed + 2)
    step = env.reset()
    ticks = int(library.length[task.clip].max())
    log: dict[str, list[NDArray[Any]]] = {
        name: [] for name in (*ARRAYS, "plan", "force", "saturated", "depth")
    }
    alive, length = np.ones(count, dtype=bool), np.zeros(count, dtype=np.int64)
    with Bar("recording" if student is None else "clone drives", ticks) as bar:
        for t in range(ticks):
            at, frame = task.at(), step.signal.frame
            path.reset(frame, None if t == 0 else ~step.valid)
            path.previous_action = env.path.previous_action
            path.clock.phase = library.phase[at]
            signal = path.observe(frame, library.command[at])
            with torch.no_grad():
                residual = tracker(torch.from_numpy(step.obs)).numpy()
                label = task.process_action(residual)
                if student is None:
                    action = label
                else:
                    action = student(torch.from_numpy(signal.observation)).numpy()
            values = {
                "features": step.features,
                "qpos": sim.qpos,
                "qvel": sim.qvel,
                "command": signal.command,
                "phase": library.phase[at],
                "previous_action": env.path.previous_action,
                "action": label,
                "plan": library.joint_position[at] - step.truth.joint_position,
                "force": step.truth.foot_force.sum(axis=-1),
                "depth": -step.truth.foot_position[..., 2].min(axis=-1),
            }
            values |= {name: getattr(frame, name) for name in SENSOR_FIELDS}
            for name, value in values.items():
                log[name].append(np.asarray(value, dtype=np.float32))
            log["moving"].append(library.moving[at].copy())
            log["saturated"].append(step.truth.saturated)
            length += alive
            alive &= ~step.done
            disturbance = noise[:, None] * rng.standard_normal(action.shape)
            step = env.step(action - task.process_action(np.zeros_like(action)) + disturbance)
            bar.advance()
    stacked = {name: np.stack(values) for name, values in log.items()}
    survived = length >= library.length[task.clip] - 1
    return Rolls(stacked, task.clip.copy(), np.asarray(noise) > 0.0, length, survived), sim


def record(
    spec: RobotSpec, clips: list[PlannedClip], tracker: Network, config: TrackConfig, seed: int
) -> ReferenceDataset:
    """Run the tracker's mean action through every clip, judge the clips, keep the accepted ones' rollouts.

    Then let a clone of the tracker drive through the accepted clips and add what the tracker would have done there.
    """
    library = ClipLibrary(spec, clips, round(config.episode_s * spec.control_hz))
    per = config.rollouts_per_clip + config.noisy_rollouts_per_clip
    noisy = np.tile(np.arange(per) >= config.rollouts_per_clip, len(clips))
    rows = np.repeat(np.arange(len(clips)), per)
    calm = track_randomization(config, None)
    rolls, sim = roll(spec, library, tracker, rows, config.action_noise * noisy, seed + 100, calm)
    dataset = _judge(spec, clips, config, sim, rolls)
    accepted = np.array([i for i, entry in enumerate(dataset.clips) if entry["accepted"]])
    for index in range(config.student_rounds):
        torch.manual_seed(seed)
        layout = default_layout(spec)
        student = SymmetricActor(spec, layout, config.hidden)
        clone(spec, dataset, student, layout, CloningConfig(updates=1000), seed)
        rows = np.repeat(accepted, config.student_rollouts_per_clip)
        noise = np.full(len(rows), 0.5 * config.action_noise)
        driven, _ = roll(
            spec,
            library,
            tracker,
            rows,
            noise,
            seed + 200 + 10 * index,
            track_randomization(config, config.student_push_interval_s),
            student,
        )
        # the moments before a fall teach nothing: the tracker never was there
        end = np.where(driven.survived, driven.length, driven.length - round(0.5 * spec.control_hz))
        kept = [(row, slice(0, end[row])) for row in range(len(rows)) if end[row] > 10]
        dataset.append({name: driven.log[name] for name in ARRAYS}, kept, driven.clip, noisy=True)
        dataset.meta.setdefault("clone_survival", []).append(float(np.mean(driven.survived)))
    relabel(dataset)
    return dataset


def relabel(dataset: ReferenceDataset) -> None:
    """Replace the commanded forward speed by the one that the tracker reached on such a command.

    Speeds planned and reached (medians over undisturbed rollouts of steady straight gaits) stand in
    meta["speed_reached"]; between them the command is interpolated. A policy that learns from these labels walks as
    fast as it is told, even where the servos do not follow the plan.
    """
    reached: dict[float, list[float]] = {}
    for rollout in dataset.undisturbed:
        entry = dataset.clips[dataset.meta["rollout_clip"][rollout]]
        moving = dataset.rollout(int(rollout), "moving")
        speed, yaw_rate = entry["command"]
        if not entry["loop"] or not moving.all() or abs(yaw_rate) > 1e-6:
            continue
        qpos, qvel = (dataset.rollout(int(rollout), name).astype(np.float64) for name in ("qpos", "qvel"))
        yaw, _ = heading_split(quat_to_matrix(qpos[:, 3:7]))
        forward = rotate_heading(yaw, qvel[:, :3], inverse=True)[:, 0]
        reached.setdefault(round(speed, 6), []).append(float(forward.mean()))
    if not reached:
        return
    planned = np.array(sorted(reached))
    # a faster plan must not count as a slower walk
    actual = np.maximum.accumulate([np.median(reached[speed]) for speed in planned])
    command = dataset.arrays["command"]
    scaled = np.interp(command[:, 0], np.concatenate([[0.0], planned]), np.concatenate([[0.0], actual]))
    command[:, 0] = np.where(dataset.arrays["moving"], scaled, command[:, 0])
    dataset.meta["speed_reached"] = [[float(p), float(a)] for p, a in zip(planned, actual, strict=True)]


def _judge(
    spec: RobotSpec, clips: list[PlannedClip], config: TrackConfig, sim: Simulation, rolls: Rolls
) -> ReferenceDataset:
    """The rollouts of the accepted clips that neither fell nor touched themselves."""
    clip_of, noisy, length = rolls.clip, rolls.noisy, rolls.length
    settle = round(config.settle_s * spec.control_hz)
    with Bar("self-collision", len(clip_of)) as bar:
        touching = np.zeros(len(clip_of))
        for row in range(len(clip_of)):
            touching[row] = _self_collision(sim, rolls.log["qpos"][: length[row] : 2, row])
            bar.advance()
    good = rolls.survived & (touching == 0.0)
    table: list[dict[str, Any]] = []
    pieces: Spans = []
    for index, clip in enumerate(clips):
        rows = np.flatnonzero((clip_of == index) & ~noisy)
        skip = settle if clip.loop else 0
        spans = [(row, slice(skip, length[row])) for row in rows if length[row] > skip + 5]
        figures = {"survival": float(np.mean(rolls.survived[rows]))}
        if spans:
            figures |= _clip_figures(spec, rolls, spans, touching)
        reasons = _reasons(figures, config.limits)
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
            disturbed = np.flatnonzero((clip_of == index) & noisy & good)
            pieces += [(row, span) for row, span in spans if good[row]]
            pieces += [(row, slice(skip, length[row])) for row in disturbed]
    if not pieces:
        raise UserError(
            "no clip was accepted: "
            + "; ".join(f"{entry['name']}: {entry['reason']}" for entry in table[:5])
            + ". Train the tracker longer, or slow the motion down."
        )
    return _dataset(spec, table, rolls, pieces)


def _clip_figures(
    spec: RobotSpec, rolls: Rolls, spans: Spans, touching: NDArray[np.float64]
) -> dict[str, float]:
    """What `Limits` bounds, over all `spans` of a clip; `touching` (rows,) is each rollout's share of frames."""

    def gather(name: str) -> NDArray[Any]:
        return np.concatenate([rolls.log[name][span, row] for row, span in spans])

    weight = spec.total_mass * GRAVITY_M_S2
    return {
        "joint_rmse_rad": float(np.sqrt(np.mean(gather("plan") ** 2))),
        "saturation": float(np.mean(gather("saturated"))),
        "sole_depth_m": float(np.percentile(gather("depth"), 99)),
        "weight_error": float(abs(np.mean(gather("force")) / weight - 1.0)),
        "self_collision": float(np.mean([touching[row] for row, _ in spans])),
    }


def _reasons(figures: dict[str, float], limits: Limits) -> list[str]:
    """Why a clip with these figures is not accepted."""
    survival = figures["survival"]
    reasons = [] if survival >= limits.survival else [f"survival {survival:.2f} < {limits.survival}"]
    for name, value in figures.items():
        if name != "survival" and value > getattr(limits, name):
            reasons.append(f"{name} {value:.4g} > {getattr(limits, name)}")
    return reasons


def _dataset(spec: RobotSpec, table: list[dict[str, Any]], rolls: Rolls, pieces: Spans) -> ReferenceDataset:
    """`pieces` of the rollouts, the undisturbed ones first."""
    meta = {
        "format": FORMAT,
        "robot": spec.name,
        "robot_hash": spec.robot_hash,
        "control_hz": spec.control_hz,
        "joint_names": list(spec.joint_names),
        "feature_names": list(feature_names(spec)),
        "clips": table,
        "rollout_clip": [],
        "rollout_noisy": [],
    }
    dataset = ReferenceDataset({}, np.zeros(1, dtype=np.int64), meta)
    for disturbed in (False, True):
        chosen = [(int(row), span) for row, span in pieces if bool(rolls.noisy[row]) is disturbed]
        dataset.append({name: rolls.log[name] for name in ARRAYS}, chosen, rolls.clip, noisy=disturbed)
    return dataset


def _self_collision(sim: Simulation, qpos: NDArray[np.float32]) -> float:
    """Share of poses in which two geoms of the robot touch each other."""
    model = sim.model
    data = mujoco.MjData(model)
    hits = 0
    for pose in qpos:
        data.qpos[:] = pose
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        hits += any(np.all(model.geom_bodyid[contact.geom] > 0) for contact in data.contact)
    return hits / max(1, len(qpos))
