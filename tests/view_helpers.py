"""A page, a robot and a browser for the tests of the live page: three processes that know each other over LCM only."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wildrobot.core.lcm_network import open_network
from wildrobot.runtime.commands.sender import EVERY_S, REPEATS
from wildrobot.runtime.commands.stops import STOP
from wildrobot.runtime.logs.eventlog import read_events
from wildrobot.runtime.telemetry.identity import channel_of, split_channel
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES, robot_stop_t

POLICY = Path(__file__).resolve().parents[1] / "wildrobot" / "policies" / "wildrobot_walk.onnx"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# As root in a container, without a GPU, and without a word to anybody outside.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip
PATIENCE_S = 60.0
DRAW_NOTHING = """for (const name of ['drawElements', 'drawArrays', 'drawElementsInstanced', 'drawArraysInstanced']) {
  const draw = WebGL2RenderingContext.prototype[name];
  WebGL2RenderingContext.prototype[name] = function (...how) { if (window.drawn) draw.apply(this, how); };
}"""
"""For a browser: leaves the picture of the robot empty until `drawn` is true. Drawing it takes most of the time."""
NAME = "desk"
"""Of the robot."""


def until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """The first true answer of `condition`."""
    give_up = time.monotonic() + patience_s
    while not (answer := condition()):
        assert time.monotonic() < give_up, f"waited {patience_s:.0f} s in vain for {what}"
        time.sleep(0.02)
    return answer


class Listener:
    """What goes to and from one robot: the latest message of each kind, and when the robot first was in a state."""

    def __init__(self, url: str, robot_name: str = NAME) -> None:
        self.latest: dict[str, Any] = {}
        self.commands: deque[Any] = deque(maxlen=5000)
        self.speeds: deque[float] = deque(maxlen=100)
        self.states: list[str] = []
        """That the robot has been in, one after the other."""
        self.heard_s = 0.0
        self.estop_us = 0
        """Unix time, microseconds, of the robot's first message in the state E-STOP."""
        self.estops: list[tuple[int, int]] = []
        """When each E-STOP for this robot or for all was sent and when it arrived, Unix time, microseconds."""
        self._network, self._ended = open_network(url), threading.Event()
        self._receiver = self._network.receiver(
            [*(channel_of(robot_name, kind) for kind in CHANNEL_TYPES), STOP]
        )
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _receive(self, channel: str, data: bytes) -> None:
        message = CHANNEL_TYPES[channel].decode(data)
        self.latest[channel] = message
        if channel == "velocity_command":
            self.commands.append(message)
            return
        if channel == STOP:
            if message.request == robot_stop_t.ESTOP:
                self.estops.append((message.timestamp_us, time.time_ns() // 1000))
            return
        self.heard_s = time.monotonic()
        if channel == "policy_state":
            self.speeds.append(message.linear_velocity[0])
        if channel == "robot_state":
            if self.states[-1:] != [message.state]:
                self.states.append(message.state)
            if message.state == "estop" and not self.estop_us:
                self.estop_us = time.time_ns() // 1000

    def _work(self) -> None:
        while not self._ended.is_set():
            if self._receiver.wait(0.05):
                while (message := self._receiver.read()) is not None:
                    self._receive(split_channel(message.channel)[1], message.data)

    @property
    def state(self) -> str:
        message = self.latest.get("robot_state")
        return "" if message is None or time.monotonic() - self.heard_s > 1.0 else message.state

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._network.close()


def play(log: Path, url: str, speed: float = 1.0) -> None:
    """Publish a log's messages as they were, at `speed` times their pace; what lcm-logplayer does."""
    network, began = open_network(url), time.monotonic()
    first_us = None
    for event in read_events(log):
        first_us = event.timestamp_us if first_us is None else first_us
        time.sleep(max(0.0, began + 1e-6 * (event.timestamp_us - first_us) / speed - time.monotonic()))
        network.publish(event.channel, event.data)
    network.close()


class Program:
    """A `wildrobot` command as a process; its output is kept in a file."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self.log = log
        with log.open("wb") as file:
            command = [sys.executable, "-m", "wildrobot", *arguments]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def said(self, pattern: str) -> re.Match[str]:
        """Wait for a line that fits `pattern`."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.log.read_text(encoding="utf-8"))
            assert found or self.process.poll() is None, self.log.read_text(encoding="utf-8")
            return found

        return until(look, f"{pattern!r} from {self.log.name}")

    def end(self) -> int:
        """Ctrl-C, and the exit code."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.send_signal(signal.SIGINT)
            return self.process.wait(20)
        self.process.kill()
        return self.process.wait()


class Rig:
    """The page of a module's tests, a robot when one is asked for, and browsers."""

    def __init__(
        self,
        folder: Path,
        url: str,
        browser: Any,
        *flags: str,
        query: str = "&fixedDpr=0.33",
        drawn: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`flags` for the page's program; `query` for its address: a third of the pixels; `drawn`: whether browsers
        draw the robot before a test says so."""
        self.folder, self.url, self.browser, self._query = folder, url, browser, query
        self._patience_s, self._drawn = patience_s, drawn
        # Busy machines are slow to answer: here, no driver is taken for gone because of that.
        timeout = ("--driver-timeout", "20")
        self.view = Program(folder / "view.log", "view", "--port", "0", "--lcm-url", url, *timeout, *flags)
        self.address = self.view.said(r"open (http://\S+)")[1]
        self.name = self.view.said(r"is called (\S+)")[1] if "--sim" in flags else NAME
        self.listener = Listener(url, self.name)
        self.robot_process: Program | None = None
        self._page: Any = None

    def open(self, query: str = "") -> Any:
        """A new viewer: a browser of its own as far as cookies go, of a person who likes it dark."""
        viewport = {"width": 1280, "height": 720}
        page = self.browser.new_context(viewport=viewport, color_scheme="dark").new_page()
        page.set_default_timeout(1000 * self._patience_s)
        if not self._drawn:
            page.add_init_script(DRAW_NOTHING)
        page.goto(self.address + (query or self._query))
        page.get_by_role("button", name="Stand up").wait_for()
        # A browser without a GPU complains of it in the middle of the picture.
        page.add_style_tag(content=".mantine-Notifications-root{display:none}")
        return page

    @property
    def page(self) -> Any:
        """The driver's page."""
        if self._page is None:
            self._page = self.open()
        return self._page

    def close_page(self) -> None:
        self._page.context.close()
        self._page = None

    def robot(self) -> Program:
        """A simulated robot that obeys LCM; the one that runs, or a new one."""
        if self.robot_process is None or self.robot_process.process.poll() is not None:
            arguments = ("run", str(POLICY), "--robot", "sim", "--lcm-command", "--lcm-url", self.url)
            arguments += ("--name", NAME)
            self.robot_process = Program(self.folder / "robot.log", *arguments)
            until(lambda: self.listener.state == "limp", "a limp robot")
            self.listener.estop_us = 0
        return self.robot_process

    def stand(self) -> None:
        """Get the robot on its feet, as a person does."""
        if self.name == NAME:
            self.robot()
        until(lambda: self.listener.state in ("limp", "standing"), "a robot at rest")
        if self.listener.state == "limp":
            reads(self.page, "LIMP")  # it may still show the robot that was there before
        while (
            self.listener.state == "limp"
        ):  # of a busy machine's page the robot may refuse what it says too late
            self.press("Stand up")
            with contextlib.suppress(AssertionError):
                until(lambda: self.listener.state != "limp", "a robot that obeys", 5.0)
        self.wait_for("standing")

    def wait_for(self, *states: str) -> None:
        until(lambda: self.listener.state in states, f"{states}, not {self.listener.state}")

    def press(self, button: str) -> None:
        """Click a button of the driver's page."""
        self.page.get_by_role("button", name=button).click()

    def press_estop(self) -> float:
        """Click E-STOP; the Unix time of the click in the browser, ms."""
        return float(
            self.page.evaluate(
                "() => { const e = [...document.querySelectorAll('button')].find(b => b.innerText.includes('E-STOP'));"
                " const now = performance.timeOrigin + performance.now(); e.click(); return now; }"
            )
        )

    def time_estop_clicks(self, count: int) -> list[float]:
        """Milliseconds from clicks on E-STOP to their first message on the network."""
        took_ms = []
        for _ in range(count):
            clicked_ms = self.press_estop()
            took_ms.append(self.estop_arrives(clicked_ms) - clicked_ms)
            time.sleep((REPEATS + 5) * EVERY_S)  # its repetitions would pass for the next one's
        return took_ms

    def time_estop(self) -> float:
        """Milliseconds from a click on E-STOP to the robot's first word of it. The robot has let go for good then."""
        clicked_ms = self.press_estop()
        until(lambda: self.listener.estop_us, "the E-STOP in the robot")
        return self.listener.estop_us / 1e3 - clicked_ms

    def estop_arrives(self, after_ms: float) -> float:
        """Wait for an E-STOP that was sent after a Unix time (ms); when it arrived."""

        def look() -> float | None:
            found = [arrived for sent, arrived in list(self.listener.estops) if sent >= 1e3 * after_ms]
            return 1e-3 * found[0] if found else None

        return float(until(look, "the E-STOP on the network"))

    def banner(self) -> str:
        """What the red banner of the driver's page says; empty: there is none."""
        return str(self.page.evaluate("() => document.getElementById('banner').innerText"))

    def slide(self, page: Any, share: float) -> None:
        """Click the forward slider at a share of its length, once the page lets one."""
        page.locator("button:enabled", has_text="walk").wait_for()
        x, y, width = page.evaluate(
            "() => { const r = document.querySelector('[role=slider]').parentElement.parentElement"
            ".getBoundingClientRect(); return [r.left, r.top + r.height / 2, r.width]; }"
        )
        page.mouse.click(x + share * width, y)

    def close(self) -> None:
        for program in (self.view, self.robot_process):
            if program is not None and program.process.poll() is None:
                program.end()
        self.listener.close()


@contextlib.contextmanager
def browser(prefix: tuple[str, ...] = ()) -> Iterator[Any]:
    """Headless Chromium; skips the test where there is none. `prefix` is a program that starts it, `nice` say."""
    api = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no Chromium on this machine: sudo apt-get install -y chromium")
    with contextlib.ExitStack() as stack:
        if prefix:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            wrapper = folder / "browser"
            wrapper.write_text(f'#!/bin/sh\nexec {shlex.join((*prefix, program))} "$@"\n')
            wrapper.chmod(0o755)
            program = str(wrapper)
        playwright = stack.enter_context(api.sync_playwright())
        launched = playwright.chromium.launch(executable_path=program, args=FLAGS)
        stack.callback(launched.close)
        yield launched


def reads(page: Any, text: str) -> None:
    """Wait until the page says `text`."""
    page.wait_for_function("text => document.body.textContent.includes(text)", arg=text, polling=100)


def show_tab(page: Any, tab: str) -> None:
    """Click a tab of the plots, without the wait for a picture at rest that a slow one never gives."""
    selected = (
        "tab => [...document.querySelectorAll('[role=tab][aria-selected=true]')].some(e => e.title == tab)"
    )

    def chosen() -> bool:
        if not page.evaluate(selected, tab):
            box = page.get_by_role("tab", name=tab).bounding_box()
            page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        return bool(page.evaluate(selected, tab))

    until(chosen, f"the tab {tab}")


LOW_CONTRAST = """() => {
  const rgba = text => { const v = text.match(/[\\d.]+/g).map(Number); return v.length < 4 ? [...v, 1] : v; };
  const luminance = color => color.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) {
    const color = rgba(getComputedStyle(e).backgroundColor); if (color[3] == 1) return color; } };
  const found = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement, box = e.getBoundingClientRect(), under = ground(e);
    if (!texts.currentNode.data.trim() || !box.width || !under || e.matches('style,.key')) continue;
    const [low, high] = [luminance(rgba(getComputedStyle(e).color)), luminance(under)].sort((a, b) => a - b);
    if ((high + 0.05) / (low + 0.05) < 4.5) found.push(texts.currentNode.data);
  }
  return found; }"""
"""Texts of a page whose contrast (WCAG 2) with what is behind them is too low to be read."""
CUT_OFF = """() => [
  ...[...document.querySelectorAll('.mantine-ScrollArea-viewport')]
    .filter(e => e.scrollHeight > e.clientHeight + 1 || e.scrollWidth > e.clientWidth + 1).map(e => e.innerText),
  ...[...document.querySelectorAll('.wr .line')].filter(e => e.scrollWidth > e.clientWidth).map(e => e.innerText),
  ...[...document.querySelectorAll('button,label,.wr td,.wr .state,.uplot')]
    .map(e => [e, e.getBoundingClientRect(), getComputedStyle(e).position == 'fixed'
      ? { left: 0, right: innerWidth } : e.closest('[data-dock-region]')?.getBoundingClientRect()])
    .filter(([e, box, region]) => box.width && region && (box.left < region.left || box.right > region.right
      || box.top < 0 || box.bottom > innerHeight)).map(([e]) => e.innerText || e.className)]"""
"""What of a page's panels needs scrolling or lies outside."""


def picture(page: Any) -> np.ndarray:
    """Screenshot, (height, width, 3) RGB."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
