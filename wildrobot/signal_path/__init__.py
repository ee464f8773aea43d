"""From what the hardware can measure to joint targets, the same lines everywhere; and the policy file."""
