"""Does the wheel keep its promises? Every command, outside the repository, with the base install and with each extra.

python scripts/check_wheel.py                      # the base install: a minute
python scripts/check_wheel.py base sim view log    # these installs
python scripts/check_wheel.py train --torch torch==2.13.0 --venvs /tmp/venvs

A command runs, or ends with exit code 2 and one line that says which extra to install; never with a traceback. Every
install gets a virtual environment of its own. Prints the table; exit code 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from wildrobot.cli.main import COMMANDS  # noqa: E402

INSTALLS = ("base", "sim", "view", "train", "log")
BRINGS = {"view": ("sim", "view"), "train": ("sim", "train")}
"""Extras that bring others along; any other brings itself."""
LOG = ROOT / "tests" / "data" / "standing_and_walking.lcmlog"
TIME_LIMIT_S = 300.0
SMALL_REFERENCE = (
    "--gaits.speeds-m-s 0.3 --gaits.turn-speeds-m-s 0.0 --gaits.stand-s 1.2 --track.iterations 2 --track.num-envs 16 "
    "--track.steps 8 --track.hidden 16 16 --track.episode-s 1.2 --track.rollouts-per-clip 2 "
    "--track.noisy-rollouts-per-clip 1 --track.student-rounds 1 --track.student-rollouts-per-clip 1 "
    "--track.limits.self-collision 1 --device cpu"
)
SMALL_TRAINING = (
    "--iterations 2 --num-envs 16 --steps 8 --device cpu --hidden 16 16 --amp.hidden 16 16 --amp.batch 32 "
    "--selection.every 0 --cloning.updates 10"
)


@dataclass(frozen=True)
class Try:
    """How a command is tried."""

    arguments: str = ""
    codes: tuple[int, ...] = (0,)
    """Exit codes of a command that does its work here."""
    stop_after_s: float | None = None
    """It runs until Ctrl-C, which it is sent then."""
    says: str = ""
    """What it must say (a command that needs a robot gets as far as missing it)."""
    without_input: str = ""
    """What it may say in one line where the command that makes its input is not installed."""


TRIES = {
    "reference build": Try(f"--preset quick {SMALL_REFERENCE} --output runs/reference/reference.npz"),
    "reference show": Try("runs/reference/reference.npz", without_input="cannot read the reference"),
    "train": Try(f"--preset quick {SMALL_TRAINING} --run-dir runs/first"),
    "export": Try("runs/first --onnx"),
    "eval": Try("--episodes 2 --duration 1 --speeds 0.3"),
    "film": Try("--out runs/film --scenes stand"),
    "randomization": Try("--preset full", codes=(0, 1)),
    "run": Try("--robot sim --fast --no-lcm --speed 0.3 --duration 2"),
    "view": Try("--sim --port 0", codes=(0, 130), stop_after_s=15.0, says="open http"),
    "virtual-robot": Try("--link virtual --duration 1"),
    "doctor": Try(codes=(0, 1)),
    "calibrate": Try("--port no_such_port", codes=(2,), says="no_such_port"),
    "servo": Try("scan --port no_such_port", codes=(2,), says="no_such_port"),
    "replay": Try("walk.lcmlog --tolerance 1e-6"),
    "log info": Try("walk.lcmlog"),
    "log plot": Try("walk.lcmlog --out walk.html"),
    "log diff": Try("walk.lcmlog walk.lcmlog"),
    "log export": Try("walk.lcmlog --out walk.mcap"),
    "report": Try("runs/second"),
    "make-run": Try("--out runs/make_run", codes=(0, 130), stop_after_s=15.0, says="reference"),
    "completion": Try("bash", says="complete -o default"),
}


def build(folder: Path) -> Path:
    """The wheel, built from a copy of what a checkout holds."""
    copy = folder / "source"
    shutil.copytree(ROOT / "wildrobot", copy / "wildrobot", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(copy)], check=True)
    return next(folder.glob("*.whl"))


def install(wheel: Path, name: str, folder: Path, torch: str) -> Path:
    """The folder of programs of an environment with this wheel and nothing else."""
    place = folder / name
    if not (place / "bin" / "pip").exists():
        venv.create(place, with_pip=True)
    pip = [str(place / "bin" / "pip"), "--disable-pip-version-check", "install", "-q"]
    if name == "train":  # first and pinned: without a pin pip takes the newest build with gigabytes of CUDA
        subprocess.run([*pip, torch], check=True)
    extra = "" if name == "base" else f"[{name}]"
    subprocess.run([*pip, f"wildrobot{extra} @ {wheel.as_uri()}"], check=True)
    subprocess.run([*pip, "--no-deps", "--force-reinstall", str(wheel)], check=True)
    return place / "bin"


def workplace(folder: Path) -> Path:
    """A folder with what the commands are given: a log, and a run to report."""
    run = folder / "runs" / "second"
    run.mkdir(parents=True)
    (run / "metrics.jsonl").write_text(json.dumps({"iteration": 0, "steps": 128, "return_mean": 0.1}) + "\n")
    shutil.copy(LOG, folder / "walk.lcmlog")
    return folder


def outcome(command: list[str], how: Try, folder: Path) -> tuple[int, str, str]:
    """Run it; exit code, standard output, standard error."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=how.stop_after_s or TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to it and to what it started
        try:
            out, err = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
    return process.returncode, out, err


