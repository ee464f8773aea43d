"""Directions that robots are pushed in: what a measurement of pushes and its page have in common."""

from __future__ import annotations

DIRECTIONS = ("forward", "left, forward", "left", "left, backward", "backward")
"""Pushed towards, evenly spread over a half turn; those to the right are their mirror images and counted with them."""
