"""Reference motion, environment, PPO, motion prior, evaluation."""
