"""What all tests share: one thread, fixed seeds, the robot, and a small executed reference."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch start their pools

import sys

import numpy as np
import pytest

from wildrobot.robot_description import RobotSpec, load_robot


@pytest.fixture(autouse=True)
def _one_thread_and_fixed_seeds() -> None:
    np.random.seed(0)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def spec() -> RobotSpec:
    """WildRobot."""
    return load_robot()
