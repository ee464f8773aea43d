"""Motion capture: importers, skeletons, steps, and retargeting to the robot."""
