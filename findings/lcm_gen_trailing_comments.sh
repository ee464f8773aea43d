#!/usr/bin/env bash
# Version: lcm 1.5.3 (PyPI wheel), seen 2026-11-30.
#
# lcm-gen documents a field with the comment of the field before it. Of
#     double first;   // metres
#     double second;  // radians
# the generated Python, C++ and Java say that `second` is "metres" and `first` has no comment: the parser gives a
# comment to the declaration that follows it, also where it stands at the end of a line, as comments of message
# definitions usually do (ROS .msg, Protobuf and C headers document the field on the same line). Units and frames of
# whole message sets are then off by one field in every editor's tooltip. A comment on the line above is right.
#
# Ends with 0 while that is so, with 1 if it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet lcm==1.5.3
cat > sample.lcm <<'LCM'
package sample;
struct end_of_line
{
    double first;   // metres
    double second;  // radians
}
struct line_above
{
    // metres
    double first;
    // radians
    double second;
}
LCM
venv/bin/lcm-gen --python --ppath . --java --jpath java --cpp --cpp-hpath cpp sample.lcm
venv/bin/python - <<'PYTHON'
import re
import sys
from pathlib import Path


def python_notes(name):
    text = Path(f"sample/{name}.py").read_text()
    return dict(re.findall(r'self\.(\w+) = 0\.0\n\s+"""\s+(?:(\w+)\s+)?LCM Type', text))


def braces_notes(path):
    text = Path(path).read_text()
    return {name: note for note, name in re.findall(r"(?:/\*\*\s+\* (\w+)\s+\*/\s+)?(?:public )?double +(\w+);", text)}


found = {}
for name in ("end_of_line", "line_above"):
    found[name] = {
        "python": python_notes(name),
        "java": braces_notes(f"java/sample/{name}.java"),
        "c++": braces_notes(f"cpp/sample/{name}.hpp"),
    }
    print(name, found[name])
wrong, right = {"first": "", "second": "metres"}, {"first": "metres", "second": "radians"}
as_seen = all(notes == wrong for notes in found["end_of_line"].values()) and all(
    notes == right for notes in found["line_above"].values()
)
print("as seen" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
