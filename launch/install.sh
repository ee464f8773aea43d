#!/usr/bin/env bash
# Puts the runtime on the robot's computer: base package, policy, user, service, udev rules, limits, LCM's route.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here source_dir=${here%/*}
readonly PACKAGES="python3-venv iproute2 libglib2.0-0" # the last is what LCM's library is linked to

usage() {
    cat <<USAGE
usage: sudo launch/install.sh [options]            and again after an update: it changes what differs, and says so
       sudo launch/install.sh --uninstall

  --dry-run       print the commands, change nothing
  --enable        also start the service from now on whenever the robot's adapter appears
  --wheel FILE    the package; unless told, it is built from this folder
  --wheels FOLDER for a computer without internet: package and all that it needs, as launch/wheels.sh gathers them
  --policy FILE   the policy; unless told, wildrobot/policies/wildrobot_walk.onnx
  --user NAME     the service's user (wildrobot)
  --prefix DIR    where the package goes (/opt/wildrobot)
  --root DIR      install into a system in this folder (a mounted SD card, a chroot) instead of the running one
  --no-venv       everything but the Python package
  --uninstall     remove what this made; edited configuration, added policies, logs and the user stay

PYTHON names another python3 of 3.11 or newer.
Exit code: 0 done, 1 a step failed, 2 this computer or an option does not fit.
USAGE
}

fail() { # what was found, expected, to be done
    echo "error: $1" >&2
    exit "${2:-2}"
}

root="" prefix=/opt/wildrobot user=wildrobot wheel="" wheels="" staged="" policy=$source_dir/wildrobot/policies/wildrobot_walk.onnx
action=install dry_run=no enable=no venv=yes python=${PYTHON:-python3}
while [ $# -gt 0 ]; do
    case $1 in
    --root | --prefix | --user | --wheel | --wheels | --policy)
        [ $# -gt 1 ] || fail "$1 needs a value. See --help."
        declare "${1#--}=$2"
        shift
        ;;
    --dry-run) dry_run=yes ;;
    --enable) enable=yes ;;
    --no-venv) venv=no ;;
    --uninstall) action=uninstall ;;
    -h | --help) usage; exit 0 ;;
    *) fail "unknown option $1. See --help." ;;
    esac
    shift
done
root=${root%/} prefix=${prefix%/}
inside=() # a command of the system that is installed into
[ -z "$root" ] || inside=(chroot "$root")
readonly inside
readonly manifest=$root$prefix/installed.sha256 env_dir=$root$prefix/venv log_dir=/var/log/wildrobot
changed=no records=""

# ---------------------------------------------------------------------- small helpers

step() { echo "$1:"; }
so() { echo "    already so: $1"; }

run() { # a command that changes something
    changed=yes
    echo "    $*"
    [ "$dry_run" = yes ] || "$@"
}

running() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

checksum() { sha256sum <"$1" | cut -d' ' -f1; }

recorded() { # checksum with which this script installed the file, if it did
    [ ! -f "$manifest" ] || awk -v file="$1" '$2 == file { print $1 }' "$manifest"
}

