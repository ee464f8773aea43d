#!/usr/bin/env bash
# LCM's route: multicast stays on this machine (interface lo), or leaves it on one interface that is named.
set -euo pipefail

readonly GROUPS_NET=224.0.0.0/4 LCM_GROUP=239.255.76.67

usage() {
    cat <<USAGE
usage: lcm-network.sh [--interface NAME] [--check | --undo] [--dry-run]

Without an option: multicast on for lo, and a route for $GROUPS_NET through it. Nobody outside this machine hears LCM
or can command the robot. What is there already stays; doing it twice changes nothing. It lasts until the next
start of the computer; wildrobot-lcm-network.service does it at every start.

  --interface NAME  another interface, for two machines (docs/deployment.md); lo unless told, or \$WILDROBOT_LCM_INTERFACE
  --check           change nothing; exit 0 if it is so, 1 if not
  --undo            take the route away again
  --dry-run         print the commands, change nothing
USAGE
}

interface=${WILDROBOT_LCM_INTERFACE:-lo} action=make dry_run=no
while [ $# -gt 0 ]; do
    case $1 in
    --interface) interface=${2:?--interface needs a name}; shift ;;
    --check | --undo) action=${1#--} ;;
    --dry-run) dry_run=yes ;;
    -h | --help) usage; exit 0 ;;
    *) echo "error: unknown option $1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done

command -v ip >/dev/null || { echo "error: there is no command ip. Install the package iproute2." >&2; exit 2; }
ip link show dev "$interface" >/dev/null 2>&1 || {
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

case $action in
make)
    has_flag || run ip link set "$interface" multicast on
    has_route || run ip route add "$GROUPS_NET" dev "$interface"
    ;;
undo)
    if has_route; then run ip route del "$GROUPS_NET" dev "$interface"; fi
    # A network card has multicast on by itself; only lo's was made.
    if [ "$interface" = lo ] && has_flag; then run ip link set lo multicast off; fi
    ;;
check)
    used=$(ip -o route get "$LCM_GROUP" 2>/dev/null | sed -nE 's/.* dev ([^ ]+).*/\1/p' || true)
    if has_flag && has_route && [ "$used" = "$interface" ]; then
        echo "LCM's messages go through $interface."
    else
        echo "LCM's messages go through ${used:-no interface}, expected $interface. Run: sudo $0 --interface $interface"
        exit 1
    fi
    ;;
esac
