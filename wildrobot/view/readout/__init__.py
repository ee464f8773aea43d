"""What the robot says, as texts and numbers for a person."""
