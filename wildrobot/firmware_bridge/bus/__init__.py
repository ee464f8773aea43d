"""The Dynamixel bus: bytes, packets, the tick's transaction, start-up checks, single servos."""
