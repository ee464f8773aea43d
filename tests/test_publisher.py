"""What a tick hands over to telemetry: once, as it was on that tick, and whatever becomes of it later."""

from __future__ import annotations

import dataclasses
import queue
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runtime_helpers import SPEC, frame_at, no_health, run_small_policy, small_skill

from wildrobot.runtime.commands.source import CommandWatch
from wildrobot.runtime.control.guards import GuardReading, Level
from wildrobot.runtime.control.safety import Applied
from wildrobot.runtime.control.timing import RunTime, TickTimer
from wildrobot.runtime.logs.eventlog import Event
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES, robot_event_t, run_configuration_t
from wildrobot.runtime.telemetry.messages import Stamp, frame_to_message, policy_to_message
from wildrobot.runtime.telemetry.publisher import Publisher
from wildrobot.runtime.telemetry.telemetry import Telemetry

MS = 1_000_000


class HeldTelemetry(Telemetry):
    """Its thread does nothing before `release`."""

    def __init__(self, log: Path) -> None:
        self.held: queue.Queue[None] = queue.Queue()
        super().__init__(log, None, "alice", quiet=True)

    def _work(self) -> None:
        self.held.get()
        super()._work()

    def release(self) -> None:
        """Let it work, to the end."""
        self.held.put(None)
        self.close()


def configuration() -> run_configuration_t:
    message = run_configuration_t()
    message.json, message.robot_name, message.run_id = "{}", "alice", 77
    return message


def run_time(start_us: int = 1_000_000) -> RunTime:
    time = RunTime()
    time.start_us = start_us
    return time


def logged(path: Path, channel: str) -> list[Any]:
    return [CHANNEL_TYPES[channel].decode(e.data) for e in read_log(path) if e.channel == channel]


def spoil(*parts: Any) -> None:
    """Overwrite all arrays in place, as a loop that reuses its memory would on the next tick."""
    for part in parts:
        for value in vars(part).values():
            if isinstance(value, np.ndarray):
                value[...] = 77
            elif dataclasses.is_dataclass(value):
                spoil(value)


def test_messages_are_those_of_their_tick_whatever_becomes_of_the_arrays(tmp_path: Path) -> None:
    telemetry = HeldTelemetry(tmp_path / "log")
    publisher = Publisher(telemetry.outbox, configuration(), run_time())
    path = small_skill(SPEC, tmp_path / "policy").path
    frame, n = frame_at(1.0), SPEC.num_joints
    signal = path.observe(frame, [[0.3, 0.1]])
    action, user = np.full((1, n), 0.5), np.array([0.3, 0.1])
    applied = Applied(np.full((1, n), 0.2), np.full((1, n), 0.1), ("target_rate",))
    publisher.begin(20 * MS, 1, "walking")
    publisher.state(frame)
    publisher.policy(signal, action, applied.requested, True, 0, 0.7)
    publisher.command(user, 1.0, applied, CommandWatch())
    publisher.end()
    stamp = Stamp("alice", 77, 1_020_000, 1)
    state = frame_to_message(frame, "walking", stamp).encode()
    policy = policy_to_message(signal, action, applied.requested, True, 0, 0.7, stamp).encode()
    spoil(frame, signal, applied)
    action[:], user[:] = 77, 77
    telemetry.release()
    events = [event for event in read_log(tmp_path / "log") if event.channel != "run_configuration"]
    assert [event.channel for event in events] == ["robot_state", "policy_state", "robot_command"]
    assert [event.data for event in events[:2]] == [state, policy]
    command = CHANNEL_TYPES["robot_command"].decode(events[2].data)
    assert command.user_command == (0.3, 0.1)
    assert (command.joint_target_requested, command.joint_target_applied) == ((0.2,) * n, (0.1,) * n)


