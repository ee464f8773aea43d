"""How it is learned: PPO, the motion prior (AMP), networks, rollouts, the training loop."""
