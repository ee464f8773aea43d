"""Hardware in the loop: one set of tests for the virtual robot and for a real one on its stand (see `--help`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from wildrobot.core.rotations import quat_from_rotvec
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.inspection import check
from wildrobot.robot_description import load_robot
from wildrobot.runtime.logs.playback import ease, joint_figures, logged_targets
from wildrobot.signal_path.estimator import StateEstimator

from . import bounds

if TYPE_CHECKING:
    from .conftest import Rig

JOINTS = load_robot().joint_names
FEET = load_robot().foot_names
POLICY = Path(__file__).resolve().parents[2] / "wildrobot" / "policies" / "wildrobot_walk.onnx"


def excited(spec: Any, joint: int, signal: Any) -> Any:
    """Targets (T, n): home, and one joint by `signal` (T,) beside it, inside its range."""
    targets = np.tile(spec.default_joint_pos, (len(signal), 1))
    room = spec.joint_upper[joint] - spec.default_joint_pos[joint]
    sign = 1.0 if room > 2 * np.max(np.abs(signal)) else -1.0
    targets[:, joint] += sign * signal
    return targets


def test_every_register_is_as_the_description_says(rig: Rig) -> None:
    assert [str(finding) for finding in check(rig.bus, rig.spec) if finding.level == "error"] == []


@pytest.mark.parametrize("name", JOINTS)
def test_a_step_is_answered_in_time(rig: Rig, name: str) -> None:
    spec, joint = rig.spec, rig.spec.joint_names.index(name)
    before, after = 10, 50
    signal = np.concatenate([np.zeros(before), np.full(after, bounds.STEP_RAD)])
    with rig.player() as player:
        player.go_to(spec.default_joint_pos)
        for _ in range(25):
            player.tick(player.target)
        recording = player.play(excited(spec, joint, signal))
        player.go_to(spec.default_joint_pos, 0.5)
    position = recording.position[:, joint]
    start = position[:before].mean()
    way = (position[before:] - start) / (recording.target[-1, joint] - recording.target[0, joint])
    time = np.arange(after) * spec.control_dt
    tenth, most = (
        float(np.interp(level, np.maximum.accumulate(way[:20]), time[:20])) for level in (0.1, 0.9)
    )
    assert tenth <= bounds.STEP_DELAY_S
    assert most - tenth <= bounds.STEP_RISE_S
    assert way.max() <= 1.0 + bounds.STEP_OVERSHOOT
    assert abs(position[-10:].mean() - recording.target[-1, joint]) <= bounds.STEADY_ERROR_RAD


@pytest.mark.parametrize("name", JOINTS)
def test_a_chirp_comes_back_with_its_amplitude_and_little_delay(rig: Rig, name: str) -> None:
    spec, joint = rig.spec, rig.spec.joint_names.index(name)
    time = np.arange(round(4.0 * spec.control_hz)) * spec.control_dt
    low, high = bounds.CHIRP_HZ
    phase = 2.0 * np.pi * (low * time + 0.5 * (high - low) / time[-1] * time**2)
    signal = bounds.CHIRP_RAD * np.sin(phase)
    home = excited(spec, joint, np.full(1, bounds.CHIRP_RAD))[0]
    with rig.player() as player:
        player.go_to(home)
        targets = np.tile(home, (len(signal), 1))
        targets[:, joint] += signal
        recording = player.play(targets)
        player.go_to(spec.default_joint_pos, 0.5)
    target, position = recording.target[:, joint], recording.position[:, joint]
    assert bounds.CHIRP_GAIN[0] <= np.std(position) / np.std(target) <= bounds.CHIRP_GAIN[1]
    delay = joint_figures(spec.joint_names, spec.control_dt, recording)[joint].delay_ms * 1e-3
    assert 0.0 <= delay <= bounds.CHIRP_DELAY_S


@pytest.mark.parametrize("name", FEET)
def test_a_pressed_pad_is_seen_and_no_other(rig: Rig, name: str) -> None:
    foot = rig.spec.foot_names.index(name)
    rig.tell(f"Press the {name.replace('_', ' ')} pad with a finger and keep it pressed")
    if rig.virtual is not None:
        rig.virtual.physics.hand_force[foot] = bounds.PRESS_N
        rig.transport.sleep(0.1)
    frames = [rig.robot.read() for _ in range(10)]
    if rig.virtual is not None:
        rig.virtual.physics.hand_force[foot] = 0.0
        rig.transport.sleep(0.1)
    rig.tell("Let go of the pad")
    pressed = frames[-1].foot_contact[0]
    assert pressed[foot] == 1.0
    assert np.delete(pressed, foot).sum() == 0.0
    assert rig.robot.read().foot_contact[0].sum() == 0.0


@pytest.mark.parametrize(
    ("words", "axis", "sign"),
    [
        ("nose down", 1, 1.0),
        ("nose up", 1, -1.0),
        ("to its left side", 0, -1.0),
        ("to its right side", 0, 1.0),
    ],
)
def test_gravity_follows_the_robot_s_tilt(rig: Rig, words: str, axis: int, sign: float) -> None:
    turn = np.zeros(3)
    turn[axis] = sign * bounds.TILT_RAD
    rig.tell(f"Tilt the whole robot {words} by about 20 degrees and hold it")
    if rig.virtual is not None:
        rig.virtual.physics.tilt(np.array(quat_from_rotvec(turn)))
        rig.transport.sleep(1.0)
    estimator = StateEstimator(rig.spec)
    for _ in range(5):
        gravity = estimator.update(rig.robot.read()).projected_gravity[0]
    if rig.virtual is not None:
        rig.virtual.physics.tilt(np.array([1.0, 0.0, 0.0, 0.0]))
        rig.transport.sleep(1.0)
    rig.tell("Let it hang upright again")
    s, c = np.sin(bounds.TILT_RAD), np.cos(bounds.TILT_RAD)
    expected = np.array([sign * s, 0.0, -c]) if axis == 1 else np.array([0.0, -sign * s, -c])
    error = float(np.arccos(np.clip(gravity @ expected, -1.0, 1.0)))
    allowed = bounds.TILT_ERROR_RAD if rig.virtual is not None else bounds.TILT_ERROR_BY_HAND_RAD
    assert error <= allowed


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Targets of a simulated walk, from its log."""
    from wildrobot.cli.run import run

    log = tmp_path_factory.mktemp("walk") / "walk.lcmlog"
    flags = ["--robot", "sim", "--fast", "--no-lcm", "--duration", "4", "--log", str(log)]
    assert run.main([str(POLICY), *flags]) == 0
    return logged_targets(log, load_robot())


