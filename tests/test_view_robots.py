"""Two robots on one network: a simulation is alone, and where it is not plain which robot is meant, nobody drives."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("viser", reason="needs the extra 'view'")

from view_helpers import NAME, POLICY, Rig, browser, play, reads, until

from wildrobot.cli.run import run

DRIVES = ("Stand up", "left", "walk", "right")
SMALL = "&fixedDpr=0.05"
TOPMOST = """() => {
  const button = [...document.querySelectorAll('button')].find(e => e.textContent.startsWith('E-STOP'));
  const box = button.getBoundingClientRect();
  return [0.02, 0.26, 0.5, 0.74, 0.98].flatMap(x => [0.06, 0.5, 0.94].map(y =>
    button.contains(document.elementFromPoint(box.left + x * box.width, box.top + y * box.height)))); }"""
"""Whether E-STOP is on top, at 15 points of it."""
SEEN = """() => {
  const banner = document.getElementById("banner"), box = banner.getBoundingClientRect();
  return box.left >= 0 && box.right <= innerWidth && box.top >= 0 && box.bottom <= innerHeight
    && banner.scrollHeight <= banner.clientHeight && banner.scrollWidth <= banner.clientWidth && [0.02, 0.5, 0.98]
      .every(x => banner.contains(document.elementFromPoint(box.left + x * box.width, box.bottom - 3)));
}"""
"""Whether the whole banner is inside the window, and on top."""


@pytest.fixture(scope="module")
def launched() -> Iterator[Any]:
    with browser() as program:
        yield program


@pytest.fixture(scope="module")
def desk(launched: Any, multicast: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A robot that obeys LCM, limp, and a page that was not told a name."""
    rig = Rig(tmp_path_factory.mktemp("desk"), multicast, launched, query=SMALL)
    try:
        rig.robot()
        yield rig
    finally:
        rig.close()


@pytest.fixture(scope="module")
def simulation(desk: Rig, launched: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A page with its own simulation beside it, as `make view` starts them."""
    rig = Rig(tmp_path_factory.mktemp("sim"), desk.url, launched, "--sim", str(POLICY), query=SMALL)
    try:
        until(lambda: rig.listener.state == "limp", "the page's simulation")
        yield rig
    finally:
        rig.close()


def drivable(page: Any) -> list[str]:
    """Buttons and sliders that drive and can be used."""
    found = [name for name in DRIVES if page.get_by_role("button", name=name, exact=True).is_enabled()]
    sliders = "() => [...document.querySelectorAll('[role=slider]')].map(e => !!e.closest('[data-disabled]'))"
    return found + ["slider" for disabled in page.evaluate(sliders) if not disabled]


def test_a_second_robot_is_a_banner_that_names_both_and_nobody_drives(desk: Rig, simulation: Rig) -> None:
    until(desk.banner, "the banner")
    text = desk.banner()
    for part in ("2 robots answer", NAME, simulation.name, f"wildrobot view --name {NAME}"):
        assert part in text
    reads(desk.page, f"{NAME}, simulated, on ")
    until(lambda: not drivable(desk.page), "everything that drives out of use")
    assert desk.page.get_by_role("button", name="Stop: crouch, let go").is_enabled()
    for size in ((390, 844), (1280, 720)):
        desk.page.set_viewport_size({"width": size[0], "height": size[1]})
        until(lambda: desk.page.evaluate(SEEN), f"the whole banner at {size}")
        until(lambda: all(desk.page.evaluate(TOPMOST)), f"E-STOP on top at {size}")
    assert simulation.banner() == "", "its page knows which robot it means"
    reads(simulation.page, f"{simulation.name}, simulated, on ")


def test_what_drives_a_simulation_drives_no_other_robot(desk: Rig, simulation: Rig) -> None:
    simulation.stand()
    simulation.slide(simulation.page, 0.5)
    simulation.wait_for("walking")
    time.sleep(0.5)
    simulation.press_estop()
    simulation.wait_for("estop")
    time.sleep(0.5)
    assert desk.listener.states == ["limp"], "it stood by"
    assert not desk.listener.commands
    assert not desk.listener.estops
    assert desk.robot_process is not None
    assert desk.robot_process.process.poll() is None


def test_the_banner_goes_with_the_second_robot_and_stops_are_for_all_while_it_is_there(
    desk: Rig, simulation: Rig
) -> None:
    until(lambda: not desk.banner(), "the end of the banner: the simulation's program has ended")
    until(lambda: drivable(desk.page) == ["Stand up"], "what drives in use again")
    reads(desk.page, f"{NAME}, simulated, on ")
    simulation.listener.states.clear()
    simulation.press("Restart the simulation")
    until(lambda: desk.banner(), "the banner")
    desk.press_estop()
    for rig in (desk, simulation):
        rig.wait_for("estop")


def test_a_played_log_of_the_robot_that_is_there_is_a_banner_too(desk: Rig, tmp_path: Path) -> None:
    log = tmp_path / "walk.lcmlog"
    flags = ["--robot", "sim", "--fast", "--no-lcm", "--duration", "6", "--log", str(log), "--name", NAME]
    assert run.main([str(POLICY), *flags]) == 0
    desk.robot_process = None  # it has let go, and is ending
    desk.robot()
    until(lambda: not desk.banner(), "the other robot's end")
    reads(desk.page, "LIMP")
    player = threading.Thread(target=play, args=(log, desk.url))
    player.start()
    until(desk.banner, "the banner")
    assert f"2 programs call themselves {NAME}" in desk.banner()
    assert "LIMP" in desk.page.inner_text("body")
    assert not drivable(desk.page)
    player.join()
    until(lambda: not desk.banner(), "the end of the banner")
    assert "WALKING" not in desk.page.inner_text("body")
