"""Physical constants."""

GRAVITY_M_S2 = 9.81
"""Gravity of plans, figures and the estimator. A MuJoCo model has its own (`opt.gravity`; a tilted floor turns it)."""