put() { # put SOURCE DESTINATION [MODE]: never over a file that somebody has edited
    local file=$root$2 mode=${3:-644} rendered=$1 new old
    local names=(-e "s|/opt/wildrobot|$prefix|g" -e "s/^(User|Group)=wildrobot$/\\1=$user/"
        -e "s/^([um]) wildrobot /\\1 $user /" -e "s/^@wildrobot /@$user /")
    if [[ $1 != *.onnx && $prefix-$user != /opt/wildrobot-wildrobot ]]; then
        rendered=$work/${2##*/}
        echo "    sed -E ${names[*]@Q} $1 >$rendered"
        sed -E "${names[@]}" "$1" >"$rendered"
    fi
    new=$(checksum "$rendered") old=$(recorded "$2")
    if [ ! -e "$file" ]; then
        run install -D -m "$mode" "$rendered" "$file"
    elif [ "$(checksum "$file")" = "$new" ]; then
        so "$file"
    elif [ "$(checksum "$file")" = "$old" ]; then
        run install -D -m "$mode" "$rendered" "$file"
    else
        new=$old
        if [ -e "$file.new" ] && cmp -s "$rendered" "$file.new"; then
            so "$file is edited and stays; ours is beside it as $file.new"
        else
            echo "    $file is edited and stays; ours goes beside it:"
            run install -D -m "$mode" "$rendered" "$file.new"
        fi
    fi
    records+="${new:--} $2"$'\n'
}

# ---------------------------------------------------------------------- does it fit?

check_options() {
    [[ $prefix =~ ^/[A-Za-z0-9/._-]+$ ]] || fail "--prefix is '$prefix', expected an absolute folder of plain characters."
    [[ $prefix/ =~ ^/(home|root|tmp|run|proc|sys|dev)/ ]] &&
        fail "--prefix is $prefix, which the service is not allowed to see. Use a folder such as /opt/wildrobot."
    [[ $user =~ ^[a-z_][a-z0-9_-]*$ && $user != root ]] || fail "--user is '$user', expected the name of a user other than root."
    [ -z "$root" ] || [ -d "$root" ] || fail "--root is $root, which is no folder."
    [ "$action" = uninstall ] || [ -f "$policy" ] || fail "there is no policy $policy. Give one with --policy."
    [ -z "$wheel" ] || [[ -f $wheel && $wheel == *.whl ]] || fail "--wheel is $wheel, expected a wheel (.whl) that exists."
    check_wheels_option
    if [ "$dry_run" = no ] && [ "$(id -u)" != 0 ] && [[ -z $root || $venv = yes ]]; then
        fail "this needs the rights of root. Run: sudo $0"
    fi
    if [ "$action$dry_run" = installno ] && running && systemctl --quiet is-active wildrobot.service; then
        fail "the service is running. Stop it first (the robot crouches and goes limp): sudo systemctl stop wildrobot" 1
    fi
}

check_wheels_option() {
    if [ -z "$wheels" ] || [ "$action" = uninstall ]; then return; fi
    local found
    [ -d "$wheels" ] || fail "--wheels is $wheels, which is no folder. Fill one elsewhere: launch/wheels.sh FOLDER"
    [ -z "$wheel" ] || return 0
    found=$(find "$wheels" -maxdepth 1 -name 'wildrobot-*.whl')
    [ -n "$found" ] || fail "there is no wildrobot-*.whl in $wheels. Fill it elsewhere: launch/wheels.sh FOLDER"
    [ "$(wc -l <<<"$found")" = 1 ] || fail "$wheels holds several packages. Leave one, or name it with --wheel:"$'\n'"$found"
    wheel=$found
}

# Of the interpreter, not of the kernel: beneath a 64-bit kernel programs may be of 32 bits.
readonly INTERPRETER='
import struct, sys, sysconfig
kind = sysconfig.get_config_var("MULTIARCH") or sysconfig.get_config_var("HOST_GNU_TYPE") or sysconfig.get_platform()
threads = "free-threaded " if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
print(f"{threads}{sys.implementation.name} of {8 * struct.calcsize(chr(80))} bits for {kind}")'

check_system() {
    local id name interpreter
    step "Operating system, processor, Python"
    [ -f "$root/etc/os-release" ] || fail "there is no $root/etc/os-release. Expected Raspberry Pi OS, Debian or Ubuntu."
    # shellcheck disable=SC1091
    id=$(. "$root/etc/os-release" && echo "${ID:-} ${ID_LIKE:-}")
    # shellcheck disable=SC1091
    name=$(. "$root/etc/os-release" && echo "${PRETTY_NAME:-$ID}")
    [[ " $id " =~ \ (debian|ubuntu|raspbian)\  ]] || fail "this is $name, expected Raspberry Pi OS, Debian or Ubuntu."
    command -v systemctl systemd-sysusers >/dev/null || fail "this computer has no systemd, which starts the service."
    if [ "$venv" = no ]; then
        echo "    $name"
        return
    fi
    "${inside[@]}" "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        fail "Python 3.11 or newer is needed, but '$python' is $("${inside[@]}" "$python" --version 2>&1 || true). Name one: PYTHON=python3.11"
    interpreter=$("${inside[@]}" "$python" -c "$INTERPRETER")
    [[ $interpreter =~ ^cpython\ of\ 64\ bits\ for\ (aarch64|x86_64)-(unknown-)?linux-gnu$ ]] ||
        fail "'$python' is $interpreter (the kernel says $("${inside[@]}" uname -m)), expected cpython of 64 bits for aarch64-linux-gnu or \
x86_64-linux-gnu: ONNX Runtime has no package for others. Install the 64-bit system; a 64-bit kernel alone is not enough."
    [[ $("${inside[@]}" "$python" -c 'import os, sys; print(os.path.realpath(sys.executable))') =~ ^/(home|root)/ ]] &&
        fail "'$python' lies in somebody's home, which the service is not allowed to see. Name another: PYTHON=/usr/bin/python3"
    echo "    $name, $("${inside[@]}" "$python" --version), $interpreter"
}

packages_are_there() {
    "${inside[@]}" "$python" -c 'import ensurepip, venv' 2>/dev/null &&
        "${inside[@]}" sh -c 'command -v ip && /sbin/ldconfig -p | grep libglib-2.0.so.0' >/dev/null
}

check_wheels() { # pip's own word, before anything is changed, on whether the folder has what this interpreter needs
    [ -n "$wheels" ] || return 0
    local said pip
    step "Wheels in $wheels"
    packages_are_there ||
        fail "not all of $PACKAGES are there, and --wheels fetches nothing. Install them with apt-get first."
    staged=$(mktemp -d "$root/tmp/wildrobot-wheels.XXXXXX")
    cp "$wheels"/*.whl "$wheel" "$staged" 2>/dev/null || true # the same file twice, if it lies in the folder
    "${inside[@]}" "$python" -m venv "${staged#"$root"}/venv"
    pip=("${inside[@]}" "${staged#"$root"}/venv/bin/python" -m pip --isolated --disable-pip-version-check)
    said=$("${pip[@]}" install -q --dry-run --no-index --find-links "${staged#"$root"}" --only-binary=:all: \
        "${staged#"$root"}/$(basename "$wheel")" 2>&1) || fail "$wheels lacks a wheel for this computer. pip says:
$said
Fill the folder anew where there is internet: $("${inside[@]}" "$python" -c 'import platform, sys
print("launch/wheels.sh --python {}.{}".format(*sys.version_info), "--machine", platform.machine(), "FOLDER")')"
    rm -rf "$staged/venv"
    echo "    all that is needed, for $("${inside[@]}" "$python" --version)"
}

# ---------------------------------------------------------------------- steps

install_packages() {
    step "System packages ($PACKAGES)"
    if packages_are_there; then
        so "they are there"
    else
        run "${inside[@]}" apt-get update -q
        # shellcheck disable=SC2086
        run "${inside[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $PACKAGES
    fi
}

make_user() {
    step "User $user, in groups dialout and input"
    put "$here/sysusers.conf" "/etc/sysusers.d/wildrobot.conf"
    if grep -q "^$user:" "$root/etc/passwd" 2>/dev/null &&
        awk -F: -v u="$user" '($1 == "dialout" || $1 == "input") && ("," $4 ",") ~ ("," u ",") { n++ } END { exit n != 2 }' \
            "$root/etc/group"; then
        so "$user"
    else
        run systemd-sysusers ${root:+"--root=$root"} wildrobot.conf
    fi
}

install_package() {
    local identity built from=()
    step "Python package (base install) in $env_dir"
    identity=$(
        "${inside[@]}" "$python" --version
        if [ -n "$wheel" ]; then checksum "$wheel"; else
            cd "$source_dir" && find pyproject.toml README.md LICENSE wildrobot -type f ! -name '*.pyc' -print0 |
                LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
        fi
    )
    if [ "$(cat "$env_dir/.installed-from" 2>/dev/null)" = "$identity" ]; then
        so "this package"
        return
    fi
    [ -x "$env_dir/bin/python" ] || run "${inside[@]}" "$python" -m venv "$prefix/venv"
    local pip=("${inside[@]}" "$prefix/venv/bin/python" -m pip --disable-pip-version-check --no-input)
    if [ -n "$wheel" ]; then
        run install -D -m 644 -t "$root$prefix/wheel" "$wheel"
        built=$prefix/wheel/$(basename "$wheel")
    else
        # pip writes into the folder it builds from
        run mkdir -p "$root$prefix/wheel"
        run cp -r "$source_dir"/{pyproject.toml,README.md,LICENSE,wildrobot} "$root$prefix/wheel/"
        run "${pip[@]}" wheel -q --no-deps --wheel-dir "$prefix/wheel" "$prefix/wheel"
        built=$(echo "$root$prefix"/wheel/wildrobot-*.whl)
        built=${built#"$root"}
    fi
    [ -z "$wheels" ] || from=(--isolated --no-index --find-links "${staged#"$root"}" --only-binary=:all:)
    run "${pip[@]}" install -q "${from[@]}" "$built"
    run "${pip[@]}" install -q "${from[@]}" --no-deps --force-reinstall "$built"
    run rm -rf "$root$prefix/wheel"
    [ "$dry_run" = yes ] || echo "$identity" >"$env_dir/.installed-from"
}

install_files() {
    step "Policy and configuration"
    put "$policy" "$prefix/policies/$(basename "$policy")"
    put "$here/examples/wildrobot.env" /etc/wildrobot/wildrobot.env
    step "Services, udev rules, limits, LCM's route"
    put "$here/lcm-network.sh" "$prefix/lcm-network.sh" 755
    put "$here/wildrobot.service" /etc/systemd/system/wildrobot.service
    put "$here/wildrobot-lcm-network.service" /etc/systemd/system/wildrobot-lcm-network.service
    put "$here/99-wildrobot.rules" /etc/udev/rules.d/99-wildrobot.rules
    put "$here/examples/limits.conf" /etc/security/limits.d/wildrobot.conf
    if [ "$dry_run" = no ] && [ "$records" != "$(cat "$manifest" 2>/dev/null)"$'\n' ]; then
        install -D -m 644 /dev/null "$manifest"
        printf %s "$records" >"$manifest"
    fi
}

activate() {
    step "Known to systemd and udev"
    local unit
    for unit in wildrobot-lcm-network.service $([ "$enable" = no ] || echo wildrobot.service); do
        if systemctl ${root:+"--root=$root"} --quiet is-enabled "$unit" 2>/dev/null; then so "$unit"; else
            run systemctl ${root:+"--root=$root"} enable "$unit"
        fi
    done
    if ! running; then
        echo "    systemd does not run here: it learns of this at the next start"
    elif [ "$changed" = yes ]; then
        run systemctl daemon-reload
        run systemctl restart wildrobot-lcm-network.service
        run udevadm control --reload
        run udevadm trigger --subsystem-match=tty --subsystem-match=usb
    fi
}

uninstall() {
    local sum file
    [ -f "$manifest" ] || fail "nothing of WildRobot is installed in $root$prefix (no $manifest)."
    step "Services"
    if running; then
        run systemctl disable --now wildrobot.service wildrobot-lcm-network.service
    else
        run systemctl ${root:+"--root=$root"} --quiet disable wildrobot.service wildrobot-lcm-network.service
    fi
    step "Files"
    while read -r sum file; do
        file=$root$file
        if [ ! -e "$file" ]; then continue; fi
        if [ "$(checksum "$file")" = "$sum" ]; then run rm "$file"; else echo "    kept, because it is edited: $file"; fi
        if [ -e "$file.new" ]; then run rm "$file.new"; fi
    done <"$manifest"
    if [ -e "$env_dir/.installed-from" ]; then run rm -rf "$env_dir"; fi
    run rm "$manifest"
    for file in "$root$prefix/policies" "$root$prefix" "$root/etc/wildrobot"; do
        if [ -d "$file" ]; then run rmdir --ignore-fail-on-non-empty "$file"; fi
    done
    if running; then
        run systemctl daemon-reload
        run udevadm control --reload
    fi
    echo "Kept: logs in $root$log_dir, user $user (sudo userdel $user), and what is still in $root$prefix and $root/etc/wildrobot."
}

# ---------------------------------------------------------------------- all of it

check_options
if [ "$action" = uninstall ]; then
    uninstall
    exit 0
fi
check_system
work=$(mktemp -d)
trap 'rm -rf "$work" ${staged:+"$staged"}' EXIT
[ "$venv" = no ] || check_wheels
[ "$venv" = no ] || install_packages
make_user
[ "$venv" = no ] || install_package
install_files
activate
if [ "$dry_run" = yes ]; then
    echo "Nothing was changed."
elif [ "$changed" = no ]; then
    echo "Nothing to do: all of it was there."
else
    cat <<NEXT
Done. Next, with the robot on its stand (docs/deployment.md):
    sudo -u $user $prefix/venv/bin/wildrobot doctor --port /dev/wildrobot --policy $prefix/policies/$(basename "$policy")
    sudo systemctl enable --now wildrobot        it starts whenever the adapter appears; limp until told to stand
NEXT
fi
