"""`wildrobot make-run`: everything in one go."""
