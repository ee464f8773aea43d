"""An exported policy on the robot's computer, where neither torch nor mujoco nor onnx is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from policy_helpers import make_run
from test_base_install import BLOCK

from wildrobot.export.run_export import export
from wildrobot.robot_description import RobotSpec

LOAD = """
import numpy as np
from wildrobot.robot_description import load_robot
from wildrobot.signal_path.policy import OnnxPolicy, OnnxStyle
spec = load_robot()
policy = OnnxPolicy(sys.argv[1], spec)
style = OnnxStyle(sys.argv[2], spec)
assert policy.verify_golden() <= 1e-5 and style.verify_golden() <= 1e-5
assert policy(np.zeros((3, policy.input_size), dtype=np.float32)).shape == (3, spec.num_joints)
score = style.score(np.random.default_rng(0).normal(0.0, 9.0, (50, style.input_size)))
assert score.shape == (50,) and score.min() >= 0.0 and score.max() <= 1.0
"""


def test_policy_and_style_load_and_verify_without_torch_and_mujoco(spec: RobotSpec, tmp_path: Path) -> None:
    files = export(make_run(tmp_path, spec), threads=1)
    arguments = [sys.executable, "-c", BLOCK + LOAD, str(files.policy), str(files.style)]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_a_policy_runs_on_one_thread_and_reports_to_nobody() -> None:
    code = """
import os
from wildrobot.signal_path.policy import open_session
from wildrobot.signal_path.shipped import POLICIES
session = open_session(str(POLICIES / 'wildrobot_walk.onnx'))
threads = [open(f'/proc/self/task/{task}/comm').read() for task in os.listdir('/proc/self/task')]
assert len(threads) == 1, threads
"""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).resolve().parents[1],
        env=environment | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
