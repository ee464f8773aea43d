"""Everything that can go wrong with the virtual robot: a table of faults, their schedule, and their text."""
