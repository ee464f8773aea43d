"""Reference motion: planned, executed, judged, stored."""
