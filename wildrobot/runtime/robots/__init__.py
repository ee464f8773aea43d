"""Robots that the runtime can drive, behind one small protocol."""
