"""Planned motion: footholds, pendulum, leg inverse kinematics, the generated gait library."""
