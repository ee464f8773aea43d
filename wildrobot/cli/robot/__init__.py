"""Commands for a robot on its bus: look at it, set it up, measure it, or be one."""
