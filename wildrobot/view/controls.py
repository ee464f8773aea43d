"""Buttons and sliders. Everybody sees them; one viewer at a time drives; everybody may stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import viser

from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.commands.gamepad.command import DEAD_ZONE
from wildrobot.view.driving import Driving, Word
from wildrobot.view.readout.wheel import WheelButton
from wildrobot.view.scene import CAMERA, LOOK_AT
from wildrobot.view.theme import style_sheet

TOLD_S = 8.0
"""How long a viewer is told that another one drives."""
FORWARD_SHARE = 0.5
"""Speed of the forward button while the slider is at zero, as a share of the robot's fastest."""
TURN_SHARE = 0.75
LAYOUT = """
[data-dock-region=left]{padding-top:var(--estop)}
[data-dock-region-handle],[data-dock-region] [data-dock-griphandle]{display:none!important}
[data-testid=floating-panel-handle]{pointer-events:none}
[data-testid=floating-panel-handle] button{display:none}
[data-dock-region=left] label,.mantine-Slider-markLabel{color:var(--dim)!important}
button.mantine-Button-root:disabled{background:var(--track)!important;color:var(--dim)!important;opacity:1!important}
[data-dock-region] .mantine-ScrollArea-content{padding-bottom:0!important}
.mantine-Notifications-root{top:calc(var(--estop) + 8px)!important}
.mantine-Notifications-notification{--notifications-state-transform:none!important}
@media(max-width:1000px){[data-dock-region=right] [role=tab]{padding-inline:7px}}
@media(max-width:576px){
#root{margin-top:var(--estop);height:calc(100% - var(--estop))!important}
.mantine-Notifications-root{top:8px!important;overflow:hidden;max-height:calc(var(--picture) - var(--estop) - 16px)}
[data-dock-root]{height:calc(var(--picture) - var(--estop))!important}
div:has([data-dock-root])+.mantine-Paper-root{width:100%!important;max-height:none!important;
height:calc(100dvh - var(--picture))}
div:has([data-dock-root])+.mantine-Paper-root div[style*="width: 20em"]{width:100%!important}
div:has([data-dock-root])+.mantine-Paper-root div[style*="height: 3.5em"]{pointer-events:none;height:42px!important}
div:has([data-dock-root])+.mantine-Paper-root div[style*="height: 3.5em"] button{display:none}
}
"""
"""The column cannot be folded away or replaced by viser's settings: who drives needs its buttons. On a telephone
E-STOP, the picture and the column lie below each other. A notification does not slide in over *Stop*."""
SWITCH = "position:fixed;top:calc(var(--estop) + 8px);height:26px!important;z-index:10;padding:0 6px"
DRIVE, STAND, STILL, STOP = "drive", "stand", "still", "stop"
WORKS = {
    "limp": {STAND}, "standing_up": {STOP}, "standing": {DRIVE, STILL, STOP}, "walking": {DRIVE, STILL, STOP},
    "soft_stop": set(), "estop": set(),
}  # fmt: skip
"""What a robot obeys in each state, besides E-STOP."""
PLAIN = "background:var(--track)!important;color:var(--ink)!important"


