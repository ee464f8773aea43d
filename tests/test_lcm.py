"""LCM: types in step with their sources, messages without loss, commands that age, logs for LCM's tools."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lcm
import numpy as np
import pytest
from lcm_helpers import RUNTIME, check_generated, find_lcm_tool
from runtime_helpers import frame_at, run_small_policy

from wildrobot.core import lcm_network
from wildrobot.core.errors import UserError
from wildrobot.core.lcm_network import open_network
from wildrobot.runtime.logs.eventlog import Event, LogWriter, read_events
from wildrobot.runtime.logs.robots import read_log, robot_names
from wildrobot.runtime.telemetry import telemetry
from wildrobot.runtime.telemetry.identity import split_channel
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES, ROBOT_CHANNELS, robot_event_t
from wildrobot.runtime.telemetry.messages import Stamp, frame_from_message, frame_to_message
from wildrobot.runtime.telemetry.telemetry import Telemetry

LOGGED_PER_TICK = set(ROBOT_CHANNELS) - {"run_configuration"}


def event_message(timestamp_us: int = 7, text: str = "") -> robot_event_t:
    message = robot_event_t()
    message.timestamp_us, message.text = timestamp_us, text
    return message


# ---------------------------------------------------------------------- types


def test_generated_types_are_those_of_the_sources(tmp_path: Path) -> None:
    check_generated(RUNTIME, tmp_path)


def test_every_channel_is_snake_case_and_every_type_has_an_integer_timestamp() -> None:
    for channel, kind in CHANNEL_TYPES.items():
        assert channel == channel.lower()
        assert kind.__name__ == f"{channel}_t"
        where = kind.__slots__.index("timestamp_us")
        assert kind.__typenames__[where] == "int64_t"


def test_every_message_says_first_whose_it_is() -> None:
    for channel in (*ROBOT_CHANNELS, "robot_announcement"):
        kind = CHANNEL_TYPES[channel]
        assert kind.__slots__[:3] == ["timestamp_us", "robot_name", "run_id"], channel
        assert kind.__typenames__[:3] == ["int64_t", "string", "int64_t"]
    for channel in ("velocity_command", "robot_stop"):
        assert CHANNEL_TYPES[channel].__slots__[1] == "robot_name"


def test_a_frame_survives_its_message_to_the_last_bit() -> None:
    rng = np.random.default_rng(1)
    frame = frame_at(1234.000000001)
    for name in ("joint_position", "joint_velocity", "joint_time_s", "imu_quaternion", "imu_acceleration"):
        setattr(frame, name, rng.normal(size=np.shape(getattr(frame, name))))
    frame.joint_valid[0, 3] = False
    frame.imu_valid[0] = False
    data = frame_to_message(frame, "walking", Stamp("alice", 77, 1, 2)).encode()
    back = frame_from_message(CHANNEL_TYPES["robot_state"].decode(data))
    for name, value in vars(frame).items():
        read = getattr(back, name)
        assert (read.dtype, read.shape) == (value.dtype, value.shape), name
        assert read.tobytes() == value.tobytes(), name


# ---------------------------------------------------------------------- log files


def test_lcm_reads_our_log_and_we_read_lcm_s(tmp_path: Path) -> None:
    events = [Event(10 + i, "channel", bytes([i]) * i) for i in range(5)]
    writer = LogWriter(tmp_path / "ours")
    writer.write(events[:2])
    writer.write(events[2:])
    writer.close()
    theirs = lcm.EventLog(str(tmp_path / "ours"))
    assert [(e.timestamp, e.channel, e.data) for e in theirs] == [
        (e.timestamp_us, e.channel, e.data) for e in events
    ]
    log = lcm.EventLog(str(tmp_path / "theirs"), "w")
    for event in events:
        log.write_event(event.timestamp_us, event.channel, event.data)
    log.close()
    assert list(read_events(tmp_path / "theirs")) == events


def test_a_log_cut_short_ends_where_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = LogWriter(path)
    writer.write([Event(1, "a", b"x" * 100), Event(2, "a", b"y" * 100)])
    writer.close()
    whole = path.read_bytes()
    for size in (len(whole) - 1, len(whole) // 2 + 10, len(whole) // 2 + 40):
        path.write_bytes(whole[:size])
        assert [event.timestamp_us for event in read_events(path)] == [1]


@pytest.mark.parametrize("content", [b"name: no log at all, but long enough for a header", b"short"])
def test_another_file_is_refused_as_a_log(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not an LCM event log at byte 0"):
        list(read_events(path))


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the log"):
        LogWriter(tmp_path / "file" / "log")


# ---------------------------------------------------------------------- telemetry


def test_what_is_published_arrives_on_the_robot_s_own_channel() -> None:
    network = open_network("memq://")
    receiver = network.receiver(("alice/robot_event", "robot_announcement"))
    sender = Telemetry(None, network, "alice")
    sender.outbox.put("robot_event", event_message(text="hello"))
    sender.outbox.put("robot_announcement", event_message())
    sender.close()
    assert receiver.wait(2.0)
    first = receiver.read()
    assert first is not None
    assert (first.channel, robot_event_t.decode(first.data).text) == ("alice/robot_event", "hello")
    assert receiver.wait(2.0)
    network.close()


def test_file_url_records_through_lcm(tmp_path: Path) -> None:
    network = open_network(f"file://{tmp_path}/log?mode=w")
    sender = Telemetry(None, network, "alice")
    sender.outbox.put("robot_event", event_message(text="kept"))
    sender.close()
    network.close()
    assert [robot_event_t.decode(event.data).text for event in read_log(tmp_path / "log")] == ["kept"]


def test_a_full_queue_drops_and_counts_instead_of_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_CAPACITY", 4)
    monkeypatch.setattr(Telemetry, "_work", lambda self: time.sleep(0.5))
    sender = Telemetry(None, None, "alice")
    began = time.monotonic()
    for _ in range(10):
        sender.outbox.put("robot_event", event_message())
        sender.outbox.flush()
    assert sender.dropped == 6
    assert time.monotonic() - began < 0.4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_ends_the_log_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    network = open_network("memq://")
    receiver = network.receiver(("alice/robot_event",))
    sender = Telemetry(Path("/dev/full"), network, "alice")
    sender.outbox.put("robot_event", event_message())
    sender.close()
    assert sender.log_error is not None
    assert "No space left" in sender.log_error
    assert "the run goes on" in capsys.readouterr().err
    assert receiver.wait(2.0)
    network.close()


def test_messages_that_cannot_be_sent_are_counted() -> None:
    network = open_network("udpm://239.255.76.67:7667?ttl=1&interface=wlan77")
    sender = Telemetry(None, network, "alice", lossless=True)
    sender.outbox.put("robot_event", event_message())
    sender.outbox.flush()
    sender.close()
    network.close()
    assert sender.dropped == 1


def test_the_network_is_this_machine_unless_somebody_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LCM_DEFAULT_URL", raising=False)
    assert lcm_network.lcm_url(None).endswith("?ttl=0")
    monkeypatch.setenv("LCM_DEFAULT_URL", "memq://")
    assert lcm_network.lcm_url(None) == "memq://"
    assert lcm_network.lcm_url("file:///x") == "file:///x"


# ---------------------------------------------------------------------- LCM's own tools, over the network


@contextlib.contextmanager
def lcm_program(name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of the lcm wheel. Its script starts the real one as a child, so both are ended as a group."""
    command = [find_lcm_tool(name), *arguments]
    null = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=null, stderr=null, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def publish_until(url: str, channel: str, done: Callable[[], bool]) -> None:
    """Send empty messages until something has come of it: lcm-logger writes to the disk as messages come."""
    network, give_up = open_network(url), time.monotonic() + 60.0
    while not done():
        assert time.monotonic() < give_up, f"nothing came of {channel}"
        network.publish(channel, b"")
        time.sleep(0.2)
    network.close()


