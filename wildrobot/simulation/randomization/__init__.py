"""How simulated robots differ: the ranges, the terms that apply them, and what live robots have of it."""
