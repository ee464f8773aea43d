"""What is shared by the levels at which `fault_matrix.py` makes things go wrong: bus, signals, processes."""
