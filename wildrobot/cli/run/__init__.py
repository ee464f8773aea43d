"""`wildrobot run`: flags, the run or the bench that they ask for, and its figures on the screen."""
