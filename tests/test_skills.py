"""Several policies in one run: who is in charge, loading them anew while the robot stands, and the live style score."""

from __future__ import annotations

import dataclasses
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runtime_helpers import SPEC, SmallPolicy, run_small_policy, small_skill, write_small_onnx

from wildrobot.core.errors import UserError
from wildrobot.runtime.bench import StillRobot
from wildrobot.runtime.commands.source import OperatorCommand, StopSignals
from wildrobot.runtime.control.controller import STAGES, Controller
from wildrobot.runtime.control.safety import SafetySupervisor
from wildrobot.runtime.control.skills import Reloader, Skill
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.control.timing import TickTimer
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES


class Told:
    """A publisher that keeps events and which policy was in charge."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, int]] = []
        self.policies: list[tuple[int, bool]] = []
        self.configured: list[Any] = []

    def begin(self, *_: Any) -> None: ...

    def event(self, name: str, text: str, severity: int = 0) -> None:
        self.events.append((name, text, severity))

    def state(self, *_: Any) -> None: ...

    def policy(self, signal: Any, action: Any, target: Any, reset: bool, policy: int, style: float) -> None:
        self.policies.append((policy, reset))

    def command(self, *_: Any) -> None: ...

    def health(self, *_: Any) -> None: ...

    def announce(self, *_: Any) -> None: ...

    def status(self, *_: Any) -> None: ...

    def end(self) -> None: ...

    def reconfigure(self, policies: Any) -> None:
        self.configured.append(list(policies))


class Scripted:
    """Whatever `command` is now."""

    def __init__(self) -> None:
        self.command = OperatorCommand(stand=True)

    def poll(self, now_ns: int, state: State) -> OperatorCommand:
        command, self.command = self.command, dataclasses.replace(self.command, policy=0)
        return command

    def close(self) -> None: ...


class Bench:
    """A controller with two policies on a robot that stands where it is told to."""

    def __init__(self, reloader: Reloader | None = None) -> None:
        self.networks = [SmallPolicy(SPEC), SmallPolicy(SPEC)]
        skills = [
            small_skill(SPEC, Path(f"{name}.onnx"), n) for name, n in zip("ab", self.networks, strict=True)
        ]
        self.source, self.told = Scripted(), Told()
        timer = TickTimer(STAGES, window=50)
        self.controller = Controller(
            SPEC,
            SafetySupervisor(SPEC, StillRobot(SPEC)),
            skills,
            self.source,
            StopSignals(),
            self.told,
            timer,
            reloader,  # type: ignore[arg-type]
        )
        self.ticks(200)
        assert self.controller.state is State.STANDING

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.controller.timer.start(0, 0)
            self.controller.tick(time.monotonic_ns())

    def say(self, **changes: Any) -> None:
        """Command, for one tick and on."""
        self.source.command = OperatorCommand(**changes)
        self.ticks(1)


# ---------------------------------------------------------------------- taking over


def test_another_policy_takes_over_while_the_robot_stands_with_an_empty_history() -> None:
    bench = Bench()
    assert bench.told.policies[-1] == (0, False)
    calls = bench.networks[1]._calls
    bench.say(policy=2)
    assert bench.told.policies[-1] == (1, True)
    assert bench.networks[1]._calls == calls + 1
    bench.ticks(3)
    assert bench.told.policies[-3:] == [(1, False)] * 3
    assert ("policy", "2: b.onnx in charge", 0) in bench.told.events
    bench.say(policy=1)
    assert bench.told.policies[-1] == (0, True)


def test_nobody_takes_over_while_the_robot_walks() -> None:
    bench = Bench()
    bench.say(linear_velocity_x=0.3)
    assert bench.controller.state is State.WALKING
    bench.say(linear_velocity_x=0.3, policy=2)
    assert bench.told.policies[-1] == (0, False)
    assert bench.told.events[-1] == (
        "policy", "policy 2 can take over only while the robot stands or its torque is off", 1,
    )  # fmt: skip
    bench.say(policy=2)  # it still walks on the tick of the command
    bench.ticks(1)
    bench.say(policy=2)
    assert bench.told.policies[-1][0] == 1


def test_a_policy_that_is_not_there_is_refused_and_the_present_one_is_no_change() -> None:
    bench = Bench()
    bench.say(policy=3)
    assert bench.told.events[-1] == ("policy", "there is no policy 3, only 2", 1)
    count = len(bench.told.events)
    bench.say(policy=1)
    assert len(bench.told.events) == count
    assert bench.told.policies[-1] == (0, False)


class Posed(SmallPolicy):
    """Asks for one pose, `offset` (n,) rad away from home, whatever it sees."""

    def __init__(self, offset: Any) -> None:
        super().__init__(SPEC)
        self._answer = (np.asarray(offset) / SPEC.action_scale)[None].astype(np.float32)

    def __call__(self, observation: Any) -> Any:
        self._calls += 1
        return self._answer


def targets_at_a_switch(bench: Bench, first: Any, second: Any, ticks: int = 30) -> Any:
    """Targets (1 + ticks, n) rad given to the servos: the last before the policy that asks for `first` (n,) rad from
    home gives way to that which asks for `second`, and those after it."""
    for skill, offset in zip(bench.controller.skills, (first, second), strict=True):
        skill.policy = Posed(offset)
    bench.ticks(30)
    given = [bench.controller.safety.target[0].copy()]
    bench.say(policy=2)
    for _ in range(ticks):
        given.append(bench.controller.safety.target[0].copy())
        bench.ticks(1)
    return np.array(given)


def test_at_a_switch_the_target_goes_smoothly_from_the_old_pose_to_the_new_one() -> None:
    offset = 0.3 * np.sign(-SPEC.default_joint_pos)
    given = targets_at_a_switch(Bench(), 0.0 * offset, offset)
    np.testing.assert_allclose(
        given[[0, -1]], SPEC.default_joint_pos + np.outer([0.0, 1.0], offset), atol=1e-6
    )
    steps = np.diff(given, axis=0) * np.sign(offset)
    assert (steps >= 0.0).all()  # never back, never past
    # the peak of a minimum-jerk curve of 0.4 s; the limiter alone lets 0.096 rad pass, from the first tick on
    peak = 1.875 * 0.3 / 0.4 * SPEC.control_dt
    assert 0.9 * peak < steps.max() < 1.01 * peak < 0.3 * SPEC.target_rate_limit.min() * SPEC.control_dt
    assert steps[0].max() < 0.1 * peak
    assert np.all(steps[20:] < 1e-7)  # 0.4 s, and then the new policy has the servos to itself


def test_a_switch_back_on_the_way_begins_where_the_target_is() -> None:
    bench, offset = Bench(), np.zeros(SPEC.num_joints)
    offset[3] = 0.4
    targets_at_a_switch(bench, np.zeros(SPEC.num_joints), offset, ticks=10)
    before = bench.controller.safety.target[0, 3]
    bench.say(policy=1)
    after = []
    for _ in range(25):
        after.append(bench.controller.safety.target[0, 3])
        bench.ticks(1)
    assert 0.1 < before - SPEC.default_joint_pos[3] < 0.3
    assert abs(after[0] - before) < 1e-3
    assert (np.diff(after) <= 0.0).all()
    assert after[-1] == pytest.approx(SPEC.default_joint_pos[3], abs=1e-6)


def test_a_policy_that_fails_on_the_way_leaves_nothing_of_the_switch() -> None:
    bench, offset = Bench(), 0.3 * np.sign(-SPEC.default_joint_pos)
    targets_at_a_switch(bench, 0.0 * offset, offset, ticks=10)
    held = bench.controller.safety.target.copy()
    bench.controller.skills[1].policy = Posed(offset * np.nan)
    bench.ticks(1)
    np.testing.assert_array_equal(bench.controller.safety.target, held)
    bench.ticks(1)  # the crouch begins where the target is, at rest
    assert bench.controller.state is State.SOFT_STOP
    assert np.abs(bench.controller.safety.target - held).max() < 1e-3


# ---------------------------------------------------------------------- loading anew


@pytest.fixture
def loading() -> Iterator[tuple[Bench, list[Any]]]:
    """A bench whose policies are loaded anew on SIGUSR1 from what the list holds: skills, or an error."""
    source: list[Any] = []

    def load() -> list[Skill]:
        if isinstance(source[0], Exception):
            raise source[0]
        return list(source[0])

    with Reloader(load) as reloader:
        yield Bench(reloader), source


def reload(bench: Bench) -> None:
    signal.raise_signal(signal.SIGUSR1)
    bench.ticks(1)
    end = time.monotonic() + 10.0
    while (thread := bench.controller._reloader._thread) is not None and time.monotonic() < end:  # type: ignore[union-attr]
        thread.join(0.1)
        bench.ticks(1)


def test_a_signal_loads_all_policies_anew_while_the_robot_stands(loading: Any) -> None:
    bench, source = loading
    fresh = SmallPolicy(SPEC)
    source.append([small_skill(SPEC, Path("new.onnx"), fresh)])
    reload(bench)
    assert fresh._calls > 0
    assert bench.told.configured == [[(Path("new.onnx"), "")]]
    assert bench.told.events[-1] == ("policy", "loaded anew: new.onnx", 0)
    first = next(entry for entry in reversed(bench.told.policies) if entry[1])
    assert first == (0, True)


@pytest.mark.parametrize("error", [UserError("it is made for another robot"), ValueError("broken")])
def test_policies_that_cannot_be_loaded_change_nothing(loading: Any, error: Exception) -> None:
    bench, source = loading
    source.append(error)
    reload(bench)
    name, text, severity = bench.told.events[-1]
    assert (name, severity) == ("policy", 1)
    assert text.startswith("the policies in use stay: ")
    assert str(error) in text
    assert bench.controller.skills[0].policy is bench.networks[0]


def test_nothing_is_loaded_while_the_robot_walks(loading: Any) -> None:
    bench, source = loading
    source.append([small_skill(SPEC, Path("new.onnx"))])
    bench.say(linear_velocity_x=0.3)
    reload(bench)
    assert bench.controller.skills[0].policy is bench.networks[0]
    assert bench.told.events[-1] == (
        "policy", "policies are reloaded only while the robot stands or its torque is off", 1,
    )  # fmt: skip


def test_what_was_loaded_is_dropped_if_the_robot_walks_by_then(loading: Any) -> None:
    bench, source = loading
    source.append([small_skill(SPEC, Path("new.onnx"))])
    signal.raise_signal(signal.SIGUSR1)
    reloader = bench.controller._reloader
    reloader.take = lambda: (None, None)
    bench.ticks(1)
    reloader._thread.join()
    bench.say(linear_velocity_x=0.3)
    del reloader.take
    bench.ticks(1)
    assert bench.controller.skills[0].policy is bench.networks[0]
    assert "the robot walks by now" in bench.told.events[-1][1]


# ---------------------------------------------------------------------- on the command line


def test_the_log_says_which_policies_there_were_and_which_was_in_charge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    assert run_small_policy(monkeypatch, tmp_path, "--duration", "0.2", "--log", str(log)) == 0
    events = list(read_log(log))
    configuration = next(
        CHANNEL_TYPES[e.channel].decode(e.data) for e in events if e.channel == "run_configuration"
    )
    listed = json.loads(configuration.json)["policies"]
    assert listed == [{"path": configuration.policy_path, "sha256": configuration.policy_sha256}]
    ticks = [CHANNEL_TYPES[e.channel].decode(e.data) for e in events if e.channel == "policy_state"]
    assert {message.policy for message in ticks} == {0}


def test_every_policy_on_the_command_line_is_verified(tmp_path: Path) -> None:
    from wildrobot.cli.run import run

    good, bad = write_small_onnx(tmp_path / "good.onnx"), tmp_path / "bad.onnx"
    bad.write_bytes(good.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"bad\.onnx is not a whole ONNX file"):
        run.main([str(good), str(bad), "--fast", "--no-lcm"])
    with pytest.raises(UserError, match="there is no policy"):
        run.main([str(good), str(tmp_path / "none.onnx"), "--fast", "--no-lcm"])
