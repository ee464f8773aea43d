"""Planned motion executed by a tracking policy in simulation, recorded by its sensors, and judged."""
