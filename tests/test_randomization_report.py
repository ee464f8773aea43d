"""What the report says of live robots is true: all is as asked, and what is not is marked."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wildrobot.cli.main import main as wildrobot
from wildrobot.cli.randomization import main
from wildrobot.core.errors import UserError, run_main
from wildrobot.robot_description import RobotSpec
from wildrobot.simulation.randomization import terms as randomization_terms
from wildrobot.simulation.randomization.config import FULL, NOMINAL, PRESETS, Randomization
from wildrobot.simulation.randomization.effects import Effect, measure, read_back
from wildrobot.simulation.randomization.probe import READ_BACKS
from wildrobot.simulation.simulation import Simulation

FIELDS = [field.name for field in dataclasses.fields(Randomization)]
ENVS = 64


def marked(effects: list[Effect]) -> dict[str, str]:
    return {effect.name: effect.verdict for effect in effects if effect.verdict}


def test_every_field_of_the_configuration_is_read_back() -> None:
    assert sorted(term.name for term in READ_BACKS) == sorted(FIELDS)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("preset", PRESETS)
def test_live_robots_are_as_asked(preset: str, level: float) -> None:
    assert marked(measure(PRESETS[preset], ENVS, 2, level, threads=1)) == {}


def test_the_figures_are_those_of_the_ranges() -> None:
    effects = {effect.name: effect for effect in measure(FULL, 256, 2, 1.0, seed=3, threads=1)}
    for name in ("friction", "mass_factor", "voltage_v", "imu_mount_rad", "floor_tilt_rad", "push_speed_m_s"):
        effect = effects[name]
        low, high = effect.asked
        assert effect.mean == pytest.approx(0.5 * (low + high), abs=0.06 * (high - low)), name
        assert effect.deviation == pytest.approx((high - low) / math.sqrt(12.0), rel=0.1), name
    assert effects["imu_age_s"].mean == pytest.approx(0.005, rel=0.05)
    assert effects["action_jitter_s"].mean == pytest.approx(0.0025, rel=0.1)
    assert effects["backlash_rad"].most <= 0.0087 + 0.00154
    assert effects["backlash_rad"].deviation == pytest.approx(0.0087 / math.sqrt(12.0), rel=0.1)


@pytest.fixture(scope="module")
def wrong(spec: RobotSpec) -> Any:
    def without(name: str) -> dict[str, str]:
        """Full randomization is asked for, and one term is left out."""
        lame = dataclasses.replace(FULL, **{name: getattr(NOMINAL, name)})
        return marked(read_back(Simulation(spec, ENVS, 1, lame, threads=1), 1, FULL))

    return without


@pytest.mark.parametrize("name", [n for n in FIELDS if getattr(FULL, n) != getattr(NOMINAL, n)])
def test_a_term_that_does_nothing_is_marked_and_no_other(wrong: Any, name: str) -> None:
    verdicts = wrong(name)
    if name == "push_speed_m_s":
        assert verdicts.pop("push_interval_s") == "no effect"
    # a rounded reading may jump by a count
    hidden = name in ("joint_position_noise_rad", "joint_velocity_noise_rad_s")
    assert verdicts == {
        name: "not as asked" if name == "quantise_joints" else verdicts[name] if hidden else "no effect"
    }


@pytest.mark.parametrize("name", [n for n in FIELDS if getattr(FULL, n) != getattr(NOMINAL, n)])
def test_a_term_that_is_on_though_not_asked_for_is_marked(spec: RobotSpec, name: str) -> None:
    sim = Simulation(spec, ENVS, 1, FULL, threads=1)
    verdicts = marked(read_back(sim, 1, dataclasses.replace(FULL, **{name: getattr(NOMINAL, name)})))
    verdicts.pop("push_interval_s", None)
    if name == "imu_mount_rad":
        verdicts.pop("gyro_bias_rad_s", None)  # it is read through the mount that is asked for
    assert set(verdicts) == {name}


class Accumulating(Simulation):
    """Draws on top of the last draw."""

    def _randomize(self, rows: Any) -> None:
        super()._randomize(rows)
        self.robots.nominal = {name: np.array(values[0]) for name, values in self.robots.field.items()}


def test_randomization_that_accumulates_is_marked(spec: RobotSpec) -> None:
    verdicts = marked(read_back(Accumulating(spec, ENVS, 1, FULL, threads=1), 4))
    for name in ("mass_factor", "joint_friction_factor", "torso_com_m"):
        assert verdicts[name] in ("out of range", "shifts"), name


class Shifting(Simulation):
    """Stays in its range and moves within it from reset to reset."""

    count = 0

    def _randomize(self, rows: Any) -> None:
        super()._randomize(rows)
        self.count += 1
        friction = self.robots.field["geom_friction"]
        friction[..., 0] = np.where(np.arange(len(friction))[:, None] < 8 * self.count, 1.1, friction[..., 0])


def test_randomization_that_shifts_is_marked(spec: RobotSpec) -> None:
    verdicts = marked(read_back(Shifting(spec, ENVS, 1, FULL, threads=1), 4))
    assert verdicts == {"friction": "shifts"}


# ---------------------------------------------------------------------- the command


def test_the_command_prints_every_term_and_ends_with_zero(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "figures.json"
    arguments = ["--envs", "64", "--resets", "2", "--threads", "1", "--json", str(path)]
    assert wildrobot(["randomization", *arguments]) == 0
    printed = capsys.readouterr()
    for name in FIELDS:
        assert name in printed.out
    assert "<<" not in printed.out
    assert "0.92 … 1.08" in printed.out
    written = json.loads(path.read_text())
    assert (written["preset"], written["envs"], written["resets"]) == ("full", 64, 2)
    assert [row["name"] for row in written["terms"]] == [term.name for term in READ_BACKS]
    again = tmp_path / "again.json"
    assert wildrobot(["randomization", *arguments[:-1], str(again)]) == 0
    assert again.read_text() == path.read_text()


def test_the_command_names_a_term_without_effect_and_ends_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(robots: Any, rows: Any, value: Any) -> None:
        pass

    terms = [
        dataclasses.replace(term, apply=nothing) if term.name == "friction" else term
        for term in randomization_terms.ROBOT_TERMS
    ]
    monkeypatch.setattr(randomization_terms, "ROBOT_TERMS", tuple(terms))
    assert main(["--envs", "32", "--resets", "1", "--threads", "1"]) == 1
    printed = capsys.readouterr()
    assert printed.err == "friction: no effect\n"
    (row,) = (line for line in printed.out.splitlines() if line.strip().startswith("friction "))
    assert row.rstrip().endswith("<<")
    assert printed.out.count("…") == printed.out.count(" … "), "a figure is cut short"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--envs", "4"], "--envs is 4, expected at least 32"),
        (["--resets", "0"], "--resets is 0, expected 1 or more"),
        (["--level", "1.5", "--envs", "32"], "level is 1.5, expected 0 to 1"),
    ],
)
def test_what_cannot_be_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        main(arguments)
    assert run_main(main, arguments) == 2
