"""A page in the tests' own process, and the browser of somebody who operates a robot by it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from runtime_helpers import SPEC

pytest.importorskip("viser", reason="needs the extra 'view'")

from view_helpers import BROWSERS, DRAW_NOTHING, FLAGS, Listener, browser, until

from wildrobot.core.lcm_network import open_network
from wildrobot.runtime.commands.sender import CommandSender
from wildrobot.view.driving import Driving
from wildrobot.view.feed import Feed
from wildrobot.view.page import Page

SETTINGS_OPEN, SETTINGS_CLOSED = ".tabler-icon-arrow-back", ".tabler-icon-adjustments"

POINTS = [(x, y) for y in (0.06, 0.5, 0.94) for x in (0.02, 0.26, 0.5, 0.74, 0.98)]
"""Shares of the button's width and height."""


PATIENCE_S = 10.0
"""For one tap: the machine may be busy."""


COVERED = """points => {
  const button = [...document.querySelectorAll('button')].find(e => e.textContent.startsWith('E-STOP'));
  const box = button.getBoundingClientRect();
  return points.map(([x, y]) => [box.left + x * box.width, box.top + y * box.height]).map(([x, y]) => {
    const top = document.elementFromPoint(x, y);
    return button.contains(top) ? '' : `${x.toFixed()},${y.toFixed()}: ${top?.className || top?.tagName}`;
  }).filter(Boolean); }"""
"""What lies over E-STOP, by point."""


BOX = """() => [...document.querySelectorAll('button')].find(e => e.textContent.startsWith('E-STOP'))
  .getBoundingClientRect().toJSON()"""


COMMANDS = ".mantine-Spotlight-search"


