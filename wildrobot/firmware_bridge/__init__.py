"""Everything with a wire: servo bus, sensor board, and a virtual robot that answers like the real one."""
