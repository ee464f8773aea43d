"""What the robot says: LCM messages, to the network and into the log."""
