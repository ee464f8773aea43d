"""How the page looks to each viewer: dark or light, and plots as large as the window has room for."""

from __future__ import annotations

import contextlib
from typing import Any

import viser

from wildrobot.view.plots import PLOTS, SHAPE
from wildrobot.view.server import GuardedServer
from wildrobot.view.theme import THEMES

KEPT_AS = "theme"
"""Under this name a viewer's browser remembers what its person chose."""
ANSWER_S = 5.0
PANEL_PX = 296
HEIGHTS_PX, STEP_PX = (480, 1440), 40
TABS_PX, TITLE_PX = 40, 22
"""Above the plots, and above each of them."""
SHARE = 0.38
"""Of the window's width, the most that plots take."""


class Looks:
    """Every viewer's own: two of them may look at one page in two themes, from windows of two sizes.

    The theme is, in this order, what this browser's person last chose with the switch; `theme`; what the
    browser itself prefers, if `theme` is "auto".
    """

    def __init__(self, server: GuardedServer, theme: str, switch: Any, plots: viser.PanelHandle) -> None:
        self._server, self._theme, self._plots = server, theme, plots
        self._shown: dict[int, str] = {}
        configure(server.gui, next(iter(THEMES)) if theme == "auto" else theme)
        main = server.gui.main_panel
        main.dock_left()
        main.set_width(PANEL_PX)
        plots.dock_right()
        plots.set_width(plots_width(HEIGHTS_PX[0]))
        self._told, server.on_told = server.on_told, self._hear
        server.on_client_connect(self._welcome)
        server.on_client_disconnect(self._forget)
        switch.on_click(self._change)

    def _welcome(self, client: viser.ClientHandle) -> None:
        client.gui.add_html(f"<i hidden id=viewer data-viewer={client.client_id}></i>")
        self._server.ask(client, "width", *window_sizes())
        kept = None
        with contextlib.suppress(RuntimeError, TimeoutError):  # the browser keeps nothing, or has gone
            kept = client.local_storage.get_item(KEPT_AS, ANSWER_S)
        if kept in THEMES:
            self._show(client, kept)
        elif self._theme == "auto":
            self._server.ask(client, "theme", [("(prefers-color-scheme:light)", "light")], "dark")
        else:
            self._show(client, self._theme)

    def _hear(self, viewer: int, what: str, word: str) -> None:
        client = self._server.get_clients().get(viewer)
        if client is not None and what == "theme" and word in THEMES:
            self._show(client, word)
        elif client is not None and what == "width" and word.isdecimal():
            self._server.set_panel_width(client, self._plots, int(word))
        else:
            self._told(viewer, what, word)

    def _forget(self, client: viser.ClientHandle) -> None:
        self._shown.pop(client.client_id, None)

    def _change(self, event: Any) -> None:
        """The next theme, for the viewer who asked and in that browser from now on."""
        names = list(THEMES)
        shown = names.index(self._shown.get(event.client_id, names[0]))
        theme = names[(shown + 1) % len(names)]
        event.client.local_storage.set_item(KEPT_AS, theme)
        self._show(event.client, theme)

    def _show(self, client: viser.ClientHandle, theme: str) -> None:
        self._shown[client.client_id] = theme
        configure(client.gui, theme)


def plots_width(height: int) -> int:
    """Width of the panel, pixels, in which all plots of a tab fill a window of this height: they keep their shape."""
    return round(SHAPE * ((height - TABS_PX) / PLOTS - TITLE_PX))


def window_sizes() -> tuple[list[tuple[str, str]], str]:
    """Media queries of the windows that have room for more than the narrowest panel, and its width in each; and
    the narrowest one's."""
    low, high = HEIGHTS_PX
    widths = [(height, plots_width(height)) for height in range(high, low, -STEP_PX)]
    queries = [
        (f"(min-height:{height}px) and (min-width:{round(width / SHARE)}px)", str(width))
        for height, width in widths
    ]
    return queries, str(plots_width(low))


def configure(gui: viser.GuiApi, theme: str) -> None:
    """viser's own part of a theme, for everybody or for one client."""
    red, green, blue = bytes.fromhex(THEMES[theme]["brand"][1:])
    gui.configure_theme(
        dark_mode=theme == "dark", show_logo=False, show_share_button=False, brand_color=(red, green, blue)
    )
