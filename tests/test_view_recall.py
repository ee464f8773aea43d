"""The live page looks back: a log of the last minute, plots that are held, lines that are hidden, and cameras."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runtime_helpers import SPEC

pytest.importorskip("viser", reason="needs the extra 'view'")

from feed_helpers import ALICE, POLICY
from memory_network import MemoryNetwork

from wildrobot.cli.run import run
from wildrobot.runtime.logs.eventlog import Event, read_events
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.logs.summary import summarize
from wildrobot.runtime.telemetry.identity import RunIdentity, split_channel
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES, ROBOT_CHANNELS
from wildrobot.view.camera import PLACES, Cameras, moved
from wildrobot.view.controls import Controls
from wildrobot.view.feed import Feed
from wildrobot.view.history import SHOWN_S
from wildrobot.view.plots import Plots
from wildrobot.view.recall.pause import Pause
from wildrobot.view.recall.recording import KEPT_S, MOST_BYTES, RunRecording
from wildrobot.view.scene import CAMERA, LOOK_AT
from wildrobot.view.server import GuardedServer


@pytest.fixture(scope="module")
def walk_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    log = tmp_path_factory.mktemp("recall") / "walk.lcmlog"
    flags = ["--robot", "sim", "--fast", "--no-lcm", "--speed", "0.3", "--duration", "2", "--log", str(log)]
    assert run.main([str(POLICY), *flags, "--name", ALICE.robot_name]) == 0
    return log


@pytest.fixture
def feed() -> Iterator[Feed]:
    feed = Feed(SPEC, MemoryNetwork())
    yield feed
    feed.close()


@pytest.fixture
def server() -> Iterator[GuardedServer]:
    server = GuardedServer("127.0.0.1", 0, "test")
    yield server
    server.stop()


def hear(feed: Feed, log: Path) -> list[Event]:
    """Let a feed take what a log holds, as it takes it from the network; the log's messages."""
    events = list(read_events(log))
    first = next(event for event in events if split_channel(event.channel)[1] == "run_configuration")
    said = CHANNEL_TYPES["run_configuration"].decode(first.data)
    with feed.lock:
        feed._turn_to(RunIdentity(said.robot_name, said.run_id))
    for event in events:
        if (kind := split_channel(event.channel)[1]) in ROBOT_CHANNELS:
            feed._receive(kind, event.data)
    return events


def test_the_last_minute_is_the_log_that_the_robot_itself_would_have_written(
    feed: Feed, walk_log: Path, tmp_path: Path
) -> None:
    events = hear(feed, walk_log)
    copy = tmp_path / "minute.lcmlog"
    copy.write_bytes(feed.recording.last_minute())
    assert next(read_log(copy)).channel == "run_configuration"
    found = list(read_events(copy))
    assert found == [event for event in events if split_channel(event.channel)[1] in ROBOT_CHANNELS]
    mine, theirs = summarize(copy), summarize(walk_log)
    assert mine.begins() == theirs.begins()
    assert mine.seconds_in("walking") == theirs.seconds_in("walking") > 0.5


def test_no_more_than_a_minute_and_no_more_than_its_room_is_kept(tmp_path: Path) -> None:
    recording = RunRecording(tmp_path)
    recording.take("alice/run_configuration", 0, b"head")
    for second in range(100):
        recording.take("alice/robot_state", 1_000_000 * second, b"x" * 100)
    assert recording.kept_bytes == 100 * (KEPT_S + 1)
    (tmp_path / "a.lcmlog").write_bytes(recording.last_minute())
    events = list(read_events(tmp_path / "a.lcmlog"))
    assert (events[0].channel, events[0].data) == ("alice/run_configuration", b"head")
    assert events[0].timestamp_us == events[1].timestamp_us == 39_000_000
    for _ in range(40):
        recording.take("alice/robot_state", 99_000_000, b"x" * 1_000_000)
    assert MOST_BYTES - 1_000_000 <= recording.kept_bytes <= MOST_BYTES
    recording.forget()
    assert recording.last_minute() == b""
    assert recording.kept_bytes == 0