class Operator:
    """A page in this process, whose robot is the network's, and a browser with a touch screen that looks at it."""

    def __init__(self, url: str, launched: Any, presses: list[float]) -> None:
        self.url, self._presses = url, presses
        self.listener, self.network = Listener(url), open_network(url)
        sender = CommandSender(self.network, "view@test")
        self.feed = Feed(SPEC, self.network, None, sender.hears)
        self.page = Page(self.feed, sender, "127.0.0.1", 0, 10.0, 20.0, "auto")
        self.words_s: list[float] = []
        """When words about what is held came that were obeyed, Unix time."""
        obeys = self.page.server.on_drive

        def drive(viewer: int, word: Any, forward: str | None, left: float) -> bool:
            obeyed = obeys(viewer, word, forward, left)
            if obeyed and forward is not None:
                self.words_s.append(time.time())
            return obeyed

        self.page.server.on_drive = drive
        self.thread = threading.Thread(target=self.page.run, daemon=True)
        self.thread.start()
        context = launched.new_context(has_touch=True, viewport={"width": 390, "height": 844})
        self.screen = context.new_page()
        self.screen.add_init_script(DRAW_NOTHING)
        self.screen.set_default_timeout(60_000)
        self.screen.goto(self.page.server.url + "&fixedDpr=0.05")
        self.screen.get_by_role("button", name="Stand up").wait_for(state="attached")
        (self.client,) = until(self.page.server.get_clients, "the viewer").values()
        # Neither the picture nor blurred grounds are what is looked at here; without a GPU they take the time.
        self.screen.add_style_tag(
            content="canvas{display:none!important}*{backdrop-filter:none!important;transition:none!important}"
        )
        self.notices: list[Any] = []
        self.opened: list[Callable[[], None]] = []
        """What ends each thing that the program has opened."""
        self.page.server.gui.add_command("a command")

    @property
    def presses(self) -> int:
        """How often the page has been told E-STOP."""
        return len(self._presses)

    def close(self) -> None:
        self.screen.context.close()
        self.page.close()
        self.thread.join(10)
        self.feed.close()
        self.network.close()
        self.listener.close()

    @contextlib.contextmanager
    def second_browser(self) -> Iterator[tuple[Any, Callable[[], None]]]:
        """Another browser's page, and what kills that browser."""
        program = next(filter(None, map(shutil.which, BROWSERS)))
        other = self.screen.context.browser.browser_type.launch(executable_path=program, args=FLAGS)
        processes = other.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
        (process,) = (one["id"] for one in processes if one["type"] == "browser")
        page = other.new_page()
        page.add_init_script(DRAW_NOTHING)
        page.goto(self.page.server.url + "&fixedDpr=0.05")
        page.get_by_role("button", name="Stand up").wait_for(state="attached")
        yield page, lambda: os.kill(process, signal.SIGKILL)
        with contextlib.suppress(Exception):  # it has gone
            other.close()

    def look(self, size: tuple[int, int], theme: str) -> None:
        self.screen.set_viewport_size({"width": size[0], "height": size[1]})
        self.screen.emulate_media(color_scheme=theme)
        self.screen.wait_for_selector(f":root[data-mantine-color-scheme={theme}]", state="attached")

    def covered(self) -> list[str]:
        """What lies over E-STOP now."""
        return list(self.screen.evaluate(COVERED, POINTS))

    def sent(self, press: Callable[[], Any], patience_s: float = PATIENCE_S) -> bool:
        """Whether the page sends E-STOP after `press`."""
        before, give_up = self.presses, time.monotonic() + patience_s
        press()
        while self.presses == before:
            if time.monotonic() > give_up:
                return False
            self.screen.wait_for_timeout(2)
        # No repetition of this one may pass for the next one's.
        self.screen.wait_for_function("() => !['sending', 'unsent'].includes(estop.dataset.said)", polling=5)
        return True

    def tap(self, x: float = 0.5, y: float = 0.5) -> None:
        """Touch E-STOP at shares of its width and height."""
        box = self.screen.evaluate(BOX)
        self.screen.touchscreen.tap(box["x"] + x * box["width"], box["y"] + y * box["height"])

    def not_sent(self) -> list[tuple[float, float]]:
        """The points of E-STOP at which a tap does not send it."""
        return [(x, y) for x, y in POINTS if not self.sent(lambda x=x, y=y: self.tap(x, y))]

    # ------------------------------------------------------------------ what opens

    def notify(self) -> None:
        """Several notifications, an error among them, as high as a screen."""
        self.notices = [
            self.client.add_notification(
                f"viewer {i} drives", "You can watch, stop and E-STOP. " * 3, color="red"
            )
            for i in range(4)
        ]
        self.screen.get_by_text("viewer 3 drives").first.wait_for()

    def switch_settings(self, opened: bool) -> None:
        """viser's settings. Their button is hidden; whatever opens them, E-STOP is there."""
        there, elsewhere = (SETTINGS_OPEN, SETTINGS_CLOSED) if opened else (SETTINGS_CLOSED, SETTINGS_OPEN)
        self.screen.evaluate("icon => document.querySelector(icon)?.closest('button').click()", elsewhere)
        self.screen.wait_for_selector(there, state="attached")

    def open_commands(self) -> None:
        """The list of commands, with the focus in its field."""
        self.close_commands()
        # Its shortcut is not heard from a field.
        self.screen.evaluate("() => document.activeElement.blur()")
        self.screen.keyboard.press("Control+k")
        self.screen.wait_for_selector(f"{COMMANDS}:focus")

    def close_commands(self) -> None:
        """Whatever state it is in, opening or closing."""

        def closed() -> bool:
            if self.screen.query_selector(COMMANDS) is None:
                return True
            self.screen.keyboard.press("Escape")
            self.screen.wait_for_timeout(100)
            return False

        until(closed, "the end of the list of commands")

    def open_everything(self) -> None:
        """Notifications, viser's settings, the hint of the control next to E-STOP, the list of commands, a floating
        panel, and a dialog with an open list."""
        self.notify()
        self.switch_settings(True)
        hinted = self.screen.get_by_role("button", name="theme").first.bounding_box()
        if hinted is not None:
            self.screen.mouse.move(hinted["x"] + 9, hinted["y"] + 9)
            self.screen.wait_for_timeout(600)
        gui = self.page.server.gui
        self.open_commands()
        panel = gui.add_panel()
        self.opened.append(panel.remove)
        panel.float(x=0, y=0, width=400, height=400)
        with panel.add_tab("float"):
            gui.add_html("<div style='height:400px'>over the picture</div>")
        modal = gui.add_modal("a dialog")
        self.opened.append(modal.close)
        with modal:
            gui.add_dropdown("list", [f"entry {i}" for i in range(30)])
            gui.add_rgb("color", (255, 0, 0))
            gui.add_markdown("a long text\n\n" * 30)
        self.screen.get_by_text("a dialog").wait_for()

        def unfolded() -> bool:
            if self.screen.get_by_text("entry 5").is_visible():
                return True
            self.screen.evaluate("() => document.querySelector('.mantine-Modal-body input').click()")
            self.screen.wait_for_timeout(300)
            return self.screen.get_by_text("entry 5").is_visible()

        until(unfolded, "the dialog's list")

    def close_all(self) -> None:
        """Whatever is open or held, after whatever a test did."""
        while self.notices:
            self.notices.pop().remove()
        while self.opened:
            self.opened.pop()()
        for key in ("w", "ArrowLeft", "Space"):
            self.screen.keyboard.up(key)
        self.screen.unroute_all()
        self.screen.evaluate(
            "() => { document.getElementById('blanket')?.remove(); document.body.inert = false; }"
        )
        self.screen.get_by_text("a dialog").wait_for(state="detached")
        self.close_commands()
        self.switch_settings(False)


@contextlib.contextmanager
def operating(url: str) -> Iterator[Operator]:
    """An operator of the robots on a network, whose presses of E-STOP are counted."""
    presses: list[float] = []
    counted = Driving.estop

    def estop(driving: Driving) -> None:
        presses.append(time.monotonic())
        counted(driving)

    with pytest.MonkeyPatch.context() as patch, browser() as launched:
        patch.setattr(Driving, "estop", estop)
        made = Operator(url, launched, presses)
        try:
            yield made
        finally:
            made.close()
