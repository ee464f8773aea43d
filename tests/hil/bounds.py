"""What the hardware-in-the-loop tests demand, in one place, each with its reason. Virtual and real robot alike."""

STEP_RAD = 0.1
STEP_DELAY_S = 0.045
"""From the command to a tenth of the way: one tick on the bus, the servo's first motion, one tick until it is read."""
STEP_RISE_S = 0.15
"""From a tenth to nine tenths: 17 ms at the no-load speed of 4.8 rad/s; a hip carries the inertia of a whole leg."""
STEP_OVERSHOOT = 0.5
"""Share of the step: no derivative gain, the back-EMF alone damps."""
STEADY_ERROR_RAD = 0.03
"""No integral gain: gravity on a hanging leg, dry friction, half a count."""

CHIRP_RAD = 0.05
CHIRP_HZ = (0.5, 4.0)
CHIRP_GAIN = (0.7, 1.4)
"""Share of the amplitude over the whole sweep."""
CHIRP_DELAY_S = 0.14
"""Over the whole sweep; a hip with its leg has its corner frequency inside it, at about 3 Hz."""

PRESS_N = 8.0
PRESS_SEEN_N = 4.0
"""Of a press of 8 N, or of a person's finger."""
REST_N = 1.0
"""On a pad that nobody presses."""

TILT_RAD = 0.35
TILT_ERROR_RAD = 0.02
"""Of gravity in the pelvis's frame on the virtual robot; a person tilts by eye, so there the sign and 0.2 rad."""
TILT_ERROR_BY_HAND_RAD = 0.2

REPLAY_ERROR_RMS_RAD = 0.12
"""A target leads its joint by about two ticks; legs swing at up to 4 rad/s."""
REPLAY_DELAY_S = (0.0, 0.1)
"""A proportional controller against its motor's back-EMF lags: 60 to 81 ms measured on the virtual robot, hips most."""
REPLAY_VELOCITY_NOISE_RAD_S = 0.5
"""Register and rounding 0.3 rad/s, and what the change of position over 40 ms cannot follow."""

WATCHDOG_S = 0.1