def test_a_recording_begins_and_ends_when_it_is_told_and_ends_with_its_run(tmp_path: Path) -> None:
    recording = RunRecording(tmp_path, now=lambda: 0.0)
    recording.take("alice/run_configuration", 5, b"head")
    recording.take("alice/robot_state", 6, b"before")
    recording.start("alice")
    recording.take("alice/robot_state", 7, b"during")
    first = recording.recording
    assert first is not None
    recording.stop()
    assert str(first) in recording.said
    recording.take("alice/robot_state", 8, b"after")
    assert [event.data for event in read_events(first)] == [b"head", b"during"]
    recording.start("alice")
    second = recording.recording
    assert second is not None
    assert second != first, "one that is there is not written over"
    recording.take("alice/robot_state", 9, b"again")
    recording.forget()
    assert recording.recording is None
    assert "its run has ended" in recording.said
    assert [event.data for event in read_events(second)] == [b"head", b"again"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    recording = RunRecording(tmp_path / "file")
    recording.take("alice/robot_state", 6, b"before")
    recording.start("alice")
    assert recording.recording is None
    assert "cannot write the log" in recording.said


def test_paused_plots_stay_and_are_looked_through(server: GuardedServer, feed: Feed, walk_log: Path) -> None:
    hear(feed, walk_log)
    pause = Pause(server.gui, feed)
    plots = Plots(server, feed, pause)
    assert pause.moment() is None
    rows = round(SHOWN_S * SPEC.control_hz)
    kept = feed.history.part("joint_position").copy()
    pause.hold()
    feed.history.append(joint_position=np.full(SPEC.num_joints, 9.0))
    back = 25
    pause.slider.value = -back * SPEC.control_dt
    assert pause.before == back
    plots._tabs = lambda: {"Joints"}  # type: ignore[method-assign]
    plots.draw()
    plot, joints = plots._joints[0]
    time_s, first = plot._handle.data[:2]
    assert np.array_equal(first, kept[-rows - back : -back, joints[0]][::2], equal_nan=True)
    assert time_s[-1] == pytest.approx(-(back + 1) * SPEC.control_dt)
    moment = pause.moment()
    assert moment is not None
    assert np.array_equal(moment[1], kept[-1 - back])
    assert np.allclose(moment[0].rotation @ moment[0].rotation.T, np.eye(3), atol=1e-6)
    plots.draw_slow()
    assert "PAUSED" in plots._note.content
    pause.slider.value = pause.slider.min
    assert pause.moment() is None, "nothing was heard then: nothing is made up"
    pause.go_live()
    plots.draw()
    live = feed.history.part("joint_position")[-rows:, joints[0]][::2]
    assert np.array_equal(plot._handle.data[1], live, equal_nan=True)


def test_a_line_is_hidden_by_a_click_and_a_joint_is_plotted_alone(
    server: GuardedServer, feed: Feed, walk_log: Path
) -> None:
    hear(feed, walk_log)
    plots = Plots(server, feed)
    plots._tabs = lambda: {"Joints", "Contacts"}  # type: ignore[method-assign]

    def shown() -> set[int]:
        plots.draw()
        return {
            row
            for plot, rows in plots._joints
            for line, row in enumerate(rows)
            if np.isfinite(plot._handle.data[1 + line]).any()
            and np.isfinite(plot._handle.data[1 + len(rows) + line]).any()
        }

    everyone = set(range(SPEC.num_joints))
    assert shown() == everyone
    server.on_told(0, "line", "joint_1")
    assert shown() == everyone - {1}
    assert "aria-pressed=false" in plots._joints[0][0]._legend.content
    server.on_told(0, "line", "joint_1")
    server.on_told(0, "line", "no_such_line")
    assert shown() == everyone
    others = [f"joint_{row}" for row in everyone - {2}]
    for key in others:
        server.on_told(0, "line", key)
    assert shown() == {2}
    error = plots._error._handle.data[1:]
    assert [bool(np.isfinite(line).any()) for line in error] == [row == 2 for row in range(SPEC.num_joints)]
    for key in others:
        server.on_told(0, "line", key)
    assert shown() == everyone
    server.on_told(0, "line", plots._speed.keys[0])
    plots.draw()
    assert not np.isfinite(plots._speed._handle.data[1]).any()
    assert np.isfinite(plots._speed._handle.data[2]).any()


def test_only_tabs_that_somebody_sees_are_drawn(
    server: GuardedServer, feed: Feed, walk_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear(feed, walk_log)
    plots = Plots(server, feed)
    viewers: dict[int, Any] = {1: None, 2: None}
    monkeypatch.setattr(server, "get_clients", lambda: viewers)
    assert "Contacts" in plots._tabs(), "a page that has not said what it shows"
    server.on_told(1, "tab", "IMU")
    server.on_told(2, "tab", "none")
    plots.draw()
    assert np.isfinite(plots._gyro._handle.data[1]).any()
    assert not np.isfinite(plots._joints[0][0]._handle.data[1]).any()
    before = plots._gyro._handle.data
    plots.draw()
    assert plots._gyro._handle.data is before, "nothing new: nothing is sent"
    server.on_told(2, "tab", "Joints")
    plots.draw()
    assert np.isfinite(plots._joints[0][0]._handle.data[1]).any()


class Camera:
    """A viewer's camera, that takes the point that it looks at along when it is put elsewhere, as viser's does."""

    client_id = 3
    up_direction = (0.0, 0.0, 0.0)

    def __init__(self) -> None:
        self.camera = self
        self.look_at, self._position = np.array([5.0, 5.0, 5.0]), np.array([6.0, 6.0, 6.0])

    @property
    def position(self) -> np.ndarray:
        return self._position

    @position.setter
    def position(self, position: Any) -> None:
        self.look_at, self._position = self.look_at + position - self._position, np.array(position)

    def atomic(self) -> Camera:
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("place", PLACES)
def test_every_camera_looks_at_the_robot_from_where_it_is(server: GuardedServer, place: str) -> None:
    cameras, viewer = Cameras(server), Camera()
    cameras.turn(0.5 * np.pi)
    cameras.go(viewer, place)
    forward, left, up = PLACES[place]
    assert np.allclose(viewer.position, (-left, forward, up))
    assert np.allclose(viewer.look_at, (0.0, 0.0, LOOK_AT[2]))
    cameras.turn(np.pi)
    turned = (-forward, -left, up) if place == "follow" else (-left, forward, up)
    assert np.allclose(viewer.position, turned)
    cameras.leave(viewer.client_id)
    cameras.turn(0.0)
    assert np.allclose(viewer.position, turned)


def test_home_looks_at_the_robot_from_wherever_the_camera_was(server: GuardedServer) -> None:
    driving: Any = type("Nobody", (), {"set_point": (0.0, 0.0), "resets": 0})()
    controls, viewer = Controls(server, SPEC, driving, None), Camera()
    home = controls.home._impl.update_cb[0]
    home(type("Event", (), {"client": viewer, "client_id": 3})())
    assert np.allclose(viewer.position, CAMERA)
    assert np.allclose(viewer.look_at, LOOK_AT)


def test_a_camera_that_its_person_has_moved_follows_no_more() -> None:
    sent = deque([np.zeros(3), np.ones(3)])
    assert not moved(np.full(3, 1.01), sent)
    assert moved(np.full(3, 0.5), sent)
    assert not moved(np.zeros(3), deque())
