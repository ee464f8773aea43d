#!/usr/bin/env bash
# Gathers in a folder, on a computer with internet, what install.sh --wheels installs on a robot that has none.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here source_dir=${here%/*}

usage() {
    cat <<USAGE
usage: launch/wheels.sh [options] FOLDER     then, with the folder on the robot: sudo launch/install.sh --wheels FOLDER

  --python 3.11       the robot's Python: 3.11 in Debian and Raspberry Pi OS bookworm, 3.12 in Ubuntu 24.04, 3.13 in trixie
  --machine aarch64   its processor: aarch64 or x86_64
  --glibc 2.36        its C library: 2.36 in bookworm, 2.39 in Ubuntu 24.04, 2.41 in trixie

The package itself is built from this folder. PYTHON names the python3 whose pip does the work here.
Exit code: 0 done, 1 a wheel is not to be had, 2 bad input.
USAGE
}

fail() {
    echo "error: $1" >&2
    exit 2
}

version=3.11 machine=aarch64 glibc=2.36 folder="" python=${PYTHON:-python3}
while [ $# -gt 0 ]; do
    case $1 in
    --python | --machine | --glibc)
        [ $# -gt 1 ] || fail "$1 needs a value. See --help."
        if [ "$1" = --python ]; then version=$2; else declare "${1#--}=$2"; fi
        shift
        ;;
    -h | --help) usage; exit 0 ;;
    -*) fail "unknown option $1. See --help." ;;
    *)
        [ -z "$folder" ] || fail "one folder, but there are $folder and $1. See --help."
        folder=$1
        ;;
    esac
    shift
done
[ -n "$folder" ] || fail "which folder is to be filled? See --help."
[[ $version =~ ^3\.(1[1-9]|[2-9][0-9])$ ]] || fail "--python is '$version', expected 3.11 or newer, such as 3.13."
[[ $machine =~ ^(aarch64|x86_64)$ ]] || fail "--machine is '$machine', expected aarch64 or x86_64."
[[ $glibc =~ ^2\.(1[7-9]|[2-9][0-9])$ ]] || fail "--glibc is '$glibc', expected 2.17 or newer, such as 2.36."
"$python" -m pip --version >/dev/null 2>&1 || fail "'$python' has no pip. Install python3-pip, or name another: PYTHON=..."
if [ -n "$(find "$folder" -name '*.whl' 2>/dev/null | head -1)" ]; then
    fail "$folder holds wheels already, perhaps for another computer. Give a new folder."
fi

platforms=(--platform "manylinux2014_$machine")
for ((minor = 17; minor <= ${glibc#2.}; minor++)); do platforms+=(--platform "manylinux_2_${minor}_$machine"); done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/source" "$work/wheels"
# pip writes into the folder that it builds from
cp -r "$source_dir"/{pyproject.toml,README.md,LICENSE,wildrobot} "$work/source"
"$python" -m pip wheel -q --disable-pip-version-check --no-deps --wheel-dir "$work/wheels" "$work/source" || exit 1
"$python" -m pip download -q --disable-pip-version-check --dest "$work/wheels" --only-binary=:all: \
    --python-version "$version" "${platforms[@]}" "$work"/wheels/wildrobot-*.whl || exit 1
mkdir -p "$folder"
cp "$work"/wheels/*.whl "$folder"
echo "$(find "$folder" -name '*.whl' | wc -l) wheels, $(du -sh "$folder" | cut -f1), for Python $version on $machine with glibc $glibc or newer."
echo "On the robot: sudo launch/install.sh --wheels $folder"