def test_lcm_logger_records_a_run_and_lcm_logplayer_plays_every_channel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library_multicast: str
) -> None:
    url = library_multicast
    own, recorded = tmp_path / "own", tmp_path / "recorded"
    with lcm_program("lcm-logger", "--quiet", f"--lcm-url={url}", str(recorded)):
        publish_until(url, "before", lambda: recorded.exists() and recorded.stat().st_size > 0)
        flags = ("--speed", "0.2", "--duration", "0.5", "--lcm-url", url, "--log", str(own))
        # In real time, because a burst may overrun the buffers of a network that guarantees nothing.
        assert run_small_policy(monkeypatch, tmp_path, *flags, lcm=True, fast=False) == 0
        publish_until(url, "after", lambda: any(event.channel == "after" for event in read_events(recorded)))
    sent = [event for event in read_events(own) if kind_of(event) in LOGGED_PER_TICK]
    seen = [event for event in read_events(recorded) if kind_of(event) in LOGGED_PER_TICK]
    assert [(e.channel, e.data) for e in seen] == [(e.channel, e.data) for e in sent]

    (name,) = robot_names(own)
    channels = [f"{name}/{kind}" for kind in ROBOT_CHANNELS] + ["robot_announcement"]
    network = open_network(url)
    receiver, decoded = network.receiver(channels), dict.fromkeys(CHANNEL_TYPES, 0)
    with lcm_program("lcm-logplayer", "--speed=2", f"--lcm-url={url}", str(recorded)) as player:
        while player.poll() is None or receiver.wait(0.2):
            while (message := receiver.read()) is not None:
                kind = split_channel(message.channel)[1]
                CHANNEL_TYPES[kind].decode(message.data)
                decoded[kind] += 1
            receiver.wait(0.2)
    network.close()
    assert {kind for kind, count in decoded.items() if count} == {*ROBOT_CHANNELS, "robot_announcement"}
    assert decoded["robot_state"] == sum(kind_of(event) == "robot_state" for event in sent)


