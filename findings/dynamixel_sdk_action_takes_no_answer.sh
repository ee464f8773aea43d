#!/usr/bin/env bash
# Version: dynamixel-sdk 4.1.0 and 3.8.4 (PyPI wheels), on Linux with Python 3.11.
#
# PacketHandler(2.0).action(port, id) of ROBOTIS's Dynamixel SDK for Python returns COMM_SUCCESS as soon as it has sent the
# packet, whether there is a servo or not: it waits for no status, although the e-Manual (Protocol 2.0, Action) shows the
# status that a servo gives. Every other request to one id waits: reboot to the same silent line is a time-out. So an action
# that was refused or never heard counts as done, and the servo's status meets the next request on the half-duplex line:
# the SDK has then sent while the servo was still answering.
#
# Needs Linux and python3 with venv. The line is a pseudo-terminal: silent first, then with a servo that answers an action
# after 250 us, its return delay as it comes from the maker.
#
# Seen on Linux 6.18, Python 3.11:
#
#     dynamixel-sdk 4.1.0
#     a silent line: action 0 (COMM_SUCCESS), reboot -3001 (COMM_RX_TIMEOUT)
#     with a servo: action 0 (COMM_SUCCESS); 11 bytes of its status come after the call has returned
#     dynamixel-sdk 3.8.4
#     (the same)
#
# Exit code 0: that is still so. 1: it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/line.py" <<'PYTHON'
"""The SDK's port on a pseudo-terminal of our own."""
import os
import select
import sys
import time
import tty
from importlib.metadata import version

import dynamixel_sdk as sdk

print(f"dynamixel-sdk {version('dynamixel-sdk')}")
servo, line = os.openpty()
tty.setraw(servo)
tty.setraw(line)
port, packets = sdk.PortHandler(os.ttyname(line)), sdk.PacketHandler(2.0)
assert port.openPort() and port.setBaudRate(1_000_000)

acted = packets.action(port, 1)
rebooted, _ = packets.reboot(port, 1)
names = {getattr(sdk, name): name for name in dir(sdk) if name.startswith("COMM_")}
print(f"a silent line: action {acted} ({names[acted]}), reboot {rebooted} ({names[rebooted]})")

os.read(servo, 4096)
result = packets.action(port, 1)
asked = os.read(servo, 4096) if select.select([servo], [], [], 1.0)[0] else b""
assert asked[7] == sdk.INST_ACTION
time.sleep(250e-6)
os.write(servo, bytes.fromhex("FFFFFD0001040055 00A10C"))  # the e-Manual's status of id 1
time.sleep(0.1)
left = port.getBytesAvailable()
print(f"with a servo: action {result} ({names[result]}); {left} bytes of its status come after the call has returned")
sys.exit(not (acted == result == sdk.COMM_SUCCESS and rebooted == sdk.COMM_RX_TIMEOUT and left == 11))
PYTHON

for version in 4.1.0 3.8.4; do
  python3 -m venv "$folder/venv-$version"
  "$folder/venv-$version/bin/pip" install --quiet --disable-pip-version-check "dynamixel-sdk==$version"
  "$folder/venv-$version/bin/python" "$folder/line.py" || { echo "it has changed"; exit 1; }
done
