"""Who may say where the robot goes: flags, keyboard, gamepad, LCM."""