def test_a_recorded_walk_is_followed(rig: Rig, walk: Any) -> None:
    spec = rig.spec
    with rig.player() as player:
        start = player.target
        player.go_to(walk[0])
        recording = player.play(walk)
        player.go_to(start)
    assert len(recording.target) == len(walk) > 200
    for figures in joint_figures(spec.joint_names, spec.control_dt, recording):
        assert figures.error_rms_rad <= bounds.REPLAY_ERROR_RMS_RAD, figures
        assert figures.velocity_noise_rad_s <= bounds.REPLAY_VELOCITY_NOISE_RAD_S, figures
        if not np.isnan(figures.delay_ms):
            assert bounds.REPLAY_DELAY_S[0] <= figures.delay_ms * 1e-3 <= bounds.REPLAY_DELAY_S[1], figures


def test_servos_stop_when_nobody_speaks_to_them(rig: Rig) -> None:
    """The host falls silent while every joint is on its way: the servos stay where they are, and take no more goals."""
    spec, robot = rig.spec, rig.robot
    with rig.player() as player:
        player.go_to(spec.default_joint_pos)
        far = spec.default_joint_pos.copy()
        far[spec.joint_names.index("waist_yaw")] += 0.2
        for target in list(ease(player.target, far, 20))[:10]:
            player.tick(target)
        rig.transport.sleep(bounds.WATCHDOG_S + 0.02)
        stopped = robot.read().joint_position[0]
        state = [rig.bus.read(device, table.BUS_WATCHDOG) for device in spec.servo_ids]
        robot.servos.write_goals(far)
        rig.transport.sleep(0.3)
        later = robot.read().joint_position[0]
        goals = [rig.bus.read(device, table.GOAL_POSITION) for device in spec.servo_ids]
        robot.servos.arm_watchdog(spec.config.bus.watchdog_s)
        player.go_to(spec.default_joint_pos, 0.5)
    assert state == [-1] * spec.num_joints
    assert np.max(np.abs(later - stopped)) < 0.03
    assert goals != robot.servos.counts_of(far).tolist()


def test_at_the_end_everything_is_limp(rig: Rig) -> None:
    assert [rig.bus.read(device, table.TORQUE_ENABLE) for device in rig.spec.servo_ids] == [0] * len(JOINTS)