def kind_of(event: Event) -> str:
    return split_channel(event.channel)[1]


def test_a_computer_without_the_system_library_of_lcm_is_told_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lcm").mkdir()
    (tmp_path / "lcm" / "__init__.py").write_text(
        "try:\n    raise ImportError('libglib-2.0.so.0: cannot open shared object file')\n"
        "except ImportError:\n    from .Release import _lcm\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lcm")
    with pytest.raises(
        UserError, match=r"^libglib-2.0.so.0: cannot open shared object file. On Debian"
    ) as refused:
        open_network("memq://")
    assert "apt-get install -y libglib2.0-0" in str(refused.value)
    open_network("udpm://").close()  # which needs no library


@pytest.mark.skipif(
    shutil.which("unshare") is None or os.geteuid() != 0, reason="needs root for a network without routes"
)
def test_a_computer_without_any_network_still_logs_and_hears_itself(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from wildrobot.core.lcm_network import lcm_url, open_network\n"
        "from wildrobot.runtime.telemetry.telemetry import Telemetry\n"
        "from wildrobot.runtime.telemetry.lcm_types import robot_event_t\n"
        "n = open_network(lcm_url(None))\nt = Telemetry(Path(sys.argv[1]), n, 'alice')\n"
        "t.outbox.put('robot_event', robot_event_t())\nt.close()\ntime.sleep(1.2)\nprint(n.problem)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "LCM_DEFAULT_URL"}
    inside = f'{sys.executable} -c "$0" {tmp_path / "log"}'
    said = []
    for prepare in ("", "ip link set lo up; "):
        command = ["unshare", "-n", "sh", "-c", prepare + inside, script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        if "unshare" in done.stderr:
            pytest.skip(f"cannot make a network namespace: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        assert [event.channel for event in read_log(tmp_path / "log")] == ["robot_event"]
        said.append(done.stdout.strip())
    assert said[0].startswith("messages from this computer do not arrive")
    assert said[1] == ""
