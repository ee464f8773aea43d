"""What makes one simulated robot another than the next: its own values of the model's fields, its sensors' errors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.state import Stateful
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.body_checks import foot_geoms

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

FIELDS = (
    "geom_friction", "geom_pos", "body_mass", "body_inertia", "body_ipos", "actuator_gainprm", "actuator_biasprm",
    "actuator_forcerange", "actuator_delay", "dof_frictionloss", "dof_damping", "dof_armature", "sensor_delay",
    "opt.gravity",
)  # fmt: skip
"""Fields of the model that every simulation has its own values of."""


class RobotRows(Stateful):
    """One row per simulation. A reset first makes a row the nominal robot again; then each term changes its part."""

    state_fields = (
        "voltage", "backlash", "action_delay", "encoder_offset", "gyro_bias", "imu_tilt", "imu_drift", "imu_mount",
        "imu_age", "yaw_zero", "switch_factor", "floor", "bump_due", "joint_lost", "contact_lost", "level",
    )  # fmt: skip

    def __init__(self, spec: RobotSpec, model: Any, batch: Any) -> None:
        self.spec, self.model = spec, model
        self.field: dict[str, Any] = {name: batch.expand(name) for name in FIELDS}
        """(N, ...) live values by field of the model."""
        self.nominal = {name: np.array(values[0]) for name, values in self.field.items()}
        self.joint_dofs = np.array([model.joint(name).dofadr[0] for name in spec.joint_names])
        self.actuators = np.array([model.actuator(name).id for name in spec.joint_names])
        self.torso = model.body(spec.config.torso_body).id
        sites = np.array([model.site(name).id for name in spec.foot_names])
        bodies = set(model.site_bodyid[sites].tolist())
        self.foot_geoms = np.array(sorted(g for body in bodies for g in foot_geoms(model, body)))
        self.geom_switch = np.array([self._nearest_site(geom, sites) for geom in self.foot_geoms])
        """(corners,) index of the foot switch that each corner of a sole belongs to."""
        self.velocity_sensors = np.array([model.sensor(f"velocity/{name}").id for name in spec.joint_names])
        self.imu_sensors = np.array(
            [model.sensor(f"imu_{name}").id for name in ("quaternion", "angular_velocity", "acceleration")]
        )
        count, n, feet = batch.nsim, spec.num_joints, spec.num_feet
        unit = np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))
        self.voltage = np.ones((count, n))
        """(N, n) supply over the servo's nominal voltage."""
        self.backlash = np.zeros((count, n))
        """(N, n) rad, whole width."""
        self.action_delay = np.zeros((count, 1))
        """(N, 1) s, without jitter."""
        self.encoder_offset = np.zeros((count, n))
        self.gyro_bias = np.zeros((count, 3))
        """rad/s, torso frame."""
        self.imu_tilt, self.imu_drift = np.zeros((count, 2)), np.zeros((count, 2))
        """rad, fused roll and pitch, world."""
        self.imu_mount = np.tile(spec.imu_mount, (count, 1))
        """(N, 4) torso <- chip as it is, wxyz."""
        self.imu_age = np.zeros(count)
        """s, of this tick."""
        self.yaw_zero, self.floor = unit.copy(), unit.copy()
        """(N, 4) wxyz; `floor` is world (z against gravity) <- simulation (z out of the floor)."""
        self.switch_factor = np.ones((count, feet))
        self.bump_due = np.ones((count, feet), dtype=bool)
        """(N, feet) the switch starts, or has been on the floor since its bump was drawn."""
        self.joint_lost = np.zeros((count, n), dtype=bool)
        self.contact_lost = np.zeros((count, feet), dtype=bool)
        """This tick's losses."""
        self.level = np.ones(count)
        """(N,) the curriculum's level at each robot's last reset."""

    def _nearest_site(self, geom: int, sites: Rows) -> int:
        model = self.model
        away = np.linalg.norm(model.site_pos[sites] - model.geom_pos[geom], axis=-1)
        return int(np.argmin(np.where(model.site_bodyid[sites] == model.geom_bodyid[geom], away, np.inf)))

    def restore(self, rows: Rows, level: float) -> None:
        """Make `rows` the nominal robot; nothing of the last draw survives."""
        for name, values in self.field.items():
            values[rows] = self.nominal[name]
        unit = [1.0, 0.0, 0.0, 0.0]
        nominal: dict[str, Any] = {
            "voltage": 1.0, "switch_factor": 1.0, "imu_mount": self.spec.imu_mount, "yaw_zero": unit, "floor": unit,
            "level": level, "bump_due": True,
        }  # fmt: skip
        for name in self.state_fields:
            getattr(self, name)[rows] = nominal.get(name, 0)

    @property
    def stall_torque(self) -> Array:
        """(N, n) N m at each robot's supply."""
        value: Array = self.spec.stall_torque * self.voltage
        return value

    def play(self, goal: Array, position: Array) -> Array:
        """How far each encoder is ahead of its link (N, n), rad, within the play.

        Inside the play nothing is transmitted, so the servo follows its goal (N, n) alone; at its end it pulls the
        link at `position` (N, n) along. Its own inertia is neglected: it crosses 0.25 degrees in 1 ms.
        """
        half = 0.5 * self.backlash
        value: Array = np.clip(goal - position, -half, half)
        return value
