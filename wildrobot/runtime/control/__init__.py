"""The 50 Hz loop: its time, one tick, safety, states, the policies at hand, and a session of them all."""
