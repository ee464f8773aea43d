#!/usr/bin/env bash
# `make arm64`: the base install on arm64, which a robot's computer is, under QEMU: installed without network from a folder
# of wheels, golden vectors, a replay against x86-64's recording, doctor on a virtual robot that runs outside.
# Debian 12 is put into a folder (0.4 GB, the first time 5 minutes) and stays; on this computer it installs nothing.
# Exit code: 0 all well, 1 not, 2 something is missing here.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here repository=${here%/tests/emulation}
readonly root=${ARM64_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/wildrobot/arm64-bookworm}
readonly python=${PYTHON:-python3} binfmt=/proc/sys/fs/binfmt_misc/qemu-aarch64
readonly policy=/opt/wildrobot/policies/wildrobot_walk.onnx
readonly TOLERANCE=1e-6

fail() {
    echo "error: $1" >&2
    exit 2
}

check() {
    local program
    [ "$(id -u)" = 0 ] || fail "this makes a root folder and namespaces, for which it needs the rights of root: sudo make arm64"
    for program in debootstrap qemu-aarch64-static unshare ip systemd-sysusers; do
        command -v "$program" >/dev/null || fail "there is no $program. This check installs nothing; on Debian and Ubuntu:
    sudo apt-get install -y --no-install-recommends debootstrap qemu-user-static binfmt-support iproute2 systemd"
    done
    # F: the emulator is found from inside the root folder, too
    if ! { grep -q '^enabled' "$binfmt" && grep -q '^flags:.*F' "$binfmt"; } 2>/dev/null; then
        fail "the kernel does not hand arm64 programs to QEMU ($binfmt). As root:
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc; update-binfmts --enable qemu-aarch64"
    fi
}

make_root() {
    if [ -e "$root/etc/debian_version" ]; then return; fi
    echo "Debian 12 for arm64 into $root: about 5 minutes"
    mkdir -p "${root%/*}"
    rm -rf "$root.part"
    debootstrap --arch=arm64 --variant=minbase --include=python3,python3-venv,libglib2.0-0,iproute2 \
        bookworm "$root.part" >"$work/debootstrap.log" 2>&1 || { tail "$work/debootstrap.log"; fail "debootstrap failed."; }
    mv "$root.part" "$root"
}

prepare() { # what this release brings, and what the inner half needs
    rm -rf "$root/opt/wildrobot" "$root/etc/wildrobot" "$root/etc/systemd/system"/wildrobot* "$root/tmp/check"
    PYTHON=$python "$repository/launch/wheels.sh" --python 3.11 --machine aarch64 --glibc 2.36 "$work/wheels"
    mkdir "$root/tmp/check"
    cp "$here/largest_difference.py" "$repository/tests/data/standing_and_walking.lcmlog" "$root/tmp/check"
    # QEMU's serial ports know no rate above 460800
    cp "$repository"/wildrobot/robot_description/{robot.yaml,wildrobot.xml} "$root/tmp/check"
    sed -i 's/baud: 1000000/baud: 115200/' "$root/tmp/check/robot.yaml"
    # What the kernel of a Raspberry Pi 4 says: QEMU shows this computer's, and ONNX Runtime crashes on it
    local core
    for ((core = 0; core < $(nproc); core++)); do
        printf 'processor\t: %d\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\n' "$core"
        printf 'CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n'
    done >"$work/cpuinfo"
}

start_virtual_robot() {
    PYTHONPATH=$repository "$python" -m wildrobot virtual-robot --suspended \
        --robot-file "$root/tmp/check/robot.yaml" --link "$work/robot" >"$work/virtual.log" 2>&1 &
    virtual=$!
    for _ in $(seq 100); do
        [ ! -L "$work/robot" ] || return 0
        sleep 0.2
    done
    cat "$work/virtual.log"
    fail "the virtual robot did not start."
}

inside() { # in namespaces of its own: no network but lo, mounts that end with it
    local bin=/opt/wildrobot/venv/bin log=/tmp/check/standing_and_walking.lcmlog
    mount -t proc proc "$root/proc"
    mount --bind "$work/cpuinfo" "$root/proc/cpuinfo"
    mount --bind /sys "$root/sys"
    mount --bind /dev/pts "$root/dev/pts"
    ip link set lo up
    ip link set lo multicast on
    ip route add 224.0.0.0/4 dev lo
    in_root() { chroot "$root" "$@"; }
    echo "installing without network ..."
    env -u PYTHON "$repository/launch/install.sh" --root "$root" --wheels "$work/wheels" >"$work/install.log" 2>&1 ||
        { tail "$work/install.log"; return 1; }
    in_root $bin/python -c 'import importlib.metadata as m, platform
print("versions:", platform.machine(), *(f"{n} {m.version(n)}" for n in ("wildrobot", "numpy", "onnxruntime", "lcm")),
      "Python", platform.python_version(), *platform.libc_ver())'
    in_root $bin/wildrobot replay $log --policy $policy --tolerance $TOLERANCE
    echo "largest difference: $(in_root $bin/python /tmp/check/largest_difference.py $log $policy)"
    in_root $bin/wildrobot doctor --port "$port" --robot-file /tmp/check/robot.yaml --policy $policy
}

if [ "${1:-}" = --inside ]; then
    work=$2 port=$3
    inside
    exit
fi
check
work=$(mktemp -d) virtual=""
trap '[ -z "$virtual" ] || kill "$virtual" 2>/dev/null || true; rm -rf "$work"' EXIT
make_root
prepare
start_virtual_robot
export QEMU_CPU=cortex-a72 ARM64_ROOT=$root
echo "$(qemu-aarch64-static --version | head -1), as $QEMU_CPU, $(cat "$root/etc/debian_version")"
unshare --net --mount "$here/arm64.sh" --inside "$work" "$(readlink "$work/robot")" || { echo "NOT well"; exit 1; }
echo "all well"
