#!/usr/bin/env bash
# Version: lcm 1.5.3 (PyPI wheel), on Linux 6.18 with Python 3.11.
#
# LCM 1.5.3 (PyPI `lcm`) says of ttl=0, its default: "Packets will not leave localhost". They do, from the moment on at
# which the computer's route changes, as when a cable is plugged in beside Wi-Fi: Linux holds a packet with a time to
# live of 0 back only where the host has joined the group on the interface that it goes out of (ip_mc_output); otherwise
# it goes the way of any packet (ip_output). LCM joins once, when it is created, on the interface to which the route
# leads then. Every program that was started before sends onto the cable, and programs on LCM's defaults there take it.
#
# Needs Linux, python3 with venv, iproute2, and root or unprivileged user namespaces. Everything happens in two network
# namespaces joined by a cable of their own (veth).
#
# Seen on Linux 6.18, Python 3.11:
#
#     lcm 1.5.3, udpm://239.255.76.67:7667?ttl=0
#     before the cable: 0 of 20 messages on the other computer
#     the same program, after the cable was plugged in: 20 of 20, with a time to live of 0
#     started anew: 0 of 20
#
# Exit code 0: that is still so. 1: it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check lcm==1.5.3

cat > "$folder/publisher.py" <<'PYTHON'
"""Publishes 20 messages for every line that it reads."""
import sys
import time

import lcm

network = lcm.LCM("udpm://239.255.76.67:7667?ttl=0")
for line in sys.stdin:
    for _ in range(20):
        network.publish(line.strip(), b"x")
        time.sleep(0.01)
PYTHON

cat > "$folder/receiver.py" <<'PYTHON'
"""Counts what arrives at an LCM program, by channel, until it is told to end; and the times to live on the wire."""
import collections
import select
import socket
import sys

import lcm

wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(("b0", 3))
wire.setblocking(False)
received, times_to_live = collections.Counter(), set()
network = lcm.LCM("udpm://239.255.76.67:7667?ttl=0")
network.subscribe(".*", lambda channel, data: received.update([channel]))
while not select.select([sys.stdin], [], [], 0)[0]:
    network.handle_timeout(50)
    try:
        while True:
            packet = wire.recv(65536)
            if b"LC02" in packet:
                times_to_live.add(packet[14 + 8])
    except BlockingIOError:
        pass
print(received["wifi"], received["plugged"], received["anew"], *times_to_live)
PYTHON

cat > "$folder/two_computers.sh" <<'SHELL'
set -euo pipefail
folder=$1 python=$1/venv/bin/python
ip link set lo up
unshare --net sleep 60 & other=$!
trap 'kill $other' EXIT
until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.05; done
there() { nsenter --target $other --net -- "$@"; }
# the first network of this computer, where nobody else is
ip link add wifi0 type veth peer name air0
ip link set air0 up
ip link set wifi0 up
ip address add 10.76.0.1/24 dev wifi0
ip route add default dev wifi0 metric 600
# the cable, not plugged in yet
ip link add a0 type veth peer name b0
ip link set b0 netns $other
ip address add 10.77.0.1/24 dev a0
there ip link set lo up
there ip address add 10.77.0.2/24 dev b0
there ip link set b0 up
there ip route add default dev b0
sleep 1

mkfifo "$folder/in" "$folder/end"
there "$python" "$folder/receiver.py" < "$folder/end" > "$folder/counts" & receiver=$!
exec 4> "$folder/end"
"$python" "$folder/publisher.py" < "$folder/in" & publisher=$!
exec 3> "$folder/in"
sleep 1
echo wifi >&3
sleep 1
ip link set a0 up
ip route add default dev a0 metric 100
sleep 2
echo plugged >&3
exec 3>&-
wait $publisher
echo anew | "$python" "$folder/publisher.py"
sleep 0.3
echo >&4
wait $receiver
SHELL

if [ "$(id -u)" = 0 ]; then spaces=(unshare --net); else spaces=(unshare --user --map-root-user --net); fi
"${spaces[@]}" bash "$folder/two_computers.sh" "$folder"

read -r wifi plugged anew ttl < "$folder/counts"
echo "lcm $("$folder/venv/bin/pip" list --format=freeze 2>/dev/null | sed -n 's/^lcm==//p'), udpm://239.255.76.67:7667?ttl=0"
echo "before the cable: $wifi of 20 messages on the other computer"
echo "the same program, after the cable was plugged in: $plugged of 20, with a time to live of ${ttl:-none}"
echo "started anew: $anew of 20"
if [ "$wifi" = 0 ] && [ "$plugged" -ge 18 ] && [ "${ttl:-}" = 0 ] && [ "$anew" = 0 ]; then
    echo "as described"
else
    echo "changed: read the description above again" >&2
    exit 1
fi
