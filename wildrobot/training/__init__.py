"""Learning to walk: reference motion, tasks, reinforcement learning, evaluation."""
