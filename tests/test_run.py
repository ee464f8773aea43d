"""`wildrobot-run`: a whole run in simulation, its figures, its ways to end, and what it refuses."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from runtime_helpers import SPEC, SmallPolicy, frame_at, run_small_policy, use_small_policy

from wildrobot.cli.run import run
from wildrobot.core.errors import UserError
from wildrobot.core.files import file_sha256
from wildrobot.core.rotations import quat_from_yaw
from wildrobot.runtime.commands.keyboard import KeyboardCommand
from wildrobot.runtime.commands.source import FixedCommand, StopSignals
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.robots.base import RobotOptions
from wildrobot.runtime.robots.choice import open_robot
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES
from wildrobot.simulation.gait_figures import WalkFigures

MS = 1_000_000


# ---------------------------------------------------------------------- commands


def test_flags_command_stands_up_walks_for_its_time_and_ends() -> None:
    source = FixedCommand(SPEC, 0.3, 0.0, duration_s=0.1)
    assert all(
        source.poll(0, state).stand
        for state in (State.LIMP, State.STANDING_UP, State.STANDING)
        for _ in range(50)
    )
    commands = [source.poll(0, State.WALKING) for _ in range(6)]
    assert [command.stop for command in commands] == [False] * 4 + [True] * 2
    assert commands[0].linear_velocity_x == 0.3


def test_without_a_velocity_the_time_counts_from_standing() -> None:
    source = FixedCommand(SPEC, 0.0, 0.0, duration_s=0.04)
    assert [source.poll(0, State.STANDING).end for _ in range(3)] == [False, True, True]


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Any:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "rb", buffering=0, closefd=True) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        source = KeyboardCommand(SPEC, 0.3, 0.2)
        yield SimpleNamespace(press=lambda keys: os.write(leader, keys.encode()), poll=source.poll)
        source.close()
    os.close(leader)


def test_keys_are_held_and_letting_go_stands_still(keyboard: Any) -> None:
    keyboard.press("wa")
    time.sleep(0.05)
    command = keyboard.poll(0, State.WALKING)
    assert (command.linear_velocity_x, command.yaw_rate) == (0.3, 0.2)
    assert keyboard.poll(500 * MS, State.WALKING).linear_velocity_x == 0.3
    late = keyboard.poll(501 * MS, State.WALKING)
    assert (late.linear_velocity_x, late.yaw_rate) == (0.0, 0.0)


def test_keys_for_standing_up_speed_and_the_end(keyboard: Any) -> None:
    keyboard.press("u+w")
    time.sleep(0.05)
    command = keyboard.poll(0, State.LIMP)
    assert command.stand
    assert command.linear_velocity_x == pytest.approx(0.35)
    assert not keyboard.poll(1, State.LIMP).stand
    keyboard.press("e")
    time.sleep(0.05)
    assert keyboard.poll(2, State.WALKING).estop
    keyboard.press("x")
    time.sleep(0.05)
    assert all(keyboard.poll(t, State.WALKING).stop for t in (3, 4))


def test_the_first_signal_stops_softly_and_the_second_lets_go() -> None:
    command = FixedCommand(SPEC, 0.3, 0.0, 1.0).poll(0, State.WALKING)
    with StopSignals() as signals:
        assert signals.applied_to(command) is command
        signal.raise_signal(signal.SIGTERM)
        first = signals.applied_to(command)
        assert (first.stop, first.estop, first.linear_velocity_x) == (True, False, 0.0)
        signal.raise_signal(signal.SIGINT)
        assert signals.applied_to(command).estop
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# ---------------------------------------------------------------------- figures


def truth_at(x: float, yaw: float, speed: float, left_m: float, right_m: float) -> Any:
    """A simulator's truth with each foot's sole at a height; a foot above the floor carries nothing."""
    heights = np.array([left_m + 0.01 * (left_m > 0), left_m, right_m, right_m])
    return SimpleNamespace(
        pelvis_quaternion=quat_from_yaw(np.array([yaw])),
        pelvis_linear_velocity=np.array([[speed * np.cos(yaw), speed * np.sin(yaw), 0.0]]),
        foot_force=np.where(heights > 0, 0.0, 8.0)[None],
        foot_position=np.stack([np.full(4, x), np.zeros(4), heights], axis=-1)[None],
    )


def test_speed_and_heading_are_measured_along_the_robot_and_through_the_wrap() -> None:
    figures = WalkFigures(SPEC)
    for tick in range(101):
        figures.walking(np.array([0.3, 0.1]), Any, truth_at(0.0, 3.0 + 0.004 * tick, 0.25, 0.0, 0.0))
    summary = figures.summary()
    assert summary["mean_speed_m_s"] == pytest.approx(0.25)
    assert summary["commanded_speed_m_s"] == pytest.approx(0.3)
    assert summary["heading_drift_rad"] == pytest.approx(100 * 0.004 - 100 * 0.1 * SPEC.control_dt)
    assert summary["walked_s"] == pytest.approx(101 * SPEC.control_dt)
    assert summary["swing_clearance_m"] == {"left": None, "right": None}


def test_swing_clearance_is_the_peak_of_the_lower_edge_of_whole_swings() -> None:
    figures = WalkFigures(SPEC)
    swing = [0.005, 0.02, 0.03, 0.01]
    left = [0.02, 0.09, 0.0, *swing, 0.0, 0.0, *(2 * h for h in swing), 0.0, 0.05, 0.05, 0.05]
    right = [0.0] * 4 + [0.001, 0.0] + [0.0] * (len(left) - 6)
    for a, b in zip(left, right, strict=True):
        figures.walking(np.zeros(2), Any, truth_at(0.0, 0.0, 0.0, a, b))
    summary = figures.summary()
    assert summary["swings"] == {
        "left": 2,
        "right": 0,
    }  # begun before, not yet over, and a twitch: not counted
    assert summary["swing_clearance_m"]["left"] == pytest.approx((0.03 + 0.06) / 2)


# ---------------------------------------------------------------------- a whole run


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def messages(path: Path, channel: str) -> list[Any]:
    return [CHANNEL_TYPES[channel].decode(event.data) for event in read_log(path) if event.channel == channel]


def test_a_run_goes_from_limp_over_walking_to_limp_and_leaves_figures_and_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("--log", str(tmp_path / "log"), "--json", str(tmp_path / "figures.json"))
    assert run_small_policy(monkeypatch, tmp_path, "--speed", "0.2", "--duration", "2", *files) == 0
    states = list(dict.fromkeys(message.state for message in messages(tmp_path / "log", "robot_state")))
    assert states == ["limp", "standing_up", "standing", "walking", "soft_stop"]
    assert messages(tmp_path / "log", "robot_state")[-1].state == "limp"
    figures = read_json(tmp_path / "figures.json")
    assert figures["walked_s"] == pytest.approx(2.0)
    assert figures["falls"] == 0
    assert abs(figures["mean_speed_m_s"]) < 0.05  # the small policy stands
    assert figures["tick"]["count"] == len(messages(tmp_path / "log", "robot_command"))
    assert "swing clearance, left" in capsys.readouterr().out


def test_the_log_holds_what_the_servos_got_and_who_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_small_policy(
        monkeypatch, tmp_path, "--speed", "0.2", "--duration", "1", "--log", str(tmp_path / "log")
    )
    (configuration,) = messages(tmp_path / "log", "run_configuration")
    assert configuration.robot_hash == SPEC.robot_hash
    assert configuration.policy_sha256 == file_sha256(tmp_path / "policy.onnx")
    assert tuple(json.loads(configuration.json)["joint_names"]) == SPEC.joint_names
    commands = messages(tmp_path / "log", "robot_command")
    applied = np.array([command.joint_target_applied for command in commands])
    assert np.all(applied >= SPEC.joint_lower - 1e-9)
    assert np.all(applied <= SPEC.joint_upper + 1e-9)
    by_tick = {command.tick: command for command in commands}
    for policy in messages(tmp_path / "log", "policy_state"):
        assert by_tick[policy.tick].joint_target_requested == policy.joint_target
    stamps = [message.timestamp_us for message in messages(tmp_path / "log", "robot_state")]
    assert set(np.diff(stamps)) == {20_000}
    assert all(len(event.data) < 4096 for event in read_log(tmp_path / "log"))


def test_the_same_seed_gives_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def frames(seed: int) -> list[Any]:
        flags = ("--speed", "0.2", "--duration", "1", "--randomize", "--push", "0.2")
        log = tmp_path / "log"
        run_small_policy(monkeypatch, tmp_path, *flags, "--seed", str(seed), "--log", str(log))
        return [(m.tick, m.state, m.joint_position, m.imu_acceleration) for m in messages(log, "robot_state")]

    first = frames(1)
    assert frames(1) == first
    assert frames(2) != first


def test_a_fall_takes_the_torque_away_and_ends_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Toppler(SmallPolicy):
        def __call__(self, observation: Any) -> Any:
            ankles = [i for i, name in enumerate(SPEC.joint_names) if "ankle" in name]
            action = np.zeros((1, SPEC.num_joints), dtype=np.float32)
            action[:, ankles] = 2.0
            return action

    flags = ("--duration", "5", "--log", str(tmp_path / "log"), "--json", str(tmp_path / "figures.json"))
    assert run_small_policy(monkeypatch, tmp_path, *flags, policy=Toppler(SPEC)) == 1
    assert read_json(tmp_path / "figures.json")["falls"] == 1
    commands = messages(tmp_path / "log", "robot_command")
    assert commands[-1].state == "estop"
    assert commands[-1].torque_gain == 0.0
    assert "fall" in [event.name for event in messages(tmp_path / "log", "robot_event")]


def test_a_policy_that_answers_nan_is_held_and_stopped_softly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = SmallPolicy(SPEC, after={80: np.nan})
    flags = ("--duration", "5", "--log", str(tmp_path / "log"), "--json", str(tmp_path / "figures.json"))
    assert run_small_policy(monkeypatch, tmp_path, *flags, policy=policy) == 1
    figures = read_json(tmp_path / "figures.json")
    assert (figures["fault"], figures["falls"]) == ("policy_output_not_finite", 0)
    commands = messages(tmp_path / "log", "robot_command")
    (held,) = [i for i, command in enumerate(commands) if command.limited_by == "not_finite"]
    assert commands[held].joint_target_applied == commands[held - 1].joint_target_applied
    assert commands[held + 1].state == "soft_stop"
    assert commands[-1].state == "limp"
    assert np.all(np.isfinite([command.joint_target_applied for command in commands]))


def test_a_robot_that_lies_on_its_side_is_not_stood_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wildrobot.simulation.simulation import Simulation

    def lying(self: Simulation, count: int) -> Any:
        qpos = np.tile(self.model.qpos0, (count, 1))
        qpos[:, 2:7] = [0.15, np.cos(np.pi / 4), np.sin(np.pi / 4), 0.0, 0.0]
        return qpos, np.zeros((count, self.model.nv))

    monkeypatch.setattr(Simulation, "home", lying)
    flags = ("--log", str(tmp_path / "log"), "--json", str(tmp_path / "figures.json"))
    assert run_small_policy(monkeypatch, tmp_path, *flags) == 1
    assert read_json(tmp_path / "figures.json")["fault"] == "tilt_rad"
    assert {message.state for message in messages(tmp_path / "log", "robot_state")} == {"limp"}


def test_torque_off_lets_the_simulated_robot_sink_and_torque_on_holds_it() -> None:
    robot: Any = open_robot("sim", SPEC, RobotOptions())
    height = {}
    for gain in (1.0, 0.0):
        robot.simulation.reset()
        robot.set_stiffness(gain)
        for _ in range(25):
            robot.write(SPEC.default_joint_pos[None])
        height[gain] = float(robot.truth().pelvis_position[0, 2])
    robot.close()
    assert height[1.0] == pytest.approx(SPEC.standing_height, abs=0.01)
    assert height[0.0] < height[1.0] - 0.01


def test_a_simulated_robot_waits_on_its_stand_until_the_torque_comes_on() -> None:
    robot: Any = open_robot("sim", SPEC, RobotOptions())
    robot.set_stiffness(0.0)
    for _ in range(100):
        robot.write(np.zeros((1, SPEC.num_joints)))
    np.testing.assert_allclose(robot.read().joint_position[0], SPEC.default_joint_pos, atol=0.05)
    robot.set_stiffness(0.01)
    robot.set_stiffness(0.0)
    for _ in range(100):
        robot.write(SPEC.default_joint_pos[None])
    assert robot.truth().pelvis_position[0, 2] < SPEC.standing_height - 0.02
    robot.close()


def test_real_time_is_kept_and_a_signal_stops_softly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    files = ("--log", str(tmp_path / "log"), "--json", str(tmp_path / "figures.json"))

    class Policy(SmallPolicy):
        def __call__(self, observation: Any) -> Any:
            if not asked.ident:
                asked.start()  # the loop is near: the process listens to signals soon
            return super().__call__(observation)

    assert (
        run_small_policy(monkeypatch, tmp_path, *files, "--speed", "0", policy=Policy(SPEC), fast=False) == 0
    )
    tick = read_json(tmp_path / "figures.json")["tick"]
    states = messages(tmp_path / "log", "robot_state")
    seconds = 1e-6 * (states[-1].timestamp_us - states[0].timestamp_us)
    # Ticks that ran and ticks that were skipped fill the time, to the last one's lateness.
    assert (tick["count"] - 1 + tick["missed"]) * SPEC.control_dt == pytest.approx(seconds, abs=0.1)
    assert states[-1].state == "limp"
    assert seconds < 15.0  # the command was for 20 s of standing; the signal ended it


# ---------------------------------------------------------------------- starting, and bad input


def test_help_is_fast_shows_examples_and_imports_neither_torch_nor_mujoco() -> None:
    script = (
        "import sys, time\nfrom wildrobot.cli.run.run import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    code = end.code\n"
        "loaded = {'torch', 'mujoco'} & set(sys.modules)\n"
        "print(code, sorted(loaded), time.process_time(), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    code, loaded, seconds = done.stderr.split()
    assert (code, loaded) == ("0", "[]")
    assert float(seconds) < 1.0  # of the processor's time, start of the interpreter included
    assert "examples:" in done.stdout
    assert "--lcm-command" in done.stdout


def test_the_runtime_imports_without_torch_and_mujoco() -> None:
    script = (
        "import sys\nsys.modules['torch'] = sys.modules['mujoco'] = None\n"
        "import wildrobot.runtime.control.session, wildrobot.runtime.logs.replay\n"
        "import wildrobot.runtime.control.controller\n"
        "import wildrobot.runtime.telemetry.publisher, wildrobot.runtime.commands.source, wildrobot.cli.run.execute\n"
        "import wildrobot.signal_path.path, wildrobot.runtime.robots.choice\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--robot", "dynamixel", "--yes"), "no --port was given"),
        (("--robot", "dynamixel", "--port", "/dev/nothing", "--yes"), "there is no port /dev/nothing"),
        (("--robot", "dynamixel", "--port", "/dev/null", "--yes"), "cannot open /dev/null"),
        (("--port", "/dev/null"), "--port is for --robot dynamixel"),
        (("--speed", "3"), "walks at 0.0 to 0.6 m/s"),
        (("--yaw-rate", "-2"), "--yaw-rate is -2.0"),
        (("--speed", "nan"), "--speed is nan"),
        (("--duration", "0"), "expected seconds above 0"),
        (("--push", "-1"), "expected a speed of 0 or more"),
        (("--keyboard",), "needs a terminal"),
        (("--keyboard", "--lcm-command"), "exclude each other"),
        (("--lcm-command", "--fast"), "nobody the time"),
        (("--robot-file", "/nowhere/robot.yaml"), "/nowhere/robot.yaml"),
        (("--log", "/proc/none/log"), "cannot write the log"),
        (("--log", "/proc/none/log", "--log-rotate", "1"), "cannot write the log"),
        (("--log-rotate", "1"), "Give --log FILE"),
        (("--log", "log", "--log-rotate", "0"), "expected parts of more than 0"),
        (("--log", "log", "--log-rotate", "nan"), "expected parts of more than 0"),
        (("--log", "log", "--log-rotate", "64", "--log-keep", "10"), "at most what is kept"),
        (("--lcm-command", "--no-lcm"), "a command answers what the robot says"),
        (("--name", "Left Desk"), "a robot cannot be called 'Left Desk'"),
    ],
)
def test_bad_input_is_refused_with_what_to_do(
    flags: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "policy.onnx"
    file.write_bytes(b"small policy")
    use_small_policy(monkeypatch)
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115
    with pytest.raises(UserError, match=message):
        run.main([str(file), "--no-lcm", *flags])


def test_a_network_that_lcm_does_not_know_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "policy.onnx").write_bytes(b"small policy")
    use_small_policy(monkeypatch)
    with pytest.raises(UserError, match="use a URL that LCM knows"):
        run.main([str(tmp_path / "policy.onnx"), "--lcm-command", "--lcm-url", "nonsense://"])


@pytest.mark.parametrize("flag", ["--fast", "--randomize", "--push=0.1", "--video=x.mp4"])
def test_flags_of_the_simulation_are_refused_for_a_real_robot(flag: str, tmp_path: Path) -> None:
    (tmp_path / "policy.onnx").write_bytes(b"")
    with pytest.raises(UserError, match="is for --robot sim only"):
        run.main([str(tmp_path / "policy.onnx"), "--robot", "dynamixel", flag])


def test_a_missing_policy_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no policy .*absent\.onnx"):
        run.main([str(tmp_path / "absent.onnx")])


def test_without_rendering_the_run_goes_on_without_the_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from wildrobot.simulation import video

    monkeypatch.setattr(video, "video_available", lambda: (False, "apt-get install -y libegl1"))
    flags = ("--speed", "0", "--duration", "0.5", "--video", str(tmp_path / "walk.mp4"))
    assert run_small_policy(monkeypatch, tmp_path, *flags) == 0
    assert "no video: apt-get install -y libegl1" in capsys.readouterr().err


def test_frames_of_a_robot_at_rest_are_valid() -> None:
    robot: Any = open_robot("sim", SPEC, RobotOptions())
    frame, still = robot.read(), frame_at()
    for name, value in vars(still).items():
        assert np.shape(getattr(frame, name)) == np.shape(value), name
