"""Faults in words and files: the same as the objects, their times, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from virtual_helpers import BOARD, SPEC, host_with, who

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.virtual.faults import table as f
from wildrobot.firmware_bridge.virtual.faults.kinds import Fault
from wildrobot.firmware_bridge.virtual.faults.text import (
    BY_NAME,
    describe_faults,
    load_faults,
    parse_fault,
)


def test_every_fault_begins_and_ends_without_leaving_the_robot_deaf() -> None:
    needs = {"servo": 3, "other": 7, "foot": "left_toe", "register": "goal_pwm", "value": 150}
    lasting = []
    for kind in BY_NAME.values():
        keys = {parameter.name for parameter in kind.parameters}
        values = {key: value for key, value in needs.items() if key in keys}
        host = host_with(kind(at_s=0.05, for_s=0.1, **values))
        host.port.sleep(0.1)
        host.port.sleep(0.4)
        host.port.reopen()
        if who(host) != [*SPEC.servo_ids, BOARD]:
            lasting.append(kind.name)
    assert lasting == []


def test_the_command_line_s_words_make_the_same_fault_as_the_object() -> None:
    assert parse_fault("2.0s silent servo=3 for=0.5s") == f.SILENT(at_s=2.0, for_s=0.5, servo=3)
    assert parse_fault("4 push y=0.4") == f.PUSH(at_s=4.0, y=0.4)
    assert parse_fault("0s late servo=board delay_s=0.01") == f.LATE(servo="board", delay_s=0.01)
    assert parse_fault("1s truncate servo=left_hip_roll bytes=5") == f.TRUNCATED(
        at_s=1.0, servo="left_hip_roll", bytes=5
    )
    assert np.isnan(parse_fault("1 quaternion norm=nan").values["norm"])


def test_a_yaml_schedule_holds_the_same_faults(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(
        "faults:\n"
        "  - {fault: silent, at: 2.0, for: 0.5, servo: 3}\n"
        "  - {fault: foot-stuck, at: 1, foot: left_toe}\n"
        "  - {fault: cable-out, at: 3s, for: 2s}\n"
    )
    assert load_faults(path) == [
        f.SILENT(at_s=2.0, for_s=0.5, servo=3),
        f.FOOT_STUCK(at_s=1.0, foot="left_toe"),
        f.CABLE_OUT(at_s=3.0, for_s=2.0),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2s silnt servo=3", "there is no fault 'silnt'; did you mean 'silent'"),
        ("2s silent serv=3", "'silent' has no 'serv'; did you mean 'servo'"),
        ("2s silent", "'silent' needs servo"),
        ("soon silent servo=3", "at is 'soon', expected a number"),
        ("2s truncate servo=3 bytes=many", "bytes is 'many', expected a whole number"),
        ("2s silent servo", "has no '='"),
        ("silent", "expected TIME NAME"),
        ("2s silent servo=3 for=-1", "a duration above 0"),
        ("0 wrong-baud servo=3 baud=12345", "baud is 12345, expected one of 9600"),
        ("0 foot-bounce foot=left_toe rate_hz=0", "rate_hz is 0.0, expected more than 0"),
    ],
)
def test_a_wrong_fault_says_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(UserError) as told:
        parse_fault(text)
    assert message in str(told.value)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (f.SILENT(servo=99), "there is no servo 99"),
        (f.OVERLOAD(servo="elbow"), "there is no joint 'elbow'"),
        (f.OVERLOAD(servo="board"), "there is no joint 'board'"),
        (f.FOOT_STUCK(foot="tail"), "there is no foot input 'tail'"),
        (f.SWAPPED_IDS(servo=1, other=99), "there is no servo 99"),
    ],
)
def test_a_fault_of_something_that_is_not_there_is_refused_at_once(fault: Fault, message: str) -> None:
    with pytest.raises(UserError, match=message):
        host_with(fault)


@pytest.mark.parametrize("content", ["faults: {}", "other: []", "faults: [3]", "faults: [{at: 2}]"])
def test_a_malformed_schedule_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match="expected"):
        load_faults(path)


def test_the_help_names_every_fault_with_its_keys() -> None:
    text = describe_faults()
    for kind in BY_NAME.values():
        assert f"  {kind.name}" in text
    assert "late servo=... [delay_s=0.004]" in text
