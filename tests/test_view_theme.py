"""Both themes are readable, from the palette alone; plots fill the window; and who says which theme a viewer sees."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from runtime_helpers import SPEC

pytest.importorskip("viser", reason="needs the extra 'view'")

from wildrobot.view import looks, plots
from wildrobot.view.readout import status
from wildrobot.view.server import GuardedServer
from wildrobot.view.theme import ASKED_LINE, AXIS, ESTIMATED_LINE, LINES, THEMES, style_sheet

TEXTS = ("ink", "dim", "good", "fair", "bad", "quiet", "estimated", "asked")


def rgb(color: str) -> np.ndarray:
    """Red, green and blue, 0 to 1."""
    return np.array([*bytes.fromhex(color[1:7])]) / 255.0


def luminance(color: np.ndarray) -> float:
    """Relative luminance as WCAG 2 defines it."""
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def filtered(color: np.ndarray, css: str) -> np.ndarray:
    """A color behind a CSS filter (Filter Effects 1, brightness and saturate)."""
    for name, value in re.findall(r"(\w+)\(([\d.]+)\)", css):
        amount = float(value)
        if name == "brightness":
            color = amount * color
        else:
            assert name == "saturate"
            grey = np.array([0.213, 0.715, 0.072])
            color = amount * color + (1.0 - amount) * (color @ grey)
        color = np.clip(color, 0.0, 1.0)
    return color


def test_contrast_is_what_wcag_says() -> None:
    assert contrast(rgb("#000000"), rgb("#ffffff")) == pytest.approx(21.0)
    assert contrast(rgb("#777777"), rgb("#ffffff")) == pytest.approx(4.48, abs=0.01)
    assert np.allclose(filtered(rgb("#804020"), "brightness(.5) saturate(1)"), 0.5 * rgb("#804020"))
    assert np.ptp(filtered(rgb("#804020"), "saturate(0)")) < 1e-9


@pytest.mark.parametrize("colors", THEMES.values(), ids=THEMES)
def test_every_text_and_line_stands_out_from_its_ground(colors: dict[str, str]) -> None:
    panel = rgb(colors["panel"])
    for name in TEXTS:
        assert contrast(rgb(colors[name]), panel) >= 4.5, name
    assert contrast(rgb(colors["ink"]), rgb(colors["track"])) >= 4.5, "the switch"
    assert contrast(rgb(colors["dim"]), rgb(colors["track"])) >= 4.5, "a button that does nothing now"
    assert contrast(filtered(rgb(AXIS), colors["lines"]), panel) >= 4.5
    for line in {*LINES, ASKED_LINE, ESTIMATED_LINE}:
        assert contrast(filtered(rgb(line), colors["lines"]), panel) >= 3.0, line


def test_every_color_that_is_named_is_in_both_themes() -> None:
    first, *others = THEMES.values()
    assert all(set(theme) == set(first) for theme in others)
    written = style_sheet() + "".join(status.STATE_COLORS.values())
    named = set(re.findall(r"var\(--([a-z]+)\)", written)) - {"rows"}
    assert named <= set(first)
    assert named >= {"panel", "ink", "sky", "ground", "lines", "good"}


@pytest.mark.parametrize("height", range(480, 1441, 120))
def test_the_plots_of_a_tab_fill_the_height_of_the_window(height: int) -> None:
    width = looks.plots_width(height)
    used = looks.TABS_PX + plots.PLOTS * (width / plots.SHAPE + looks.TITLE_PX)
    assert height - 2 < used < height + 2
    queries, narrowest = looks.window_sizes()
    assert int(narrowest) == looks.plots_width(480)
    fits = [int(word) for query, word in queries if height >= int(re.findall(r"\d+", query)[0])]
    assert max(fits, default=int(narrowest)) == width
    assert queries == sorted(queries, key=lambda entry: -int(entry[1])), (
        "a browser takes the first that holds"
    )
    for query, word in queries:
        assert int(word) <= 0.4 * int(re.findall(r"\d+", query)[1])


class Client:
    """A viewer as `Looks` knows it; what it is told is kept."""

    client_id = 7

    def __init__(self, kept: str | None) -> None:
        self.shown: list[bool] = []
        self.kept, self.asked = kept, [""]
        self.gui = self.local_storage = self

    def configure_theme(self, dark_mode: bool, **_: Any) -> None:
        self.shown.append(dark_mode)

    def add_html(self, content: str) -> None:
        self.asked.append(content)

    def get_item(self, key: str, timeout: float) -> str | None:
        if self.kept == "blocked":
            raise RuntimeError("localStorage is blocked")
        return self.kept

    def set_item(self, key: str, value: str) -> None:
        self.kept = value


@pytest.mark.parametrize(
    ("theme", "kept", "dark"),
    [
        ("dark", None, [True]), ("light", None, [False]), ("auto", None, []), ("dark", "light", [False]),
        ("auto", "dark", [True]), ("light", "purple", [False]), ("dark", "blocked", [True]),
    ],
)  # fmt: skip
def test_the_choice_of_a_person_goes_before_the_option_and_that_before_the_browser(
    theme: str, kept: str | None, dark: Sequence[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = GuardedServer("127.0.0.1", 0, "test")
    try:
        switch = server.gui.add_button("theme")
        view = looks.Looks(server, theme, switch, server.gui.add_panel())
        client: Any = Client(kept)
        monkeypatch.setattr(server, "get_clients", lambda: {7: client})
        view._welcome(client)
        assert client.shown == dark
        assert ("prefers-color-scheme" in client.asked[-1]) == (dark == [])
        if dark == []:
            server.on_told(7, "theme", "light")
            server.on_told(7, "theme", "purple")
            server.on_told(8, "theme", "dark")  # a viewer who has gone
            assert client.shown == [False]
        event = type("Event", (), {"client": client, "client_id": 7})()
        view._change(event)
        assert client.shown[-1] != client.shown[-2]
        assert client.kept == ("dark" if client.shown[-1] else "light")
    finally:
        server.stop()


def test_the_robot_has_as_many_plots_as_a_tab_holds() -> None:
    assert len(plots.joint_groups(SPEC)) + 1 == plots.PLOTS
