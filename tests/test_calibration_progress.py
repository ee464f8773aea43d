"""A calibration that fails half way keeps what it has measured, and the same command goes on there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from calibration_helpers import SPEC, Bench
from test_calibrate import Clumsy

from wildrobot.cli.robot import calibrate as cli
from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus.driver import BusError
from wildrobot.firmware_bridge.calibration import measures
from wildrobot.firmware_bridge.calibration.endstops import EndStops, find_offsets
from wildrobot.firmware_bridge.calibration.hands import MoveJoint, Request
from wildrobot.firmware_bridge.calibration.identify import Wiring
from wildrobot.firmware_bridge.calibration.measures import Step
from wildrobot.firmware_bridge.calibration.progress import Progress, open_progress, progress_path
from wildrobot.firmware_bridge.virtual.hands import VirtualHands
from wildrobot.robot_description import load_robot


@pytest.fixture
def offsets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Joints driven to their stops, in order; the first time the bus is lost at the fifth."""
    driven: list[str] = []

    def find(bus: Any, spec: Any, joints: list[int], say: Any, keep: Callable[[str, float], None]) -> None:
        for joint in joints:
            driven.append(spec.joint_names[joint])
            if len(driven) == 5:
                raise BusError("device 5 does not answer")
            keep(spec.joint_names[joint], 0.01 * joint)

    monkeypatch.setattr(measures, "find_offsets", find)
    return driven


def options(folder: Path, *steps: Step, **more: Any) -> cli.CalibrateOptions:
    return cli.CalibrateOptions(output=folder / "c.yaml", only=steps, yes=True, countdown=1.0, **more)


def test_zeros_that_were_found_before_the_bus_was_lost_are_not_measured_again(
    tmp_path: Path, offsets: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        UserError, match=r"Nothing was written.*c\.progress\.json \(zeros of 4 joints\).*goes on there"
    ):
        cli.run(options(tmp_path, "offsets"), Bench().transport)
    assert not (tmp_path / "c.yaml").exists()
    assert cli.run(options(tmp_path, "offsets"), Bench().transport) == 0
    assert "measured before, and taken from" in capsys.readouterr().out
    assert offsets == [*SPEC.joint_names[:5], *SPEC.joint_names[4:]]
    found = load_robot(None, tmp_path / "c.yaml")
    assert found.joint_offset == pytest.approx([0.01 * i for i in range(SPEC.num_joints)])
    assert not progress_path(tmp_path / "c.yaml").exists(), "nothing is left to go on with"


def test_restart_measures_everything_anew(tmp_path: Path, offsets: list[str]) -> None:
    with pytest.raises(UserError):
        cli.run(options(tmp_path, "offsets"), Bench().transport)
    assert cli.run(options(tmp_path, "offsets", restart=True), Bench().transport) == 0
    assert offsets == [*SPEC.joint_names[:5], *SPEC.joint_names]


def test_a_finished_step_is_kept_when_the_next_one_fails(tmp_path: Path, offsets: list[str]) -> None:
    wiring = {name: Wiring(SPEC.servo_ids[i], -1) for i, name in enumerate(SPEC.joint_names)}
    progress = Progress(tmp_path / "p.json", {}, ["identify"], wiring)
    bench = Bench()
    with pytest.raises(BusError):
        measures.measure(bench.bus, SPEC, ["identify", "offsets"], bench.hands, progress)
    kept = json.loads((tmp_path / "p.json").read_text())
    assert kept["steps"] == ["identify"]
    assert len(kept["offset_rad"]) == 4
    found = measures.measure(bench.bus, SPEC, ["identify", "offsets"], bench.hands, progress).after
    assert [joint.direction for joint in found.config.joints] == [-1] * SPEC.num_joints
    assert not any("Go on?" in text and "limp" in text for text in bench.hands.asked), (
        "identify was not asked for"
    )


class Counting(VirtualHands):
    """Counts what it was asked to move."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.robot)
        self.moved: list[str] = []

    def _begin(self, request: Request) -> None:
        if isinstance(request, MoveJoint):
            self.moved.append(request.joint)
        super()._begin(request)


def test_joints_that_were_told_apart_are_not_asked_for_again(tmp_path: Path) -> None:
    bench, path = Bench(), tmp_path / "p.json"
    progress = Progress(path)
    with pytest.raises(UserError, match="left_hip_pitch could not be told"):
        measures.measure(bench.bus, SPEC, ["identify"], Clumsy(bench, "waist_yaw", times=9), progress)
    assert list(json.loads(path.read_text())["wiring"]) == ["waist_yaw"]
    hands = Counting(bench)
    found = measures.measure(bench.bus, SPEC, ["identify"], hands, progress).after
    assert hands.moved == list(SPEC.joint_names[1:])
    assert found.servo_ids == SPEC.servo_ids


def test_measured_and_not_written_is_asked_about_again(
    tmp_path: Path, offsets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    offsets += [""] * 5  # the bus is not lost
    answers = iter([True, False, True])
    monkeypatch.setattr(cli.PersonHands, "agree", lambda self, question, moves=False: next(answers))
    assert cli.run(options(tmp_path, "offsets"), Bench().transport) == 1
    assert not (tmp_path / "c.yaml").exists()
    assert cli.run(options(tmp_path, "offsets"), Bench().transport) == 0
    assert offsets[5:] == list(SPEC.joint_names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"key": {"robot": "another"}},
            "for another calibration .*zeros of 1 joints.*--restart to begin anew",
        ),
        ({"wiring": None}, "cannot be read"),
        ({"offset_rad": {"waist_yaw": "x"}}, "cannot be read"),
        ({"imu_mount": 3}, "cannot be read"),
    ],
)
def test_what_was_measured_for_something_else_is_not_taken(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    output = tmp_path / "c.yaml"
    began = measures.as_calibration(SPEC)
    progress = open_progress(output, SPEC, began, ["offsets"], restart=False)
    progress.offset_rad["waist_yaw"] = 0.1
    progress.keep()
    assert open_progress(output, SPEC, began, ["offsets"], restart=False).offset_rad == {"waist_yaw": 0.1}
    with pytest.raises(UserError, match="for another calibration"):
        open_progress(output, SPEC, began, ["offsets", "imu"], restart=False)
    path = progress_path(output)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=message):
        open_progress(output, SPEC, began, ["offsets"], restart=False)
    assert open_progress(output, SPEC, began, ["offsets"], restart=True).empty


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    progress_path(tmp_path / "c.yaml").write_text("{")
    with pytest.raises(UserError, match=r"c\.progress\.json .*cannot be read.*--restart"):
        open_progress(tmp_path / "c.yaml", SPEC, {}, ["offsets"], restart=False)


def test_a_computer_that_was_held_up_is_named_and_not_the_joint(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, seeks = Bench(), []
    seek = EndStops._seek

    def held_up(self: EndStops, joint: int, sign: int) -> float:
        if not seeks:
            bench.transport.sleep(1.0)
        seeks.append(joint)
        return seek(self, joint, sign)

    monkeypatch.setattr(EndStops, "_seek", held_up)
    with pytest.raises(
        UserError, match=r"heard nothing for 0\.5 s and stopped by itself: this computer was held up"
    ):
        find_offsets(bench.bus, SPEC, [0], lambda text: None)
    assert not any(servo.torque_on for servo in bench.robot.servos)
