"""The robot as a compiled MuJoCo model. Needs the extra `sim`; nothing on the robot's computer imports it."""

from __future__ import annotations

from typing import Any

import mujoco

from wildrobot.robot_description.spec import RobotSpec

DELAY_SAMPLES = 12
"""Room in each actuator's delay line, physics steps; two of them cannot be used."""
SENSOR_SAMPLES = 4
"""The same for the sensors that may lag: joint velocities and the IMU."""


def compile_model(spec: RobotSpec) -> Any:
    """MuJoCo model of the robot: the MJCF with the servo figures, joint sensors and delay lines of `spec`.

    A position actuator with `forcerange` at the stall torque and joint damping stall/no-load speed is the servo's
    torque-speed line at constant voltage: torque = clip(kp error, +-stall) - (stall / no-load) * speed.
    """
    mjs = mujoco.MjSpec.from_file(str(spec.mjcf_path))
    for i, name in enumerate(spec.joint_names):
        joint = mjs.joint(name)
        joint.damping = [spec.joint_damping[i], 0.0, 0.0]
        actuator = mjs.actuator(name)
        actuator.gainprm[0] = spec.joint_stiffness[i]
        actuator.biasprm[1] = -spec.joint_stiffness[i]
        actuator.forcerange = [-spec.stall_torque[i], spec.stall_torque[i]]
        actuator.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
        actuator.nsample = DELAY_SAMPLES
        actuator.delay = 0.0
    for kind, prefix in (
        (mujoco.mjtSensor.mjSENS_JOINTPOS, "position"),
        (mujoco.mjtSensor.mjSENS_JOINTVEL, "velocity"),
    ):
        for name in spec.joint_names:
            mjs.add_sensor(
                name=f"{prefix}/{name}", type=kind, objtype=mujoco.mjtObj.mjOBJ_JOINT, objname=name
            )
    for sensor in mjs.sensors:
        if sensor.name.startswith(("velocity/", "imu_")):
            sensor.nsample, sensor.delay = SENSOR_SAMPLES, 0.0
    # The bounding volumes of the midphase are computed once: a sole's corner that is moved would leave its own.
    mjs.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    return mjs.compile()