def test_health_is_that_of_its_tick_although_the_loop_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0]
    monkeypatch.setattr("time.perf_counter_ns", lambda: now[0])
    timer = TickTimer(("read", "judge"), window=10)

    def tick(ms: int) -> None:
        timer.start(0, ms)
        now[0] += ms * MS
        timer.mark("read")
        now[0] += 2 * ms * MS
        timer.mark("judge")
        timer.finish()

    for _ in range(10):
        tick(1)
    telemetry = HeldTelemetry(tmp_path / "log")
    publisher = Publisher(telemetry.outbox, configuration(), run_time())
    health, watch = no_health(), CommandWatch()
    for second in (1, 2):
        publisher.begin(1000 * MS * second, 50 * second, "walking")
        publisher.health(timer, health, [GuardReading("tilt_rad", 0.7, Level.WARN)], watch)
        publisher.end()
        health.current_a[:] = 77
        watch.refused["old"] += 1
        for _ in range(10):
            tick(4)
    telemetry.release()
    first, later = logged(tmp_path / "log", "robot_health")
    assert [first.tick_p50_ms, first.tick_max_ms, *first.stage_max_ms] == pytest.approx([3.0, 3.0, 1.0, 2.0])
    assert [later.tick_p50_ms, *later.stage_p99_ms] == pytest.approx([12.0, 4.0, 8.0])
    assert (sum(first.histogram), sum(later.histogram), later.histogram[24]) == (10, 20, 10)
    assert np.isnan(first.current_a).all()
    assert (first.num_refusals, later.refusal_count) == (0, (1,))
    assert (first.guard_name, first.guard_value, first.guard_level) == (["tilt_rad"], (0.7,), (1,))


def test_every_configuration_keeps_its_own_time(tmp_path: Path) -> None:
    telemetry = HeldTelemetry(tmp_path / "log")
    publisher = Publisher(telemetry.outbox, configuration(), run_time())
    timer = TickTimer(("read",), window=10)
    for minute in (1, 2):
        publisher.begin(60_000 * MS * minute, minute, "limp")
        publisher.health(timer, no_health(), [], CommandWatch())
        publisher.end()
    telemetry.release()
    found = [message.timestamp_us for message in logged(tmp_path / "log", "run_configuration")]
    assert found == [1_000_000, 61_000_000, 121_000_000]


def test_a_tick_is_handed_over_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handed, put = [], queue.Queue.put

    def watched(self: Any, item: Any, *rest: Any) -> None:
        if isinstance(item, list) and item:
            handed.append({getattr(entry, "channel", "") for entry in item})
        put(self, item, *rest)

    monkeypatch.setattr(queue.Queue, "put", watched)
    log = tmp_path / "log"
    flags = ("--speed", "0.2", "--duration", "1", "--log", str(log))
    assert run_small_policy(monkeypatch, tmp_path, *flags) == 0
    ticks = [message.tick for message in logged(log, "robot_state")]
    assert ticks == list(range(len(ticks)))
    assert len(handed) == len(ticks) + 1  # the configuration at the start
    assert all({"robot_state", "robot_command"} <= channels for channels in handed[1:])


def test_what_was_not_handed_over_yet_is_at_the_end(tmp_path: Path) -> None:
    telemetry = Telemetry(tmp_path / "log", None, "alice", quiet=True)
    publisher = Publisher(telemetry.outbox, configuration(), run_time())
    publisher.begin(20 * MS, 1, "walking")
    publisher.event("fault", "the tick ended early", severity=2)
    telemetry.close()
    assert [event.text for event in logged(tmp_path / "log", "robot_event")] == ["the tick ended early"]


def test_a_message_that_cannot_be_encoded_is_told_and_the_others_arrive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry = Telemetry(tmp_path / "log", None, "alice", lossless=True)
    good, bad = robot_event_t(), robot_event_t()
    good.text, bad.timestamp_us = "whole", "yesterday"
    for message in (good, bad, good):
        telemetry.outbox.put("robot_event", message)
    telemetry.outbox.flush()
    telemetry.close()
    assert [event.text for event in logged(tmp_path / "log", "robot_event")] == ["whole", "whole"]
    assert telemetry.dropped == 1
    assert "robot_event cannot be sent" in capsys.readouterr().err


def test_a_tick_that_finds_the_queue_full_is_dropped_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wildrobot.runtime.telemetry.telemetry._CAPACITY", 2)
    telemetry = HeldTelemetry(tmp_path / "log")
    for tick in range(4):
        for name in "ab":
            message = robot_event_t()
            message.tick, message.name = tick, name
            telemetry.outbox.put("robot_event", message)
        telemetry.outbox.flush()
    assert telemetry.dropped == 4
    telemetry.release()
    events: list[Event] = list(read_log(tmp_path / "log"))
    found = [robot_event_t.decode(event.data) for event in events]
    assert [(event.tick, event.name) for event in found] == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
