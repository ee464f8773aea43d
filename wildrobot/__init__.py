"""WildRobot: a small biped, from a motion it should imitate to walking on its own computer."""

import os

__version__ = "0.1.0"

# Builds of ONNX Runtime report their use to their maker: a thread, a file and half a second at the start. It looks at
# this when it is imported, so it stands before every import of it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
