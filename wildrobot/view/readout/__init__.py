"""What the robot's messages come to, for a person: state and health, events in groups, servos, the link."""
