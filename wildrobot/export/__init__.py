"""From a training run's checkpoint, or another framework's network, to policy files."""
