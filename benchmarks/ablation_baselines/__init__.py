"""What the ablation compares the motion prior with: a reference that nobody executed, and a reward for tracking it."""
