"""What the robot says: LCM messages to network and log, and the figures of a walk."""
