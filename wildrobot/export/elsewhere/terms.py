"""Each observation term of another framework, made of slices that the signal path has: value = gain * x + offset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.export.elsewhere.description import ForeignPolicy, ForeignTerm, ImportFindings
from wildrobot.export.elsewhere.joints import Joints
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.features import feature_names
from wildrobot.signal_path.observation import Layout, layout_size, make_layout, term_sizes

KINDS = {
    "base_lin_vel": ("base_linear_velocity", "root_lin_vel", "lin_vel"),
    "base_ang_vel": ("base_angular_velocity", "root_ang_vel", "ang_vel"),
    "projected_gravity": ("gravity", "gravity_vec"),
    "command": ("commands", "velocity_command", "velocity_commands", "generated_commands"),
    "joint_pos": ("joint_pos_rel", "dof_pos", "dof_pos_rel"),
    "joint_vel": ("joint_vel_rel", "dof_vel", "dof_vel_rel"),
    "last_action": (
        "action",
        "actions",
        "last_actions",
        "previous_action",
        "previous_actions",
        "prev_actions",
    ),
    "base_height": ("base_pos_z",),
    "gait_clock": (),
}
"""What can be built, and the other names that it goes by."""
REFUSALS = {
    "height_scan": "no sensor of this robot sees the ground",
    "phase": "a phase has a period that nobody told; if it is this robot's gait clock (sin, cos; zeros standing), say "
    "`means: gait_clock`",
    "motion": "it follows a recorded motion; here a policy gets a velocity command only",
    "contact": "which switch or force it is, is not told; `features` holds the contacts of this robot",
    "torque": "the signal path has no torques",
    "effort": "the signal path has no torques",
    "pos_w": "a place in the world is not measured",
    "quat": "only the direction of gravity is known, not the heading: use projected_gravity",
    "image": "there is no camera",
    "camera": "there is no camera",
}
"""Parts of names, and why such a term cannot be built."""


@dataclass(frozen=True)
class Value:
    """One number of one tick: `gain` * entry `index` of the slice + `offset`."""

    slice: str
    index: int
    gain: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class ObservationPlan:
    """The foreign observation of one of `layout` (..., D): scale * clip(gain * obs[index] + offset, low, high).

    All arrays (foreign size,).
    """

    layout: Layout
    index: NDArray[np.int64]
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    scale: NDArray[np.float64]


def kind_of(term: ForeignTerm, findings: ImportFindings) -> str | None:
    """What a term is; None, and a problem, where it cannot be built."""
    name = term.means or term.term
    for kind, others in KINDS.items():
        if name == kind or name in others:
            return kind
    why = next((reason for part, reason in REFUSALS.items() if part in name), None)
    if why is None:
        why = f"unknown here; if it is one of {', '.join(KINDS)}, say so with `means`"
    findings.problems.append(f"{term.term}: {why}")
    return None


def plan_observation(
    policy: ForeignPolicy, joints: Joints, spec: RobotSpec, size: int | None, findings: ImportFindings
) -> ObservationPlan | None:
    """How to make the policy's observation (`size` values, if the network says) of this robot's slices."""
    count, built = len(findings.problems), []
    if not policy.observations:
        findings.problems.append(
            "observations: neither the file nor a description says what the policy reads"
        )
    for term in policy.observations:
        values = _values(term, joints, spec, findings)
        if values is None:
            continue
        if term.scale is None:
            findings.problems.append(f"{term.term}: its scale is said nowhere (1.0 where there is none)")
        elif isinstance(term.scale, tuple) and len(term.scale) != len(values):
            findings.problems.append(f"{term.term}: {len(term.scale)} scales for {len(values)} values")
        elif not np.all(np.isfinite(term.scale)) or not np.all(term.scale):
            findings.problems.append(f"{term.term}: its scale is {term.scale}, expected numbers other than 0")
        if term.history is None:
            findings.problems.append(
                f"{term.term}: its history length is said nowhere (1 where there is none)"
            )
        elif term.history < 1:
            findings.problems.append(f"{term.term}: its history is {term.history}, expected 1 or more")
        if term.clip is not None and not term.clip[0] < term.clip[1]:
            findings.problems.append(
                f"{term.term}: its clip is {list(term.clip)}, expected the lower number first"
            )
        built.append((term, values))
    if len(findings.problems) > count:
        return None
    sizes = [len(values) * (term.history or 1) for term, values in built]
    if size is not None and sum(sizes) != size:
        told = " + ".join(f"{own} ({term.term})" for own, (term, _) in zip(sizes, built, strict=True))
        findings.problems.append(
            f"obs: the network takes {size} values, its terms have {sum(sizes)} = {told}"
        )
        return None
    return _arranged(built, spec)


def _arranged(built: list[tuple[ForeignTerm, list[Value]]], spec: RobotSpec) -> ObservationPlan:
    frames: dict[str, int] = {}
    for term, values in built:
        for value in values:
            frames[value.slice] = max(frames.get(value.slice, 1), term.history or 1)
    layout = make_layout(spec, {name: frames[name] for name in term_sizes(spec) if name in frames})
    start = dict(zip((t.name for t in layout), _starts(layout), strict=True))
    size = {t.name: t.size for t in layout}
    index, rows = [], []
    for term, values in built:
        history = term.history or 1
        low, high = term.clip or (-np.inf, np.inf)
        scales = np.broadcast_to(np.asarray(1.0 if term.scale is None else term.scale), len(values))
        for tick in range(history):
            for value, scale in zip(values, scales, strict=True):
                age = frames[value.slice] - history + tick
                index.append(start[value.slice] + age * size[value.slice] + value.index)
                rows.append((value.gain, value.offset, low, high, scale))
    return ObservationPlan(layout, np.array(index), *np.array(rows).T)


def _starts(layout: Layout) -> list[int]:
    return [layout_size(layout[:i]) for i in range(len(layout))]


def _values(
    term: ForeignTerm, joints: Joints, spec: RobotSpec, findings: ImportFindings
) -> list[Value] | None:
    """The values of one tick of a term."""
    kind = kind_of(term, findings)
    if kind is None:
        return None
    if term.frame == "torso" and kind != "base_ang_vel":
        findings.problems.append(
            f"{term.term}: only the torso's angular velocity is known in the torso's axes"
        )
        return None
    features = feature_names(spec)
    if kind == "base_lin_vel":
        findings.warnings.append(
            f"{term.term}: not measured here but estimated, from legs, IMU and foot switches; a policy that trained "
            "without that error may rely on it too much (`wildrobot eval` shows it)"
        )
        return [Value("pelvis_linear_velocity", axis) for axis in range(3)]
    if kind == "base_ang_vel":
        if term.frame is None and spec.waist_joints:
            findings.warnings.append(
                f"{term.term}: taken as the pelvis's, in its axes. This robot's IMU sits on the torso: if the training "
                "read the gyroscope there, say `frame: torso` in a description"
            )
        body = "torso" if term.frame == "torso" else "pelvis"
        return [Value(f"{body}_angular_velocity", axis) for axis in range(3)]
    if kind == "projected_gravity":
        return [Value("projected_gravity", axis) for axis in range(3)]
    if kind == "command":
        findings.warnings.append(
            f"{term.term}: forward speed, 0, yaw rate; this robot is not commanded to go sideways"
        )
        return [Value("command", 0), Value("command", 0, gain=0.0), Value("command", 1)]
    if kind == "base_height":
        findings.warnings.append(
            f"{term.term}: the estimated height of the pelvis over its lowest stance sole"
        )
        return [Value("features", features.index("pelvis_height"))]
    if kind == "gait_clock":
        return [Value("gait_clock", i) for i in range(2)]
    return _joint_values(kind, term, joints, spec, findings)


def _joint_values(
    kind: str, term: ForeignTerm, joints: Joints, spec: RobotSpec, findings: ImportFindings
) -> list[Value] | None:
    known = joints.acting if kind == "last_action" else joints.names
    names = term.joints or known
    strange = [name for name in names if name not in known]
    if strange:
        findings.problems.append(
            f"{term.term}: {', '.join(strange)} are not among the joints {', '.join(known)}"
        )
        return None
    places = [joints.of_name[name] for name in names]
    if kind == "joint_vel":
        return [Value("features", spec.num_joints + i) for i in places]
    if kind == "last_action":
        here, home = spec.action_scale, spec.default_joint_pos
        return [
            Value(
                "previous_action",
                i,
                float(here[i] / joints.scale[i]),
                float((home[i] - joints.offset[i]) / joints.scale[i]),
            )
            for i in places
        ]
    relative = True if term.term.endswith("_rel") and term.relative is None else term.relative
    if relative is None:
        findings.problems.append(
            f"{term.term}: say with `relative` whether it is less default_joint_pos (true) or the angle itself (false)"
        )
        return None
    return [Value("features", i, offset=-joints.default[i] if relative else 0.0) for i in places]
