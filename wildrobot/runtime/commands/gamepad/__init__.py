"""Commands from a gamepad: the kernel's events, what the buttons of which pad mean, and the command source."""
