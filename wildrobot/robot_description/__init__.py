"""The robot as data."""

from wildrobot.robot_description.spec import RobotSpec, load_robot

__all__ = ["RobotSpec", "load_robot"]
