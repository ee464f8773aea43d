"""`wildrobot reference`: building and showing reference motion."""
