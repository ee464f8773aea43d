"""WildRobot: a small biped, from a motion it should imitate to walking on its own computer."""

__version__ = "0.1.0"
