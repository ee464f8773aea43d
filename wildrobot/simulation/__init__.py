"""Many simulated robots on `mujoco.batch`: their sensors, their randomization, their video."""
