"""`wildrobot log`: what recorded runs hold."""
