"""A video of a simulated run, rendered after it: inside a tick there is no time for pictures."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from wildrobot.simulation.picture import picture_model
from wildrobot.simulation.simulation import Simulation
from wildrobot.simulation.video import VideoWriter


class Reel:
    """Remembers the simulated robot's poses during the run and renders them after it, outside the ticks."""

    FPS = 25
    """About so many frames per second: every so many ticks one."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        hz = simulation.spec.control_hz
        self.every = self.ticks_per_frame(hz)
        self.fps = Fraction(hz).limit_denominator(1000) / self.every
        self._shots: list[tuple[NDArray[np.float64], str]] = []

    def capture(self, tick: int, caption: str) -> None:
        """Take the pose of this tick, if a video frame is due."""
        if tick % self.every == 0:
            self.take(caption)

    @classmethod
    def ticks_per_frame(cls, control_hz: float) -> int:
        """Every how many ticks there is a frame."""
        return max(round(control_hz / cls.FPS), 1)

    def take(self, caption: str) -> None:
        """Remember the present pose as one frame of the video, with its caption."""
        self._shots.append((self._simulation.qpos[0].copy(), caption))

    @property
    def frames(self) -> int:
        """How many frames the video will have."""
        return len(self._shots)

    def write(
        self, path: Path, width: int = 640, height: int = 480, each: Callable[[], None] = lambda: None
    ) -> None:
        """Write the video, `width` x `height` pixels; `each` is called after every frame.

        Raises:
            UserError: rendering does not work here, or the folder cannot be written to.
        """
        model = picture_model(self._simulation.spec)
        data = mujoco.MjData(model)
        with VideoWriter(path, model, fps=self.fps, width=width, height=height) as writer:
            for pose, caption in self._shots:
                data.qpos[:] = pose
                mujoco.mj_forward(model, data)
                writer.add(data, caption)
                each()
