"""`python -m wildrobot` is the command `wildrobot`."""

from __future__ import annotations

import sys

from wildrobot.cli.main import wildrobot_script

if __name__ == "__main__":
    sys.exit(wildrobot_script())
