"""Where each viewer looks from: places around the robot to go to, and one behind it that turns with it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import viser
from numpy.typing import NDArray

from wildrobot.core.rotations import rotate_heading
from wildrobot.view.scene import LOOK_AT

PLACES = {
    "front": (1.55, 0.0, 0.4),
    "side": (0.0, -1.55, 0.4),
    "back": (-1.55, 0.0, 0.4),
    "top": (-0.01, 0.0, 2.1),
    "follow": (-1.45, 0.0, 0.75),
}
"""m from the robot's place on the floor: forward, left, up. It looks at the robot, which is never lost."""
TURNED_M = 0.1
"""A camera so far from all places where it was put was moved by its person, who does not want to follow then."""
SENT = 40


@dataclass
class _Follower:
    """A viewer that follows, and where its camera was put of late."""

    client: Any
    sent: deque[NDArray[np.float64]] = field(default_factory=lambda: deque(maxlen=SENT))


class Cameras:
    """Buttons for every viewer's own camera."""

    def __init__(self, server: viser.ViserServer) -> None:
        self._followers: dict[int, _Follower] = {}
        self._heading = 0.0
        self.buttons = {name: server.gui.add_button(name, hint=HINTS[name]) for name in PLACES}
        for name, button in self.buttons.items():
            button.on_click(partial(self._clicked, name))
        server.on_client_connect(self._watch)
        server.on_client_disconnect(self._forget)

    def _clicked(self, place: str, event: Any) -> None:
        self.go(event.client, place)

    def _forget(self, client: viser.ClientHandle) -> None:
        self.leave(client.client_id)

    def go(self, client: Any, place: str) -> None:
        """Put a viewer's camera at one of `PLACES`."""
        if client is None:
            return
        self.leave(client.client_id)
        if place == "follow":
            self._followers[client.client_id] = _Follower(client)
        self._put(client, place)

    def leave(self, viewer: int | None) -> None:
        """Follow no more."""
        if viewer is not None:
            self._followers.pop(viewer, None)

    def turn(self, heading: float) -> None:
        """The robot's heading now, rad: cameras that follow go around it."""
        if abs(heading - self._heading) < 1e-3:
            return
        self._heading = heading
        for follower in list(self._followers.values()):
            self._put(follower.client, "follow")

    def _put(self, client: Any, place: str) -> None:
        """Where `place` is now."""
        position = rotate_heading(np.array(self._heading), np.array(PLACES[place]))
        follower = self._followers.get(client.client_id)
        if follower is not None:
            follower.sent.append(position)
        with client.atomic():
            client.camera.up_direction = (0.0, 0.0, 1.0)
            client.camera.position = position  # this moves the point that it looks at, too
            client.camera.look_at = (0.0, 0.0, LOOK_AT[2])

    def _watch(self, client: viser.ClientHandle) -> None:
        @client.camera.on_update
        async def _(camera: Any) -> None:
            follower = self._followers.get(client.client_id)
            if follower is not None and moved(np.asarray(camera.position), follower.sent):
                self.leave(client.client_id)


def moved(position: NDArray[np.float64], sent: deque[NDArray[np.float64]]) -> bool:
    """Whether a camera is at none of the places where it was put, or between two of them."""
    return bool(sent) and min(float(np.linalg.norm(position - one)) for one in list(sent)) > TURNED_M


HINTS = {
    "front": "look at the robot's front",
    "side": "look at its right side",
    "back": "look at its back",
    "top": "look from above",
    "follow": "stay behind the robot when it turns, until you move the camera",
}
