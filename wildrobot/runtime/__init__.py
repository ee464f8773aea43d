"""What runs on the robot: the loop with its safety, who commands, telemetry, logs, the robots themselves."""
