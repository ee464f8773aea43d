"""The sensor board's generated files, and the generator."""

from __future__ import annotations

from pathlib import Path

import pytest

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.board import control_table as table
from wildrobot.firmware_bridge.board import generate


@pytest.mark.parametrize("path", list(generate.outputs()), ids=lambda path: path.name)
def test_a_generated_file_is_what_the_generator_writes(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generate.outputs()[path]


def test_the_page_has_the_table() -> None:
    assert generate.DOCUMENT in generate.outputs()


def test_check_says_what_to_run_when_a_file_is_stale(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "MODULE", tmp_path / "control_table.py")
    assert generate.main(["--check"]) == 1
    assert generate.COMMAND in capsys.readouterr().out
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


def test_the_layout_is_the_agreed_one() -> None:
    assert (table.MODEL_NUMBER.address, table.DEFAULTS["model_number"]) == (0, 0x5752)
    assert (table.SAMPLE_ADDRESS, table.SAMPLE_SIZE) == (128, 34)
    addresses = {
        "id": 7,
        "baud_rate": 8,
        "return_delay_time": 9,
        "status_return_level": 68,
        "hardware_error_status": 70,
        "quaternion_w": 128,
        "angular_velocity_x": 136,
        "acceleration_x": 142,
        "foot_force_left_toe": 148,
        "sample_counter": 152,
        "sample_age": 154,
        "clock": 156,
        "status": 160,
        "supply_voltage": 161,
    }
    assert {name: table.BY_NAME[name].address for name in addresses} == addresses


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("address: 136", "address: 134", "overlaps"),
        ("address: 136", "address: 137", "gap"),
        ("type: u8, access: rw, default: 2", "type: u9, access: rw, default: 2", "type must be one of"),
        ("default: 2, range: [0, 2]", "default: 3, range: [0, 2]", "range that holds its default"),
        ("access: rw, default: 2", "acess: rw, default: 2", "unknown key acess"),
        ("type: u16, access: r, default: 22354", "type: u16, access: rw, range: [0, 9]", "one byte only"),
    ],
)
def test_a_mistake_in_the_table_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = generate.SOURCE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "control_table.yaml"
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message):
        generate.load(path)
