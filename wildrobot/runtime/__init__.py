"""What runs on the robot: signal path, policy, safety, loop, log and replay."""
