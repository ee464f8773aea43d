"""The button with which a viewer asks to drive, and with which the driver hands over."""

from __future__ import annotations

from typing import Any

import viser

from wildrobot.view.driving import Driving


class WheelButton:
    """Every viewer's own, below *Stop*; seen only while it has something to say, so that nothing else moves for it."""

    def __init__(self, server: viser.ViserServer, driving: Driving, order: float) -> None:
        """`order`: its place among the controls."""
        self._driving = driving
        self._buttons: dict[int, viser.GuiButtonHandle] = {}

        @server.on_client_connect
        async def _(client: viser.ClientHandle) -> None:
            button = client.gui.add_button("Ask to drive", visible=False, order=order)
            button.on_click(self._press)
            self._buttons[client.client_id] = button

        @server.on_client_disconnect
        async def _(client: viser.ClientHandle) -> None:
            self._buttons.pop(client.client_id, None)

    def show(self) -> None:
        """What each viewer can do about who drives."""
        driver, asker = self._driving.driver, self._driving.asker
        for viewer, button in list(self._buttons.items()):
            label, usable = offer(viewer, driver, asker)
            if label and button.label != label:
                button.label = label
            if button.disabled == usable:
                button.disabled = not usable
            if button.visible != bool(label):
                button.visible = bool(label)

    async def _press(self, event: Any) -> None:
        if self._driving.driver == event.client_id:
            self._driving.hand_over(event.client_id)
        else:
            self._driving.ask(event.client_id)
        self.show()


def offer(viewer: int, driver: int | None, asker: int | None) -> tuple[str, bool]:
    """A viewer's label of the button, "" for none, and whether it can be pressed."""
    if driver is None or (viewer == driver and asker is None):
        return "", False
    if viewer == driver:
        return f"Hand over to {named(asker)}", True
    if asker is None:
        return f"Ask {named(driver)} to drive", True
    return (f"You have asked {named(driver)}" if asker == viewer else f"{named(asker)} has asked"), False


def named(viewer: int | None) -> str:
    """A viewer as people call them; the first is 1."""
    return "nobody" if viewer is None else f"viewer {viewer + 1}"


def who(driver: int | None, asker: int | None) -> str:
    """Who drives and who would like to."""
    return f"{named(driver)} drives" + ("" if asker is None else f", {named(asker)} asks")
