"""Wiring, stand and README: their figures follow from robot.yaml and the MJCF, and fit each other."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

pytest.importorskip("mujoco", reason="needs the extra 'sim'")

import generate_hardware  # noqa: E402
import hardware_figures as figures  # noqa: E402

HARDWARE = figures.Hardware()
WIRING = generate_hardware.WIRING.read_text(encoding="utf-8")
README = generate_hardware.README.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", generate_hardware.files(HARDWARE), ids=lambda path: str(path.name))
def test_what_follows_from_the_robot_is_current(path: Path) -> None:
    made = generate_hardware.files(HARDWARE)[path]
    assert path.read_text(encoding="utf-8") == made, "run: python scripts/generate_hardware.py"


def test_another_servo_or_guard_changes_the_page(tmp_path: Path) -> None:
    yaml = HARDWARE.spec.path.read_text()
    changes = {
        "stall_current_a: 2.3": "stall_current_a: 2.5",
        "voltage_low_v: {warn: 11.0": "voltage_low_v: {warn: 10.8",
    }
    for old, new in changes.items():
        assert old in yaml
        yaml = yaml.replace(old, new)
    (tmp_path / "robot.yaml").write_text(yaml)
    (tmp_path / "wildrobot.xml").write_bytes(HARDWARE.spec.mjcf_path.read_bytes())
    other = generate_hardware.files(figures.Hardware(figures.RobotSpec(tmp_path / "robot.yaml")))
    page = other[generate_hardware.WIRING]
    assert "9 × 2.5 A = 22.5 A" in page
    assert "| warning | 10.8 V |" in page
    assert "9 × 2.5 A" not in WIRING


@pytest.mark.parametrize("branch", HARDWARE.branches(), ids=lambda branch: branch.fuse)
def test_a_fuse_carries_what_is_drawn_and_its_wire_carries_more(branch: Any) -> None:
    assert branch.current_a <= branch.fuse_a < figures.WIRE_A[branch.awg]


def test_every_servo_hangs_on_one_fuse_of_its_own_and_no_contact_carries_two() -> None:
    ids = [
        int(n)
        for b in HARDWARE.branches()
        if b.feeds.startswith(("left", "right", "waist"))
        for n in re.findall(r"\d+", b.feeds)
    ]
    assert sorted(ids) == sorted(HARDWARE.spec.servo_ids)
    assert HARDWARE.full_stall_a < figures.EH_CONTACT_A < 2 * HARDWARE.full_stall_a
    main, *branches = HARDWARE.branches()
    drawn = sum(b.current_a for b in branches if b.fuse != "F7")  # that one is behind the converter
    assert drawn == pytest.approx(main.current_a)
    assert main.fuse_a <= figures.XT60_A


def test_the_battery_lies_within_guards_and_servos() -> None:
    low, high = HARDWARE.low, HARDWARE.high
    assert figures.SERVO_RANGE_V[0] <= low.stop < low.warn < HARDWARE.pack_v
    assert HARDWARE.full_v < high.warn <= high.stop <= figures.SERVO_RANGE_V[1]
    assert (figures.CELLS + 1) * figures.CELL_V[0] > high.warn  # one cell too many is noticed
    assert low.stop / figures.CELLS >= 3.3
    assert HARDWARE.branches()[0].fuse_a < figures.C_RATING * figures.CAPACITY_AH


def test_the_page_s_own_words_agree_with_robot_yaml() -> None:
    rows = dict(re.findall(r"\| (\d+) \| (\w+_\w+) ", WIRING))
    expected = {
        str(i): name for i, name in zip(HARDWARE.spec.servo_ids, HARDWARE.spec.joint_names, strict=True)
    }
    assert expected.items() <= rows.items()
    assert f"| {HARDWARE.spec.config.bus.sensor_board_id} | sensor board |" in WIRING
    assert f"Above {HARDWARE.high.warn} V the guard" in WIRING.replace("\n", " ")
    assert f"break {HARDWARE.branches()[0].fuse_a:g} A at 15 V DC" in WIRING
    assert HARDWARE.full_v < 15.0
    assert f"closing at {HARDWARE.spec.foot_switch.on_n:g} N" in WIRING


def test_the_first_screen_says_that_no_robot_has_run_this_and_what_it_takes() -> None:
    screen = " ".join(README.splitlines()[:25])
    for words in (
        "No robot has run this yet",
        HARDWARE.servo,
        "U2D2",
        "OpenRB-150",
        "battery",
        "USD",
        "to be designed",
    ):
        assert words in screen, words
    spec = HARDWARE.spec
    assert f"({spec.num_joints} joints, {HARDWARE.mass:.1f} kg, {HARDWARE.height:.2f} m)" in screen


def test_the_stand_is_wider_than_the_feet_reach() -> None:
    assert HARDWARE.free_width > 2 * HARDWARE.reach_y + 2 * figures.AROUND_M - 1e-9
    assert HARDWARE.bar_height > HARDWARE.height + figures.FEET_OFF_FLOOR_M
    leg = HARDWARE.spec.leg
    assert HARDWARE.reach_y > leg.length + leg.ankle_height  # hip roll reaches a right angle
