"""The sensor board: IMU and feet as one more device on the servo bus; its table, its firmware and its driver."""