class Controls:
    """The column below E-STOP: the state, sliders and buttons, then health and events."""

    def __init__(
        self, server: viser.ViserServer, spec: RobotSpec, driving: Driving, restart: Callable[[], None] | None
    ) -> None:
        self._driving, self._ranges, self._resets = driving, spec.command, 0
        self._told_s: dict[int, float] = {}
        self._server = server
        self._works: set[str] = set()
        gui = server.gui
        self.theme = gui.add_button("theme", icon=viser.Icon.CONTRAST, hint="dark or light")
        self.home = gui.add_button("home", icon=viser.Icon.FOCUS_2, hint="the camera back to the robot")
        self.headline = gui.add_html("")
        (slow, fast), (right, left) = self._ranges.linear_velocity_x, self._ranges.yaw_rate
        self.forward = gui.add_slider("forward", slow, fast, 0.01, 0.0, hint="m/s")
        self.turn = gui.add_slider(
            "turn left", right, left, 0.01, 0.0, hint="rad/s; below zero: to the right"
        )
        self.hold_left = gui.add_button("left", icon=viser.Icon.ARROW_BACK_UP, hint="turn while held down")
        self.hold_forward = gui.add_button("walk", icon=viser.Icon.ARROW_UP, hint="walk while held down")
        self.hold_right = gui.add_button(
            "right", icon=viser.Icon.ARROW_FORWARD_UP, hint="turn while held down"
        )
        self.stand = gui.add_button("Stand up", color="green", icon=viser.Icon.ARROW_BAR_UP)
        self.still = gui.add_button("Stand still", icon=viser.Icon.PLAYER_PAUSE)
        self.stop = gui.add_button("Stop: crouch, let go", color="orange", icon=viser.Icon.PLAYER_STOP)
        self.wheel = WheelButton(server, driving, self.stop.order + 0.5)
        self.restart = None
        if restart is not None:
            self.restart = gui.add_button("Restart the simulation", icon=viser.Icon.REFRESH)
            self.restart.on_click(lambda _: restart())
        self._banner, self._warned = gui.add_html(""), ""
        self.status = gui.add_html("")  # below what is clicked: it grows and shrinks
        self._style = gui.add_html(self._css())
        self._connect(gui)
        self._enable()

    def _css(self) -> str:
        """Buttons that belong together side by side."""
        rows: Sequence[tuple[Any, ...]] = (
            (self.hold_left, self.hold_forward, self.hold_right),
            (self.stand, self.still),
        )
        rules = [
            style_sheet(),
            LAYOUT,
            f"{_selector(self.theme)}{{{SWITCH};left:206px;width:81px;{PLAIN}}}",
            f"{_selector(self.home)}{{{SWITCH};left:128px;width:72px;{PLAIN}}}",
            f"div:has(> {_selector(self.theme)}),div:has(> {_selector(self.home)}){{height:0;padding:0}}",
            f"@media(max-width:576px){{{_selector(self.theme)},{_selector(self.home)}"
            "{top:calc(var(--estop) + 4px);left:auto;right:68px;width:54px;padding:0;font-size:11px}"
            f"{_selector(self.home)}{{top:calc(var(--estop) + 33px)}}"
            f":is({_selector(self.theme)},{_selector(self.home)}) [data-position=left]{{display:none}}}}",
        ]
        if self.restart is not None:
            rules.append(f"{_selector(self.restart)}{{{PLAIN}}}")
        for row in rows:
            for i, button in enumerate(row):
                # Each button stands in a box of its own, as wide as the panel.
                margin = f"0 {10 if i == len(row) - 1 else 0}px 0 {10 if i == 0 else 6}px"
                rules.append(
                    f"div:has(> {_selector(button)}){{display:inline-block;margin:{margin}!important;"
                    f"width:calc((100% - {20 + 6 * (len(row) - 1)}px)/{len(row)})}}"
                    f"{_selector(button)}{{padding:0 4px;touch-action:none}}"
                )
        # The page's own script hears these buttons, W, A, S, D and the arrows, a touch stick and a gamepad.
        buttons = (*self._holds().items(), ("still", self.still), ("stand", self.stand), ("stop", self.stop))
        keys = "".join(f" data-{name}='{button._impl.uuid}'" for name, button in buttons)
        keys += f" data-turn-share={TURN_SHARE} data-dead-zone={DEAD_ZONE}"
        return f"<style>{''.join(rules)}</style><i hidden id=drive-keys{keys}></i>"

    def _holds(self) -> dict[str, viser.GuiButtonHandle]:
        """The buttons that count while they are held."""
        return {"forward": self.hold_forward, "left": self.hold_left, "right": self.hold_right}

    def _connect(self, gui: viser.GuiApi) -> None:
        driving = self._driving

        # Asynchronous callbacks run where the message arrives, without the way through a pool of threads.
        @self.stop.on_click
        async def _(event: Any) -> None:
            driving.stop()
            self.follow()

        @self.stand.on_click
        async def _(event: Any) -> None:
            self._judge(event, self._may(STAND) and driving.stand(event.client_id))

        @self.still.on_click
        async def _(event: Any) -> None:
            driving.stand_still()
            self.follow()

        for slider in (self.forward, self.turn):

            @slider.on_update
            async def _(event: Any) -> None:
                if event.client_id is not None:  # None: set by `follow`
                    self._judge(
                        event,
                        self._may(DRIVE)
                        and driving.set_velocity(event.client_id, self.forward.value, self.turn.value),
                    )

        @self._server.on_client_connect
        async def _(client: viser.ClientHandle) -> None:
            client.gui.add_html(f"<i hidden id=viewer data-number={client.client_id}></i>")

        @self.home.on_click
        def _(event: Any) -> None:
            if event.client is not None:
                camera = event.client.camera
                with event.client.atomic():
                    # The position moves the point that it looks at, too.
                    camera.up_direction, camera.position, camera.look_at = (0.0, 0.0, 1.0), CAMERA, LOOK_AT

    def drive(self, viewer: int, word: Word, forward: str | None, left: float) -> bool:
        """A browser says what is held: `forward` is a share of the fastest speed, -1 to 1, "walk" for the button, None
        when everything was let go; `left` one of the fastest turn. False: it must be let go and pressed again."""
        if forward is None:
            self._driving.let_go(viewer, word)
            return True
        follows = self._driving.follows(viewer, word)
        if not follows:
            return follows is None
        obeyed = self._may(DRIVE) and self._driving.hold_velocity(viewer, *self._velocity(forward, left))
        if not obeyed:
            self._driving.let_go(viewer, word)
            self._tell(viewer, self._server.get_clients().get(viewer))
        return obeyed

    def _velocity(self, forward: str, left: float) -> tuple[float, float]:
        """m/s and rad/s. The slider's speed stays while only a turn is held, and is that of the button."""
        (slow, fast), (right, most) = self._ranges.linear_velocity_x, self._ranges.yaw_rate
        turn = left * most if left > 0.0 else -left * right
        set_speed = self._driving.set_point[0]
        if forward == "walk":
            return set_speed or FORWARD_SHARE * fast, turn
        share = float(forward)
        return (share * fast if share > 0.0 else -share * slow) or set_speed, turn

    def _may(self, what: str) -> bool:
        return what in self._works and not self._warned

    def allow(self, state: str, silent: bool) -> None:
        """Offer what works: `state` as the robot said it last, "" if it never did; `silent`: it says nothing more. Then
        nobody drives, but may stop it: perhaps it still hears. Sliders return to zero."""
        works = {STILL, STOP} if (silent and state != "estop") or not state else WORKS.get(state, {STOP})
        if works != self._works:
            self._works = works
            self._enable()
        if not self._may(DRIVE) and self._driving.set_point != (0.0, 0.0):
            self._driving.stand_still()
            self.follow()

    def warn(self, text: str) -> None:
        """Show a red banner, of HTML, and let nobody drive; with an empty text, end that. Stops go on working.
        `head.html` shows it: what is in viser's column ends at its edge."""
        if text == self._warned:
            return
        self._warned = text
        self._banner.content = f"<div id=warning hidden>{text}</div>" if text else ""
        self._enable()

    def _enable(self) -> None:
        """Gray out what would do nothing."""
        for control in (self.forward, self.turn, *self._holds().values()):
            control.disabled = not self._may(DRIVE)
        self.stand.disabled = not self._may(STAND)
        self.still.disabled = STILL not in self._works
        self.stop.disabled = STOP not in self._works and not self._warned  # it is for others, too, then

    def _judge(self, event: Any, obeyed: bool) -> None:
        """Tell a viewer that another one drives."""
        if not obeyed:
            self.follow()
            self._tell(event.client_id, event.client)

    def _tell(self, viewer: int, client: viser.ClientHandle | None) -> None:
        now, driver = time.monotonic(), self._driving.driver
        if now - self._told_s.get(viewer, -math.inf) < TOLD_S or client is None or driver in (None, viewer):
            return
        self._told_s[viewer] = now
        client.add_notification(
            f"viewer {driver + 1} drives",
            "You can watch, stop, E-STOP, and ask to drive. Control is free when that page stands still or closes.",
            auto_close_seconds=TOLD_S,
            color="yellow",
        )

    def follow_resets(self) -> None:
        """Sliders to zero when the driving was set to zero. Not at other times: a slider may be under somebody's hand,
        its last position still on the way."""
        if self._driving.resets != self._resets:
            self.follow()

    def follow(self) -> None:
        """Sliders where the driving is: at zero after a stop, or when somebody who may not has moved them."""
        self._resets = self._driving.resets
        sliders: tuple[Any, ...] = (self.forward, self.turn)
        for slider, value in zip(sliders, self._driving.set_point, strict=True):
            if abs(slider.value - value) > 1e-9:
                slider.value = value


def _selector(button: Any) -> str:
    """CSS selector of a button."""
    return f"button[id='{button._impl.uuid}']"