def judge(name: str, how: Try, installed: str, extra: str, result: tuple[int, str, str]) -> tuple[bool, str]:
    """Whether the promise is kept, and what to show."""
    code, out, err = result
    if "Traceback" in err:
        return False, f"{code}, traceback: {err.strip().splitlines()[-1]}"
    lack = re.search(
        r"'(\w+)', which is not installed\. Install it with: pip install '(wildrobot\[\w+\])'", err
    )
    if lack:
        has_it = not extra or extra in BRINGS.get(installed, (installed,))
        lines = len(err.strip().splitlines()) + len(out.strip().splitlines())
        excused = name == "run"  # the base install drives a robot; its default, the simulated one, needs more
        kept = code == 2 and lines == 1 and (excused or not has_it)
        return kept, f"2, {lack[2]} ({lack[1]})" + ("" if kept else f"; {lines} lines, exit code {code}")
    if (
        how.without_input
        and code == 2
        and installed != "train"
        and err.startswith(f"error: {how.without_input}")
    ):
        return len(err.splitlines()) == 1, "runs (2: nothing to show yet)"
    if code not in how.codes or how.says not in out + err:
        return False, f"{code}: {(err or out).strip().splitlines()[-1:]}"
    return True, "runs"


def check(wheel: Path, installed: str, venvs: Path, torch: str) -> dict[str, tuple[bool, str]]:
    """All commands with one install."""
    programs = install(wheel, installed, venvs, torch)
    with tempfile.TemporaryDirectory() as folder:
        place = workplace(Path(folder))
        found = {}
        for command in COMMANDS:
            how = TRIES[command.name]
            words = [str(programs / "wildrobot"), *command.words, *shlex.split(how.arguments)]
            found[command.name] = judge(
                command.name, how, installed, command.extra, outcome(words, how, place)
            )
            print(f"{installed:>6}  {command.name:<16} {found[command.name][1]}", file=sys.stderr, flush=True)
        return found


def main() -> int:
    # in the background of a shell Ctrl-C is ignored, which what is started from here would inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("installs", nargs="*", metavar="INSTALL", help=f"of {' '.join(INSTALLS)} (base)")
    parser.add_argument("--wheel", type=Path, help="this one, instead of one that is built here")
    parser.add_argument("--venvs", type=Path, help="keep the environments here, or use those that are there")
    parser.add_argument("--torch", default="torch", help="what pip is asked for (default: %(default)s)")
    arguments = parser.parse_args()
    chosen = arguments.installs or ["base"]
    if unknown := set(chosen) - set(INSTALLS):
        parser.error(f"there is no install {', '.join(sorted(unknown))}; known: {', '.join(INSTALLS)}")
    with tempfile.TemporaryDirectory() as folder:
        wheel = (arguments.wheel or build(Path(folder))).resolve()
        venvs = arguments.venvs or Path(folder) / "venvs"
        found = {name: check(wheel, name, venvs, arguments.torch) for name in chosen}
    print("| command | " + " | ".join(found) + " |\n|---" + "|---" * len(found) + "|")
    for command in COMMANDS:
        cells = [
            f"{'' if kept else '**broken** '}{text}"
            for kept, text in (f[command.name] for f in found.values())
        ]
        print(f"| `{command.name}` | " + " | ".join(cells) + " |")
    return 0 if all(kept for rows in found.values() for kept, _ in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
