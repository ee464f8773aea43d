"""From the policy's action to joint position targets."""

from __future__ import annotations

from typing import Any

from wildrobot.core.arrays import array_namespace
from wildrobot.robot_description import RobotSpec


def joint_target(spec: RobotSpec, action: Any, previous_target: Any) -> Any:
    """Joint position targets (..., n), rad: default + scale * clip(action), rate-limited, inside the joint limits.

    `action` (..., n) is the policy's raw answer, `previous_target` (..., n) the target of the tick before; the rate
    limit is `spec.target_rate_limit` (rad/s) times the control period.
    """
    xp = array_namespace(previous_target)

    def const(values: Any) -> Any:
        return xp.asarray(values, dtype=previous_target.dtype)

    def bounded(values: Any, low: Any, high: Any) -> Any:
        # numpy's clip takes twice as long for a single robot
        return xp.minimum(xp.maximum(values, low), high)

    clipped = xp.clip(xp.astype(action, previous_target.dtype), -spec.action_clip, spec.action_clip)
    target = const(spec.default_joint_pos) + const(spec.action_scale) * clipped
    step = const(spec.target_rate_limit * spec.control_dt)
    target = bounded(target, previous_target - step, previous_target + step)
    return bounded(target, const(spec.joint_lower), const(spec.joint_upper))
