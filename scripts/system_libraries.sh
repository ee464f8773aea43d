#!/bin/sh
# What Python packages cannot bring: EGL (or OSMesa) for video, GLib for LCM's command-line tools, and a C++ compiler with
# make for the virtual robot's sensor board, which is the firmware itself.
# Installs what is missing when it may (root on Debian or Ubuntu), else names the one line that does; never fails.
# With `tests` also what only the tests need: a browser to look at the live page, and judges of scripts and units.
# usage: system_libraries.sh PYTHON [tests]
python=${1:-python3}
packages=""

ldconfig=$(command -v ldconfig || echo /sbin/ldconfig)
if ! "$python" -c 'import sys; from wildrobot.simulation.video import rendering_backend; sys.exit(rendering_backend() is None)' \
    2>/dev/null; then
    packages="libegl1 libgl1 libgl1-mesa-dri"
fi
if ! "$ldconfig" -p 2>/dev/null | grep -q 'libglib-2\.0\.so\.0'; then
    packages="$packages libglib2.0-0"
fi
command -v "${CXX:-g++}" >/dev/null || command -v c++ >/dev/null || command -v clang++ >/dev/null || packages="$packages g++"
command -v make >/dev/null || packages="$packages make"
if [ "${2:-}" = tests ]; then
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
        packages="$packages chromium"
    command -v shellcheck >/dev/null || packages="$packages shellcheck"
    command -v systemd-analyze >/dev/null || packages="$packages systemd"
fi
[ -z "$packages" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing system libraries:$packages" | tr -s ' '
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086  # a list of packages
    if apt-get install -y -qq --no-install-recommends $packages >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages >/dev/null; }; then
        exit 0
    fi
fi
echo "Missing system packages (video, LCM's tools, the virtual robot or tests need them; everything else works without):"
echo "    sudo apt-get install -y $packages" | tr -s ' '
echo "Install them and run make again to get those."
exit 0
