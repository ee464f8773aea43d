"""The robot's computer has neither torch nor mujoco: what runs there must import without them."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOMS_ON_THE_ROBOT = ("core", "robot_description", "signal_path", "simulation", "firmware_bridge", "runtime")
# What drives the simulator; chosen by `--robot sim`, never imported otherwise.
NEEDS_MUJOCO = {
    "wildrobot.robot_description.mujoco_model",
    "wildrobot.firmware_bridge.virtual.physics",
    "wildrobot.simulation.simulation",
    "wildrobot.simulation.video",
    "wildrobot.simulation.reel",
    "wildrobot.simulation.picture",
    "wildrobot.simulation.randomization.probe",
    "wildrobot.simulation.randomization.effects",
    "wildrobot.runtime.robots.sim",
}
# What writes other formats; chosen by `log export`, never imported otherwise.
NEEDS_LOG = {f"wildrobot.runtime.logs.{name}" for name in ("mcap_file", "parquet", "protobuf_messages")}
GOLDEN = Path(__file__).parent / "data" / "standing_and_walking.lcmlog"

BLOCK = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in (
            'torch', 'mujoco', 'onnx', 'onnxscript', 'av', 'tensorboard', 'scipy', 'pyarrow', 'mcap',
            'google'
        ):
            raise ModuleNotFoundError(f'{name} is not part of the base install', name=name)

sys.meta_path.insert(0, Blocked())
"""


def modules() -> list[str]:
    names = ["wildrobot.cli.main"]
    for room in ROOMS_ON_THE_ROBOT:
        part = importlib.import_module(f"wildrobot.{room}")
        names += [info.name for info in pkgutil.walk_packages(part.__path__, part.__name__ + ".")]
    return [name for name in names if name not in NEEDS_MUJOCO | NEEDS_LOG]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BLOCK + code], capture_output=True, text=True, timeout=60)


def test_the_block_itself_works() -> None:
    assert "not part of the base install" in run("import torch").stderr
    assert "not part of the base install" in run("import mujoco").stderr


def test_everything_that_runs_on_the_robot_imports_without_torch_and_mujoco() -> None:
    names = modules()
    assert {
        "wildrobot.runtime.control.session",
        "wildrobot.runtime.logs.replay",
        "wildrobot.signal_path.policy",
    } <= set(names)
    code = f"""
failed = []
for name in {names!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        failed.append(f'{{name}}: {{error}}')
sys.exit('; '.join(failed) or 0)
"""
    result = run(code)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "command",
    [["info", str(GOLDEN)], ["diff", str(GOLDEN), str(GOLDEN)], ["plot", str(GOLDEN), "--out", "PAGE"]],
    ids=lambda command: command[0],
)
def test_logs_are_looked_at_with_the_base_install_only(command: list[str], tmp_path: Path) -> None:
    command = [str(tmp_path / "page.html") if word == "PAGE" else word for word in command]
    result = run(f"from wildrobot.cli import main as cli; sys.exit(cli.main({['log', *command]!r}))")
    assert result.returncode == 0, result.stderr


def test_a_run_is_reported_with_the_base_install_only(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"iteration": 1, "steps": 24, "return_mean": 0.5}\n')
    code = f"from wildrobot.cli import main as cli; sys.exit(cli.main(['report', {str(tmp_path)!r}]))"
    result = run(code)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize("command", ["run", "replay"])
def test_help_of_the_robot_s_commands_needs_the_base_install_only(command: str) -> None:
    result = run(f"from wildrobot.cli import main as cli; cli.main([{command!r}, '--help'])")
    assert result.returncode == 0, result.stderr
    assert "usage: " in result.stdout


def test_asking_for_what_is_not_installed_names_the_extra() -> None:
    result = run(
        "from wildrobot.cli.main import main; from wildrobot.core.errors import run_main; "
        "sys.exit(run_main(main, ['train']))"
    )
    assert result.returncode == 2
    assert "pip install 'wildrobot[train]'" in result.stderr
