"""launch/lcm-network.sh: the route for LCM, made, found, taken away, checked and kept."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys

import pytest
from launch_helpers import LAUNCH, run

from wildrobot.core.lcm_network import MULTICAST_FIX


def lcm_network(*flags: str) -> subprocess.CompletedProcess[str]:
    """In a network of its own, where nothing is set up yet."""
    script = shlex.join([str(LAUNCH / "lcm-network.sh"), *flags])
    return run("unshare", "--net", "sh", "-c", f"ip link set lo up && {script}")


@pytest.fixture(scope="module")
def own_network() -> None:
    for program in ("ip", "unshare"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    if run("unshare", "--net", "true").returncode:
        pytest.skip("may not make a network of its own here")


@pytest.mark.usefixtures("own_network")
def test_the_script_s_commands_are_those_that_the_runtime_names() -> None:
    result = lcm_network("--dry-run")
    assert tuple(result.stdout.splitlines()) == MULTICAST_FIX, result.stderr


@pytest.mark.usefixtures("own_network")
def test_the_route_is_made_found_and_taken_away_again() -> None:
    script = shlex.quote(str(LAUNCH / "lcm-network.sh"))
    steps = f"""
        ip link set lo up; ip -o link > before; ip route >> before
        {script} --check; echo $?
        {script} && {script} && {script} --check; echo $?
        {script} --undo && {script} --undo; {script} --check; echo $?
        ip -o link > after; ip route >> after; cmp before after && echo as before
    """
    result = run("unshare", "--net", "sh", "-c", f"cd $(mktemp -d) && {steps}")
    said = result.stdout.splitlines()
    assert [said[i] for i in (1, 4, 6)] == ["1", "0", "1"], result.stdout + result.stderr
    assert said[0].startswith("LCM's messages go through no interface, expected lo.")
    assert said[2:4] == ["LCM's messages go through lo.", "A message to port 7667 comes back."]
    assert said[-1] == "as before"


@pytest.mark.usefixtures("own_network")
def test_the_check_sees_who_has_joined_elsewhere_and_a_firewall() -> None:
    script = shlex.quote(str(LAUNCH / "lcm-network.sh"))
    join = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
group, address = socket.inet_aton("239.255.76.67"), socket.inet_aton("10.1.1.1")
sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + address)
print("joined", flush=True)
sys.stdin.read()
"""
    steps = f"""
        ip link set lo up; ip link add out0 type veth peer name out1
        ip link set out0 up; ip link set out1 up; ip address add 10.1.1.1/24 dev out0
        {script}; coproc {shlex.join([sys.executable, "-c", join])}
        read -r <&${{COPROC[0]}}
        {script} --check; echo $?; kill $COPROC_PID; wait
        {script} --check; echo $?
    """
    if shutil.which("nft") is not None:
        steps += f"""
        nft add table ip t; nft add chain ip t c '{{ type filter hook input priority 0; }}'
        nft add rule ip t c udp dport 7667 drop
        {script} --check; echo $?; LCM_DEFAULT_URL='udpm://239.1.1.1:7700?ttl=0' {script} --check; echo $?
        """
    said = run("unshare", "--net", "bash", "-c", steps).stdout
    assert "have joined the group 239.255.76.67 on out0, too" in said
    assert re.findall(r"^\d$", said, re.MULTILINE) == ["1", "0", "1", "0"][: 2 + 2 * said.count("firewall")]
    if shutil.which("nft") is not None:
        assert "A message to port 7667 does not come back" in said
        assert "A message to port 7700 comes back." in said


@pytest.mark.usefixtures("own_network")
def test_the_route_is_kept_where_the_interface_comes_late_and_goes() -> None:
    script = shlex.quote(str(LAUNCH / "lcm-network.sh"))
    steps = f"""
        ip link set lo up; {script} --keep --interface out0 & kept=$!
        until_route() {{ for _ in $(seq 100); do ip route | grep -q 224 && break; sleep 0.05; done; ip route; }}
        sleep 0.3; ip link add out0 type veth peer name out1; ip link set out0 up; ip link set out1 up; until_route
        ip link set out0 down; ip link set out0 up; ip route; echo --; until_route
        kill $kept; wait $kept; echo $?
    """
    result = run("unshare", "--net", "bash", "-c", steps)
    said = result.stdout
    assert said.startswith("waiting for the interface out0\n"), said + result.stderr
    assert said.count("224.0.0.0/4 dev out0") == 2, said
    assert said.endswith("0\n")


@pytest.mark.usefixtures("own_network")
@pytest.mark.parametrize(
    ("flags", "complaint"),
    [(["--interface", "wlan7"], "there is no interface wlan7"), (["--chek"], "unknown option --chek")],
)
def test_what_cannot_be_done_is_refused(flags: list[str], complaint: str) -> None:
    result = lcm_network(*flags)
    assert result.returncode == 2
    assert complaint in result.stderr
