"""Where the robot that a policy was trained on and this one differ, beyond what its network reads and answers."""

from __future__ import annotations

import math

import numpy as np

from wildrobot.export.elsewhere.description import ForeignPolicy, ImportFindings
from wildrobot.export.elsewhere.joints import Joints
from wildrobot.export.elsewhere.terms import kind_of
from wildrobot.robot_description import RobotSpec

GAIN_TOLERANCE = 0.1
"""Share by which a gain may differ without a word."""
POSE_TOLERANCE_RAD = 0.01


def check_rate(policy: ForeignPolicy, spec: RobotSpec, findings: ImportFindings) -> None:
    """The control rate is the robot's, to 0.1 %; anything else is a problem."""
    if policy.control_hz is None:
        findings.problems.append(
            f"control_hz: neither the file nor a description says it; this robot runs at {spec.control_hz:g} Hz. If "
            f"that is the training's (1 / (timestep * decimation)), give --control-hz {spec.control_hz:g}"
        )
    elif not math.isclose(policy.control_hz, spec.control_hz, rel_tol=1e-3):
        findings.problems.append(
            f"control_hz: the policy was made for {policy.control_hz:g} Hz, this robot runs at {spec.control_hz:g} Hz; "
            "train it at that rate"
        )


def compare_robots(policy: ForeignPolicy, joints: Joints, spec: RobotSpec, findings: ImportFindings) -> None:
    """Warnings of other gains, another pose, joints that are not moved, and targets that are out of reach."""
    n = spec.num_joints
    idle = [name for i, name in enumerate(spec.joint_names) if i not in joints.offset]
    if idle:
        findings.warnings.append(f"the policy does not move {', '.join(idle)}: held at home")
    for name, here in (("joint_stiffness", spec.joint_stiffness), ("joint_damping", spec.joint_damping)):
        value = getattr(policy, name)
        gains = (value,) * len(joints.names) if isinstance(value, float) else value
        if gains is None or len(gains) != len(joints.names):
            findings.warnings.append(
                f"{name}: not told for every joint, and so not compared with this robot's servos"
            )
            continue
        other = [
            f"{spec.joint_names[i]} {gain:.3g} (here {here[i]:.3g})"
            for i, gain in zip((joints.of_name[name] for name in joints.names), gains, strict=True)
            if not math.isclose(gain, here[i], rel_tol=GAIN_TOLERANCE)
        ]
        if other:
            findings.warnings.append(
                f"{name}: trained with {', '.join(other)}. A policy file cannot change the servos' gains: train with "
                "these, or set p_gain in robot.yaml"
            )
    offset = np.array([joints.offset.get(i, spec.default_joint_pos[i]) for i in range(n)])
    away = np.abs(offset - spec.default_joint_pos)
    if away.max() > POSE_TOLERANCE_RAD:
        where = [f"{spec.joint_names[i]} {offset[i]:.3g} (here {spec.default_joint_pos[i]:.3g})" for i in range(n)
                 if away[i] > POSE_TOLERANCE_RAD]  # fmt: skip
        findings.warnings.append(
            f"default pose: {', '.join(where)} rad. The robot stands up into its own home pose and goes from there "
            "at the target's rate limit when the policy takes over"
        )
    last_action = [
        term.term for term in policy.observations if kind_of(term, ImportFindings()) == "last_action"
    ]
    if policy.target_clip is not None and last_action:
        findings.warnings.append(
            f"target_clip: where it cuts, {last_action[0]} (last_action) is what was left of the answer; there it was "
            "the answer itself"
        )
    out = (offset < spec.joint_lower) | (offset > spec.joint_upper)
    if out.any():
        names = ", ".join(spec.joint_names[i] for i in np.flatnonzero(out))
        findings.problems.append(
            f"default pose: outside the joint limits of {names}; is a joint's axis or zero another one there?"
        )
    reach = spec.action_scale * spec.action_clip
    short = (spec.default_joint_pos - reach > spec.joint_lower) | (
        spec.default_joint_pos + reach < spec.joint_upper
    )
    if short.any():
        low, high = spec.default_joint_pos - reach, spec.default_joint_pos + reach
        told = [f"{spec.joint_names[i]} {low[i]:.3g} to {high[i]:.3g}" for i in np.flatnonzero(short)]
        findings.warnings.append(
            f"targets are cut to action_clip before the joint limits: {', '.join(told)} rad"
        )
