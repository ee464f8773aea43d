"""The robot as a compiled MuJoCo model. Needs the extra `sim`; nothing on the robot's computer imports it."""

from __future__ import annotations

import mujoco

from wildrobot.core.errors import UserError
from wildrobot.robot_description.body_checks import foot_geoms
from wildrobot.robot_description.spec import RobotSpec

DELAY_SAMPLES = 12
"""Room in each actuator's delay line, physics steps; two of them cannot be used."""
SENSOR_SAMPLES = 4
"""The same for the sensors that may lag: joint velocities and the IMU."""
IMU_SENSORS = ("imu_quaternion", "imu_angular_velocity", "imu_acceleration")


def compile_model(spec: RobotSpec) -> mujoco.MjModel:
    """MuJoCo model of the robot: the MJCF with the servo figures, joint sensors and delay lines of `spec`.

    A position actuator with `forcerange` at the stall torque and joint damping stall/no-load speed is the servo's
    torque-speed line at constant voltage: torque = clip(kp error, +-stall) - (stall / no-load) * speed.

    Raises:
        UserError: the MJCF lacks an actuator, a sensor or contact geoms, or is no model at all.
    """
    model = compile_edited(spec, edit_mjcf(spec))
    _check_model(spec, model)
    return model


def edit_mjcf(spec: RobotSpec) -> mujoco.MjSpec:
    """What `compile_model` compiles, before it is compiled.

    Raises:
        UserError: the MJCF lacks an actuator or a sensor, or is no model at all.
    """
    try:
        mjs = mujoco.MjSpec.from_file(str(spec.mjcf_path))
    except ValueError as error:
        raise UserError(f"MuJoCo cannot read {spec.mjcf_path}: {error}. Correct what it names.") from error
    _check_names(spec, mjs)
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
    return mjs


def compile_edited(spec: RobotSpec, mjs: mujoco.MjSpec) -> mujoco.MjModel:
    """`mjs` compiled.

    Raises:
        UserError: MuJoCo refuses it.
    """
    try:
        return mjs.compile()
    except ValueError as error:
        raise UserError(f"MuJoCo cannot compile {spec.mjcf_path}: {error}. Correct what it names.") from error


def _check_names(spec: RobotSpec, mjs: mujoco.MjSpec) -> None:
    """Actuators and sensors are found by name."""
    lacking = [
        f'<position name="{name}" joint="{name}"/>' for name in spec.joint_names if mjs.actuator(name) is None
    ]
    sensors = {sensor.name for sensor in mjs.sensors}
    site = spec.config.imu_site
    tags = (
        f'<framequat name="{IMU_SENSORS[0]}" objtype="site" objname="{site}"/>',
        f'<gyro name="{IMU_SENSORS[1]}" site="{site}"/>',
        f'<accelerometer name="{IMU_SENSORS[2]}" site="{site}"/>',
    )
    lacking += [tag for name, tag in zip(IMU_SENSORS, tags, strict=True) if name not in sensors]
    lacking += [
        f'<touch name="{name}" site="a site around the pad"/>'
        for name in spec.foot_names
        if name not in sensors
    ]
    if lacking:
        raise UserError(f"{spec.mjcf_path} lacks actuators or sensors. Add: {', '.join(lacking)}.")


def _check_model(spec: RobotSpec, model: mujoco.MjModel) -> None:
    """The robot is the first body of the world, and its feet have something to stand on."""
    pelvis = spec.config.pelvis_body
    if model.body(pelvis).id != 1:
        raise UserError(
            f"{spec.mjcf_path}: '{pelvis}' must be the first body of the worldbody. Put it first."
        )
    for name in spec.foot_names:
        body = model.site(name).bodyid[0]
        if not foot_geoms(model, body):
            raise UserError(
                f"{spec.mjcf_path}: body '{model.body(body).name}' has no contact geoms. Give it small spheres with "
                'priority="1" at the corners of its sole: they carry the foot, and their friction is randomized.'
            )
