#!/bin/sh
# The message types as a jar, with which lcm-spy decodes what it hears: lcm-gen, javac, jar.
# Needs a JDK; lcm-gen and lcm.jar come with the Python package lcm.
# usage: lcm_spy_jar.sh PYTHON OUT.jar
set -e
python=$1
out=$2
if ! command -v javac >/dev/null || ! command -v jar >/dev/null; then
    echo "javac and jar were not found. Install a JDK, on Debian and Ubuntu: sudo apt-get install -y default-jdk" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")/.." && pwd)
bin=$(dirname "$(command -v "$python")")
lcm=$("$python" -c 'import lcm, os; print(os.path.dirname(os.path.dirname(os.path.abspath(lcm.__file__))))')
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/java" "$folder/classes" "$(dirname "$out")"
"$bin/lcm-gen" --java --jpath "$folder/java" \
    "$here"/wildrobot/runtime/telemetry/lcm_types/*.lcm "$here"/wildrobot/firmware_bridge/virtual/lcm_types/*.lcm
javac -nowarn -cp "$lcm/share/java/lcm.jar" -d "$folder/classes" "$folder"/java/wildrobot_lcm/*.java
jar cf "$folder/types.jar" -C "$folder/classes" .
mv "$folder/types.jar" "$out"
echo "$out: $(find "$folder/classes" -name '*.class' | wc -l) message types"
