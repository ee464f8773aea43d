"""This robot's action of another framework's: so that the joint target is the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.export.elsewhere.description import ForeignPolicy, ImportFindings
from wildrobot.export.elsewhere.joints import Joints
from wildrobot.robot_description import RobotSpec


@dataclass(frozen=True)
class ActionPlan:
    """This robot's action of a foreign answer (..., m): gain * clip(answer, ±clip)[index] + offset, then low to high.

    Arrays (n,), in policy order. A joint that the policy does not move has gain and offset 0: it stays at home.
    """

    index: NDArray[np.int64]
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    clip: float
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def plan_action(
    policy: ForeignPolicy, joints: Joints, spec: RobotSpec, findings: ImportFindings
) -> ActionPlan | None:
    """How to make this robot's action of the policy's answer, so that the joint target is the same."""
    n = spec.num_joints
    index, gain, offset = np.zeros(n, dtype=np.int64), np.zeros(n), np.zeros(n)
    low, high = np.full(n, -np.inf), np.full(n, np.inf)
    ranges = policy.target_clip
    if ranges is not None and len(ranges) != len(joints.acting):
        findings.problems.append(f"target_clip: {len(ranges)} ranges for {len(joints.acting)} joints")
        return None
    if ranges is not None and not all(low < high for low, high in ranges):
        findings.problems.append(
            f"target_clip: {[list(one) for one in ranges]}, expected the lower number first"
        )
        return None
    if policy.action_clip is not None and not policy.action_clip > 0.0:
        findings.problems.append(f"action_clip: {policy.action_clip}, expected a number above 0")
        return None
    for place, name in enumerate(joints.acting):
        i = joints.of_name[name]
        index[i] = place
        gain[i] = joints.scale[i] / spec.action_scale[i]
        offset[i] = (joints.offset[i] - spec.default_joint_pos[i]) / spec.action_scale[i]
        if ranges is not None:
            low[i], high[i] = (np.array(ranges[place]) - spec.default_joint_pos[i]) / spec.action_scale[i]
    return ActionPlan(index, gain, offset, policy.action_clip or np.inf, low, high)
