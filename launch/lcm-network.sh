#!/usr/bin/env bash
# The route of programs on LCM's own library (lcm-spy, lcm-logger, programs in other languages): multicast stays on this
# machine (interface lo), or leaves it on one interface that is named. The runtime itself needs no route.
set -euo pipefail

readonly GROUPS_NET=224.0.0.0/4 KEEP_EVERY_S=2
# Group and port as in LCM_DEFAULT_URL, if it names some.
LCM_GROUP=239.255.76.67 port=7667
if [[ ${LCM_DEFAULT_URL:-} =~ ^udpm://([0-9.]+):([0-9]+) ]]; then
    LCM_GROUP=${BASH_REMATCH[1]} port=${BASH_REMATCH[2]}
fi
python=$(dirname "$0")/venv/bin/python
[ -x "$python" ] || python=python3

usage() {
    cat <<USAGE
usage: lcm-network.sh [--interface NAME] [--check | --keep | --undo] [--dry-run]

Without an option: multicast on for lo, and a route for $GROUPS_NET through it. Nobody outside this machine hears LCM
or can command the robot. A route for it through another interface goes; doing it twice changes nothing. It lasts until the interface
goes down or the computer does; wildrobot-lcm-network.service keeps it.

  --interface NAME  another interface, for two machines (docs/deployment.md); lo unless told, or \$WILDROBOT_LCM_INTERFACE
  --check           change nothing; exit 0 if it is so, nobody listens on another interface, and a message that it sends
                    to itself comes back; 1 if not
  --keep            do it again whenever it is due, until it is ended: an interface comes up late, or goes and comes
  --undo            take the route away again
  --dry-run         print the commands, change nothing
USAGE
}

interface=${WILDROBOT_LCM_INTERFACE:-lo} action=make dry_run=no
while [ $# -gt 0 ]; do
    case $1 in
    --interface) interface=${2:?--interface needs a name}; shift ;;
    --check | --keep | --undo) action=${1#--} ;;
    --dry-run) dry_run=yes ;;
    -h | --help) usage; exit 0 ;;
    *) echo "error: unknown option $1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done

command -v ip >/dev/null || { echo "error: there is no command ip. Install the package iproute2." >&2; exit 2; }
has_interface() { ip link show dev "$interface" >/dev/null 2>&1; }
[ "$action" = keep ] || has_interface || {
    echo "error: there is no interface $interface. There are:$(ip -o link | cut -d: -f2 | cut -d@ -f1 | tr -d '\n')" >&2
    exit 2
}

run() {
    if [ "$dry_run" = yes ]; then
        echo "sudo $*"
    elif [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

has_flag() { ip -o link show dev "$interface" | grep -qE '<([A-Z_]+,)*MULTICAST[,>]'; }
has_route() { [ -n "$(ip route show "$GROUPS_NET" dev "$interface" 2>/dev/null)" ]; }

make() {
    has_flag || run ip link set "$interface" multicast on
    has_route || run ip route replace "$GROUPS_NET" dev "$interface"
}

# Prints what has changed since the last look.
keep() {
    local said='' now why
    trap 'exit 0' TERM INT
    while :; do
        if ! has_interface; then
            now="waiting for the interface $interface"
        elif why=$(make 2>&1); then
            now="LCM's messages go through $interface"
        else
            now="$interface: $why"
        fi
        [ "$now" = "$said" ] || echo "$now"
        said=$now
        sleep "$KEEP_EVERY_S" &
        wait $!
    done
}

# Interfaces on which programs of this computer have joined the group, but for the one that is meant.
joined_elsewhere() {
    local group
    group=$(tr . '\n' <<<"$LCM_GROUP" | tac | xargs printf '%02X')
    awk -v group="$group" -v mine="$interface" '
        /^[0-9]/ { device = $2; sub(":", "", device); next }
        toupper($1) == group && device != mine { print device }' /proc/net/igmp
}

# A message of LCM's form to the port, as a program on LCM's own library would send and receive it.
message_comes_back() {
    "$python" - "$LCM_GROUP" "$port" <<'PYTHON'
import secrets, socket, struct, sys, time

group, port = sys.argv[1], int(sys.argv[2])
word = struct.pack(">II", 0x4C433032, 0) + b"network_echo\0" + secrets.token_bytes(8)
ear, mouth = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    ear.bind((group, port))
    ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + bytes(4))
    mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
    mouth.sendto(word, (group, port))
    end = time.monotonic() + 1.0
    while (left := end - time.monotonic()) > 0:
        ear.settimeout(left)
        if ear.recv(65536) == word:
            sys.exit(0)
except OSError as error:
    print(error, file=sys.stderr)
sys.exit(1)
PYTHON
}

case $action in
make) make ;;
keep) keep ;;
undo)
    if has_route; then run ip route del "$GROUPS_NET" dev "$interface"; fi
    # A network card has multicast on by itself; only lo's was made.
    if [ "$interface" = lo ] && has_flag; then run ip link set lo multicast off; fi
    ;;
check)
    used=$(ip -o route get "$LCM_GROUP" 2>/dev/null | sed -nE 's/.* dev ([^ ]+).*/\1/p' || true)
    if ! has_flag || ! has_route || [ "$used" != "$interface" ]; then
        echo "LCM's messages go through ${used:-no interface}, expected $interface. Run: sudo $0 --interface $interface"
        exit 1
    fi
    echo "LCM's messages go through $interface."
    elsewhere=$(joined_elsewhere | sort -u | paste -sd ' ')
    if [ -n "$elsewhere" ]; then
        echo "Programs on this computer have joined the group $LCM_GROUP on $elsewhere, too: they were started before the"
        echo "route was there, and whoever is on that network can talk to them. Start them again."
        exit 1
    fi
    if ! why=$(message_comes_back 2>&1); then
        echo "A message to port $port does not come back${why:+ ($why)}. Does a firewall drop it?"
        exit 1
    fi
    echo "A message to port $port comes back."
    ;;
esac
