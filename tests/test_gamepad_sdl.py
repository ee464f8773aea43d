"""Gamepads beside SDL itself, which sees the same stand-in devices: the numbers of pads, buttons and sticks.

`make pads` runs them: they need a Python with pysdl2, this one or that in $SDL_PYTHON, and a C compiler.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gamepad_helpers import MODELS, FakeKernel, FakePad, Model, answers, fake_kernel, of_mapping

from wildrobot.runtime.commands.gamepad import sdl
from wildrobot.runtime.commands.gamepad.evdev import InputDevice
from wildrobot.runtime.commands.gamepad.layouts import Layout, choose_layout

HERE = Path(__file__).parent / "sdl"
NOT_IN_SDL = {"05000000c82d00000161000000010000"}
"""Those that `scripts/generate_pads.py` adds."""
OTHERWISE = {"8bitdo", "steam deck"}
"""One of those, and one that SDL takes for another version of it, which has more buttons before these."""
PYTHON = os.environ.get("SDL_PYTHON", sys.executable)


def has_sdl() -> bool:
    return not subprocess.run([PYTHON, "-c", "import sdl2"], capture_output=True).returncode


pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None or not has_sdl(),
    reason="no C compiler, or no pysdl2: make pads",
)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    return fake_kernel(tmp_path, monkeypatch)


def asked_of_sdl(pads: list[FakePad], folder: Path) -> list[dict[str, Any]]:
    """What SDL makes of them, each alone."""
    library = folder / "pad_kernel.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, HERE / "pad_kernel.c", "-ldl"], check=True)
    questions = []
    for pad in pads:
        place = Path(f"{pad.path}.answers")
        place.mkdir()
        for number, answer in answers(pad).items():
            (place / f"{number:02x}").write_bytes(answer)
        questions.append({"path": str(pad.path), "keys": pad.model.keys, "axes": pad.model.axes})
    result = subprocess.run(
        [PYTHON, HERE / "probe.py"],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        env=os.environ | {"LD_PRELOAD": str(library)},
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def ours(layout: Layout) -> dict[str, Any]:
    return {
        "a": [layout.soft_stop],
        "b": [layout.estop],
        "leftshoulder": [layout.deadman],
        "start": [layout.stand],
        "lefty": layout.speed,
        "turn": layout.turn,
    }


def differences(model: Model, layout: Layout, said: dict[str, Any]) -> list[str]:
    """What SDL does otherwise with the same buttons and sticks."""
    found = [
        f"{model.name} {said['guid']}: {name} is {codes} here, {said['buttons'].get(name)} in SDL"
        for name, codes in ours(layout).items()
        if isinstance(codes, list) and codes != said["buttons"].get(name)
    ]
    for name, stick, pad in (("lefty", layout.speed, "dpup"), ("rightx", layout.turn, "dpleft")):
        if name == "rightx" and name not in said["axes"]:
            name = "leftx"
        end = "maximum" if stick.inverted else "minimum"
        moved = [stick.axis, end, -1] in said["axes"].get(name, [])
        if not moved and [stick.axis, end] not in said["buttons"].get(pad, []):
            found.append(f"{model.name} {said['guid']}: {name} is {stick} here, {said['axes']} in SDL")
    return found


@pytest.mark.parametrize("first", [0x120, 0x130])
def test_every_pad_of_the_table_has_in_sdl_the_buttons_that_it_has_here(
    first: int, kernel: FakeKernel, tmp_path: Path
) -> None:
    lines = [line for line in sdl.table() if line.crc is None and line.guid not in NOT_IN_SDL]
    models = [of_mapping(line, first) for line in lines]
    pads = [kernel.plug(model, f"event{number}") for number, model in enumerate(models)]
    said = asked_of_sdl(pads, tmp_path)
    wrong = []
    for pad, answer in zip(pads, said, strict=True):
        device = InputDevice(pad.path)
        try:
            layout = choose_layout(device, {})
        except ValueError as error:
            wrong.append(f"{pad.model.name}: {error}")
            continue
        finally:
            device.close()
        if not answer.get("mapped"):
            wrong.append(f"{pad.model.name}: {answer}")
            continue
        wrong += differences(pad.model, layout, answer)
    assert not wrong, "\n".join(wrong)
    assert len(said) > 250


def test_pads_known_by_name_or_by_the_kernel_s_rules_have_in_sdl_the_buttons_that_they_have_here(
    kernel: FakeKernel, tmp_path: Path
) -> None:
    models = [model for name, model in MODELS.items() if name not in OTHERWISE]
    models.append(replace(MODELS["snes"], name="USB Gamepad"))
    pads = [kernel.plug(model, f"event{number}") for number, model in enumerate(models)]
    wrong = []
    for pad, answer in zip(pads, asked_of_sdl(pads, tmp_path), strict=True):
        device = InputDevice(pad.path)
        wrong += differences(pad.model, choose_layout(device, {}), answer)
        device.close()
    assert not wrong, "\n".join(wrong)


def test_a_pad_s_number_is_that_of_sdl(kernel: FakeKernel, tmp_path: Path) -> None:
    named = [
        Model("Lic Pro Controller", 5, 0, 0, 0, tuple(range(0x130, 0x13E)), MODELS["8bitdo"].axes),
        Model("  A  pad with   spaces ", 3, 0x1234, 1, 1, tuple(range(0x130, 0x13E)), MODELS["8bitdo"].axes),
        Model("Ünïcödé", 3, 0, 7, 1, tuple(range(0x130, 0x13E)), MODELS["8bitdo"].axes),
    ]
    models = [*MODELS.values(), *named]
    pads = [kernel.plug(model, f"event{number}") for number, model in enumerate(models)]
    said = asked_of_sdl(pads, tmp_path)
    mine = []
    for pad in pads:
        device = InputDevice(pad.path)
        mine.append(sdl.guid(device.identity, device.name))
        device.close()
    assert mine == [answer.get("guid", answer) for answer in said]
