"""What all tests share: one thread, fixed seeds, the robot, and a small executed reference."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch start their pools

import copy
import dataclasses
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from training_helpers import no_correction

from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.training.reference.clip import PlannedClip

if TYPE_CHECKING:
    from wildrobot.training.reference.dataset import ReferenceDataset


# A test run in the background of a shell inherits an ignored Ctrl-C, and would pass that on to the programs it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup(
        "hil",
        "tests/hil, hardware in the loop. Without --port they run on the virtual robot. With --port they move a "
        "real robot, which must hang from its stand with its feet off the floor: every joint goes to its home pose "
        "and steps there by 0.1 rad, sways by 0.05 rad at up to 4 Hz, and follows 5 s of a recorded walk; you are "
        "asked to press the four foot pads and to tilt the robot by 20 degrees. Current, temperature and voltage are "
        "watched. Nothing moves before you have said yes; Ctrl-C turns the torque off; at the end all torque is off",
    )
    group.addoption(
        "--port", help="serial port of a real robot; default: the virtual robot, in simulated time"
    )
    group.addoption("--robot-file", help="its robot.yaml, if it is not WildRobot's")
    group.addoption("--calibration", help="its calibration")
    group.addoption(
        "--yes", action="store_true", help="count down instead of asking before the robot moves: it hangs"
    )
    group.addoption("--countdown", default=5.0, help="with --yes: seconds to count down, 1 or more")


@pytest.fixture(autouse=True)
def _one_thread_and_fixed_seeds() -> None:
    np.random.seed(0)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def multicast() -> str:
    """An LCM network of this test run's own, on this machine only."""
    return f"udpm://239.255.76.67:{20000 + os.getpid() % 20000}?ttl=0"


@pytest.fixture
def library_multicast(multicast: str) -> Iterator[str]:
    """The same where programs on LCM's own library use it, too: on a computer of its own with a route for them, or
    without the right to make one here, if there is that route."""
    from computers import GROUP, Computer, local_route, why_not

    from wildrobot.core.lcm_udp import LOOPBACK, route_interface

    if not why_not():
        with Computer(1) as computer:
            local_route(computer)
            with computer.inside():
                yield multicast
    elif route_interface(GROUP) == LOOPBACK:
        yield multicast
    else:
        pytest.skip(f"no multicast route through lo, and {why_not()}: ip route add 224.0.0.0/4 dev lo")


@pytest.fixture(scope="session")
def spec() -> RobotSpec:
    """WildRobot."""
    return load_robot()


@pytest.fixture(scope="session")
def squat(spec: RobotSpec) -> PlannedClip:
    """One second of slow knee bends in place, feet on the floor, as a planned clip that repeats."""
    time = np.arange(50) * spec.control_dt
    bend, rate = 0.1 * np.sin(2 * np.pi * time), 0.2 * np.pi * np.cos(2 * np.pi * time)
    leg = np.array([-1.0, 0.0, 2.0, -1.0])  # the shank and thigh are nearly equal: the sole stays level
    direction = np.concatenate([[0.0], leg, leg])
    position = spec.default_joint_pos + bend[:, None] * direction
    height = -spec.kinematics.foot_points(position)[..., 2].min(axis=-1)
    root = np.stack([0.0 * time, 0.0 * time, height], axis=-1)
    return PlannedClip(
        name="squat",
        joint_position=position,
        joint_velocity=rate[:, None] * direction,
        root_position=root,
        root_quaternion=np.tile([1.0, 0.0, 0.0, 0.0], (50, 1)),
        root_linear_velocity=np.gradient(root, spec.control_dt, axis=0),
        root_angular_velocity=np.zeros((50, 3)),
        contact=np.ones((50, spec.num_feet), dtype=bool),
        command=np.zeros((50, 2)),
        phase=np.zeros(50),
        moving=np.zeros(50, dtype=bool),
        loop=True,
        source="tests",
    )


@pytest.fixture(scope="session")
def small_reference(spec: RobotSpec, squat: PlannedClip) -> ReferenceDataset:
    """Knee bends, executed without any correction; once as standing and once called a walk of 0.2 m/s."""
    from wildrobot.simulation.randomization.config import BASIC
    from wildrobot.training.reference.execute.record import record
    from wildrobot.training.reference.execute.track import TrackConfig

    count = len(squat)
    march = dataclasses.replace(
        squat,
        name="march",
        command=np.tile([0.2, 0.0], (count, 1)),
        phase=2 * np.pi * np.arange(count) / count,
        moving=np.ones(count, dtype=bool),
    )
    config = TrackConfig(
        episode_s=1.0, settle_s=0.2, rollouts_per_clip=4, noisy_rollouts_per_clip=2, student_rounds=0,
        randomization=BASIC,
    )  # fmt: skip
    return record(spec, [squat, march], no_correction, config, seed=0)


@pytest.fixture(scope="session")
def walking_reference(small_reference: ReferenceDataset) -> ReferenceDataset:
    """The same, all of it commanded to walk."""
    reference = copy.deepcopy(small_reference)
    reference.arrays["command"][:] = [0.2, 0.0]
    reference.arrays["moving"][:] = True
    return reference
