"""How a robot's own measures are found: servo ids, directions, zeros, the IMU's mount, the feet."""
