"""`--robot sim`: one simulated robot behind the protocol of the real one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.robots.base import Health, RobotOptions
from wildrobot.signal_path.sensor_frame import SensorFrame
from wildrobot.simulation.randomization.config import FULL, NOMINAL
from wildrobot.simulation.simulation import Simulation, Truth


class SimRobot:
    """A batch of one. Time moves by one control period with every `write`.

    Until the torque first comes on, the robot stands as it was put there, as if on its stand: a limp robot
    that waits for the word to stand up would otherwise have sunk to the floor by then.
    """

    lockstep = True

    def __init__(self, spec: RobotSpec, options: RobotOptions) -> None:
        base = FULL if options.randomize else NOMINAL
        randomization = replace(base, push_speed_m_s=options.push_speed_m_s)
        self.simulation = Simulation(spec, 1, seed=options.seed, randomization=randomization, threads=1)
        # Servo stiffness is a field of the model; damping (back-EMF) stays when the torque is off, as in the
        # servo.
        batch = self.simulation.batch
        self._gain = batch.expand("actuator_gainprm")
        self._bias = batch.expand("actuator_biasprm")
        self._full_gain, self._full_bias = np.array(self._gain), np.array(self._bias)
        self._on_stand = True
        self._start_pose = np.array(self.simulation.truth().joint_position)
        self._unknown = np.full(spec.num_joints, np.nan)

    def read(self) -> SensorFrame:
        return self.simulation.frame()

    def health(self) -> Health:
        x, y, z = self.simulation.pushed[0]
        pushes = (
            (f"pelvis pushed by {x:+.2f}, {y:+.2f}, {z:+.2f} m/s (world x, y, z)",) if x or y or z else ()
        )
        return Health(self._unknown, self._unknown, self._unknown, pushes=pushes)

    def write(self, joint_target: NDArray[np.float64]) -> None:
        self.simulation.step(self._start_pose if self._on_stand else joint_target)

    def set_stiffness(self, stiffness: float) -> None:
        if self._on_stand and stiffness <= 0.0:
            return
        self._on_stand = False
        self._gain[:] = stiffness * self._full_gain
        self._bias[:] = stiffness * self._full_bias

    def truth(self) -> Truth:
        return self.simulation.truth()

    def close(self) -> None:
        self.set_stiffness(0.0)
