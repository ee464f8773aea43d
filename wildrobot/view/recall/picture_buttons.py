"""The column of small buttons at the right edge of the robot's picture: camera, pause, recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import viser

from wildrobot.view.feed import Feed
from wildrobot.view.recall.pause import Pause

WIDTH_PX, NARROW_PX, HEIGHT_PX, TOP_PX, GAP_PX = 84, 54, 26, 8, 3
TOLD_S = 12.0


class PictureButtons:
    """Puts the buttons of `cameras` and its own there."""

    def __init__(
        self, gui: viser.GuiApi, feed: Feed, cameras: Sequence[viser.GuiButtonHandle], name: Callable[[], str]
    ) -> None:
        """`name` of the robot that is followed, for files."""
        self._feed, self._name, self._told = feed, name, ""
        self.pause = Pause(gui, feed)
        self.record = gui.add_button(
            "Record",
            icon=viser.Icon.PLAYER_RECORD,
            hint="all that the robot says, to a file on the page's computer",
        )
        self.minute = gui.add_button(
            "Minute", icon=viser.Icon.DOWNLOAD, hint="download the last minute as a log"
        )
        self._line = gui.add_html("")
        gui.add_html(f"<style>{self._css([*cameras, self.pause.button, self.record, self.minute])}</style>")
        self.record.on_click(self._record)
        self.minute.on_click(self._download)

    def show(self) -> None:
        """What is being recorded, or where the last recording lies."""
        recording = self._feed.recording
        file = recording.recording
        self.record.label = "Record" if file is None else "End rec."
        if file is not None:
            line = f"● recording, {recording.recorded_s:.0f} s"
        else:
            line = recording.said
        if line != self._told:
            self._told = line
            self._line.content = f"<div id=recorded class=wr>{escape(line)}</div>" if line else ""

    def _record(self, event: Any) -> None:
        recording = self._feed.recording
        if recording.recording is not None:
            recording.stop()
        elif self._name():
            recording.start(self._name())
        else:
            tell(event.client, "nothing to record", "No robot has said anything yet.")
        self.show()

    def _download(self, event: Any) -> None:
        recording = self._feed.recording
        log = recording.last_minute()
        if event.client is None:
            return
        if not log:
            tell(event.client, "nothing to download", "No robot has said anything yet.")
            return
        event.client.send_file_download(recording.file_name(self._name()), log, save_immediately=True)

    def _css(self, buttons: Sequence[viser.GuiButtonHandle]) -> str:
        plain = "background:var(--track)!important;color:var(--ink)!important;opacity:.92!important"
        rules = [
            f".wr#recorded{{position:fixed;z-index:9;left:304px;right:calc(var(--plots,0px) + {WIDTH_PX + 16}px);"
            "top:8px;padding:0;overflow-wrap:anywhere}"
        ]
        for i, button in enumerate(buttons):
            top = TOP_PX + i * (HEIGHT_PX + GAP_PX)
            at = f"button[id='{button._impl.uuid}']"
            rules.append(
                f"{at}{{position:fixed;z-index:10;right:calc(var(--plots,0px) + 8px);top:{top}px;padding:0 5px;"
                f"width:{WIDTH_PX}px;height:{HEIGHT_PX}px!important;min-height:0;font-size:12px;{plain}}}"
                f"div:has(> {at}){{height:0;padding:0!important}}"
                f"@media(max-width:1000px){{{at}{{width:{NARROW_PX}px;padding:0;font-size:11px}}"
                f"{at} [data-position=left]{{display:none}}}}"
                f"@media(max-width:576px){{{at}{{top:calc(var(--estop) + {4 + i * (HEIGHT_PX + GAP_PX)}px)}}}}"
            )
        slider = f"[id='{self.pause.slider._impl.uuid}']"
        rules.append(
            f"div[style*='padding-inline']:has({slider}){{height:0;padding:0!important}}"
            f"div:has(> {slider}){{position:fixed;z-index:10;left:304px;bottom:8px;padding:4px 8px;border-radius:4px;"
            f"right:calc(var(--plots,0px) + 8px);background:var(--track)}}"
            f"@media(max-width:576px){{.wr#recorded{{left:8px;top:calc(var(--estop) + 6px)}}"
            f"div:has(> {slider}){{left:8px;bottom:auto;top:calc(var(--picture) - 36px);right:{WIDTH_PX + 16}px}}}}"
        )
        return "".join(rules)


def tell(client: Any, title: str, text: str) -> None:
    """One viewer."""
    if client is not None:
        client.add_notification(title, text, auto_close_seconds=TOLD_S, color="yellow")
