"""Where the robot is, from what it measures: the runtime's own estimator, its velocity added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.rotations import quat_from_yaw, quat_to_matrix, rotate_heading
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.estimator import Estimate, StateEstimator
from wildrobot.signal_path.sensor_frame import SensorFrame, hold_invalid

GAP_S = 0.5
"""A longer gap, or a step back, in the robot's clock is another run: the track starts again at the origin."""
AIRBORNE_S = 0.3
"""So long without a contact means lying, hanging or carried: no step keeps both feet up that long."""
FASTEST_M_S = 2.0


@dataclass(frozen=True)
class Placement:
    """The pelvis in the page's world: z up from the floor; the run began at the origin, facing x."""

    position: NDArray[np.float64]
    """(3,) m. Without foot contact its height means little: then `airborne` is true."""
    rotation: NDArray[np.float64]
    """(3, 3) world <- pelvis."""
    heading: float
    """rad, positive left."""
    airborne: bool
    velocity: NDArray[np.float64]
    """(2,) m/s, forward and left: estimated."""


@dataclass(frozen=True)
class Pose(Placement):
    """With the estimate that it follows from."""

    estimate: Estimate


class PelvisTrack:
    """Feed it every frame; it says where the pelvis is.

    The policy's own estimate is in `policy_state`, but only while the policy runs. The same estimator, run here
    on the raw frames, also shows a robot that is limp, standing up or lying on the floor.
    """

    def __init__(self, spec: RobotSpec) -> None:
        self._estimator = StateEstimator(spec)
        self._last: SensorFrame | None = None
        self._ground = np.zeros(2)
        self._first_yaw = 0.0
        self._contact_s = -np.inf

    def update(self, frame: SensorFrame) -> Pose:
        """The pose after `frame` (1, ...)."""
        time_s = float(frame.time_s[0])
        elapsed = np.inf if self._last is None else time_s - float(self._last.time_s[0])
        fresh = not 0.0 <= elapsed <= GAP_S
        if fresh or self._last is None:
            self._estimator.reset(frame)
            self._last, self._ground, self._contact_s = frame, np.zeros(2), time_s
        frame = hold_invalid(frame, self._last)
        self._last = frame
        estimate = self._estimator.update(frame)
        if fresh:
            self._first_yaw = float(estimate.yaw[0])
        if np.any(frame.foot_contact[0] > 0.5):
            self._contact_s = time_s
        airborne = time_s - self._contact_s > AIRBORNE_S
        heading = np.array(float(estimate.yaw[0]) - self._first_yaw)
        velocity: Any = rotate_heading(heading, estimate.linear_velocity[0])[:2]
        if not fresh and not airborne and np.all(np.isfinite(velocity)):
            speed = max(float(np.hypot(*velocity)), 1e-9)
            self._ground = self._ground + min(1.0, FASTEST_M_S / speed) * velocity * elapsed
        return Pose(
            position=np.array([*self._ground, float(estimate.height[0])]),
            rotation=quat_to_matrix(quat_from_yaw(heading)) @ estimate.pelvis_rotation[0],
            heading=float(heading),
            airborne=airborne,
            velocity=np.array(estimate.linear_velocity[0, :2]),
            estimate=estimate,
        )
