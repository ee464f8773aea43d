"""The plots held still, and looked through back to a minute ago, with the robot's picture of that moment."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import viser

from wildrobot.view.feed import Feed
from wildrobot.view.history import SECONDS, SHOWN_S, History
from wildrobot.view.track import Placement

STEP_S = 0.02


class Pause:
    """A button and a slider below the robot's picture. All viewers share them, as they share the plots.

    What comes while the plots are held is kept all the same. The picture follows the slider only while nobody drives:
    who drives must see the robot as it is.
    """

    def __init__(self, gui: viser.GuiApi, feed: Feed) -> None:
        self._feed, self._lock = feed, threading.Lock()
        self._frozen: History | None = None
        self.button = gui.add_button(
            "Pause", icon=viser.Icon.PLAYER_PAUSE, hint="hold the plots; look back a minute"
        )
        self.slider: Any = gui.add_slider(
            "", SHOWN_S - SECONDS, 0.0, STEP_S, 0.0, visible=False, marks=(), hint="seconds before the pause"
        )
        self.button.on_click(self._toggle)

    @property
    def history(self) -> History | None:
        """What is shown instead of the feed's own; None: the plots are live."""
        return self._frozen

    @property
    def before(self) -> int:
        """How many ticks before the pause is shown."""
        return round(-float(self.slider.value) * self._feed.spec.control_hz)

    @property
    def note(self) -> str:
        """What to write over the plots; empty: they are live."""
        if self._frozen is None:
            return ""
        back = -float(self.slider.value)
        return f"PAUSED, not live: {back:.1f} s back" if back else "PAUSED, not live"

    def hold(self) -> None:
        """Hold the plots at this moment."""
        with self._feed.lock:
            frozen = self._feed.history.frozen()
        with self._lock:
            self._frozen = frozen
            self.slider.value = 0.0
            self._label("Go live", viser.Icon.PLAYER_PLAY, True)

    def go_live(self) -> None:
        """Let them run again."""
        with self._lock:
            self._frozen = None
            self._label("Pause", viser.Icon.PLAYER_PAUSE, False)

    def moment(self) -> tuple[Placement, Any, Any, Any] | None:
        """The robot at the moment of the slider: placement, joint positions, contacts and the velocity asked for.
        None: the plots are live, or nothing was heard then."""
        history, before = self._frozen, self.before
        if history is None:
            return None
        row = {name: history.part(name, 1, before)[0] for name in MOMENT}
        if not np.isfinite(row["joint_position"]).all() or not np.isfinite(row["position"]).all():
            return None
        forward, side = float(row["velocity"][0]), float(row["side_velocity"][0])
        place = Placement(
            position=row["position"],
            rotation=row["rotation"].reshape(3, 3),
            heading=float(row["heading"][0]),
            airborne=bool(row["airborne"][0]),
            velocity=np.array([forward, side]),
        )
        return place, row["joint_position"], row["contact"], np.nan_to_num(row["command"])

    def _toggle(self, _: Any) -> None:
        if self._frozen is None:
            self.hold()
        else:
            self.go_live()

    def _label(self, text: str, icon: Any, held: bool) -> None:
        self.button.label, self.button.icon, self.slider.visible = text, icon, held


MOMENT = (
    "joint_position", "contact", "velocity", "command", "heading", "side_velocity", "position", "rotation", "airborne",
)  # fmt: skip
