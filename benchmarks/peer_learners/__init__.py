"""The learners that `benchmarks/peers.py` compares, each behind the same few methods (`turns.Learner`)."""
