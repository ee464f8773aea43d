"""Physical constants."""

GRAVITY_M_S2 = 9.81
"""Gravity of plans, figures and the estimator. A MuJoCo model has its own (`opt.gravity`; a tilted floor turns it)."""
SERVO_FULL_PWM = 885
"""Units of a Dynamixel X servo's duty at full supply voltage."""
SERVO_P_GAIN_UNIT = 128
"""Its position P gain: duty units per position count = POSITION_P_GAIN / 128."""
SERVO_COUNTS_PER_TURN = 4096
SERVO_CENTRE_COUNT = 2048
"""Its position counts: of one turn, and at its own zero angle."""
