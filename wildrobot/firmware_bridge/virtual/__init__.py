"""A virtual robot that cannot be told from the real one by the bytes on its bus."""
