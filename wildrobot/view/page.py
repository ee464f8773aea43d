"""The page put together: scene, status, controls and plots, refreshed from the feed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from wildrobot.runtime.commands.sender import CommandSender
from wildrobot.view.browsers import Browsers
from wildrobot.view.camera import Cameras
from wildrobot.view.controls import Controls
from wildrobot.view.driving import SEND_HZ, Driving
from wildrobot.view.feed import Feed
from wildrobot.view.looks import Looks
from wildrobot.view.plots import Plots
from wildrobot.view.readout.servo_panel import ServoPanel
from wildrobot.view.readout.status import headline, rivals_warning, status
from wildrobot.view.readout.wheel import who
from wildrobot.view.recall.picture_buttons import PictureButtons
from wildrobot.view.scene import RobotScene
from wildrobot.view.server import GuardedServer

SCENE_HZ, STATUS_HZ = 50.0, 5.0


class Page:
    """Serves until `close`. `run` refreshes it; it needs a thread, which may be the caller's."""

    def __init__(
        self,
        feed: Feed,
        sender: CommandSender,
        host: str,
        port: int,
        plot_hz: float,
        driver_timeout_s: float,
        theme: str,
        restart: Callable[[], None] | None = None,
    ) -> None:
        self._feed, self._plot_hz = feed, plot_hz
        self.server = server = GuardedServer(host, port, "WildRobot")
        self.driving = Driving(
            feed.spec,
            sender,
            lambda viewer: self.browsers.alive(viewer),
            robot_name=feed.robot_name,
            plain=lambda: not feed.rivals,
        )
        server.on_estop = self.driving.estop
        self.browsers = Browsers(server, self.driving.leave, driver_timeout_s)
        self._scene = RobotScene(server, feed.spec)
        self._controls = Controls(server, feed.spec, self.driving, restart)
        server.on_drive = self._controls.drive
        self._cameras = Cameras(server)
        self._controls.home.on_click(lambda event: self._cameras.leave(event.client_id))
        self._buttons = PictureButtons(
            server.gui, feed, list(self._cameras.buttons.values()), self._robot_name
        )
        self._plots = Plots(server, feed, self._buttons.pause)
        with self._plots.panel.add_tab("Servos"):
            self._servos = ServoPanel(server.gui, feed, self._plots)
        server.on_picked = self._servos.pick
        self._looks = Looks(server, theme, self._controls.theme, self._plots.panel)
        self._ended = threading.Event()
        self._pulse = threading.Thread(target=self._send, name="pulse", daemon=True)
        self._pulse.start()

    def run(self) -> None:
        """Refresh the page until `close`."""
        due = {"scene": 0.0, "plots": 0.0, "status": 0.0}
        period = {"scene": 1.0 / SCENE_HZ, "plots": 1.0 / self._plot_hz, "status": 1.0 / STATUS_HZ}
        draw = {"scene": self._draw_scene, "plots": self._draw_plots, "status": self._draw_status}
        while not self._ended.is_set():
            now = time.monotonic()
            for name in draw:
                if now >= due[name]:
                    due[name] = max(due[name] + period[name], now)
                    if len(self.browsers):
                        draw[name]()
            self._ended.wait(max(0.0, min(due.values()) - time.monotonic()))

    def close(self) -> None:
        """Stop sending and serving."""
        self._ended.set()
        self._pulse.join()
        self.server.stop()

    def _send(self) -> None:
        while not self._ended.wait(1.0 / SEND_HZ):
            self.driving.pulse()

    def _robot_name(self) -> str:
        robot = self._feed.robot
        return "" if robot is None else robot.robot_name

    _drawn: object = -1

    def _draw_scene(self) -> None:
        feed, pause = self._feed, self._buttons.pause
        if pause.history is not None and self.driving.driver is None:  # who drives sees the robot as it is
            drawn = (id(pause.history), pause.before)
            moment = pause.moment()
            if moment is not None and drawn != self._drawn:
                self._drawn = drawn
                self._scene.show(*moment)
            return
        with feed.lock:
            if feed.frames == self._drawn or feed.pose is None:
                return
            self._drawn, pose = feed.frames, feed.pose
            state, command = feed.latest["robot_state"], feed.latest.get("robot_command")
        asked = (0.0, 0.0) if command is None else command.user_command
        self._cameras.turn(pose.heading)
        self._scene.show(pose, state.joint_position, state.foot_contact, asked)

    def _draw_plots(self) -> None:
        self._plots.draw()
        self._servos.draw()

    def _draw_status(self) -> None:
        said, viewers = who(self.driving.driver, self.driving.asker), len(self.browsers)
        with self._feed.lock:
            head, text = headline(self._feed), status(self._feed, f"{said} · {viewers} open")
            warning = rivals_warning(self._feed)
        self._controls.warn(warning)
        self._controls.headline.content, self._controls.status.content = head, text
        self._controls.follow_resets()
        self._controls.wheel.show()
        self._plots.draw_slow()
        self._servos.draw_slow()
        self._buttons.show()
        with self._feed.lock:
            state, silent = self._feed.latest.get("robot_state"), self._feed.silent
        self._controls.allow("" if state is None else state.state, silent)
