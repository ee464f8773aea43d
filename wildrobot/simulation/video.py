"""Offscreen video of a MuJoCo scene: EGL or OSMesa for the picture, PyAV for H.264.

Needs the extra `sim` and a system library for rendering; `video_available()` says whether both are there, and
if not, which line installs what is missing. Nothing here is imported by the runtime unless a video was asked
for.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.core.files import atomic_write

INSTALL_HINT = "apt-get install -y libegl1 libgl1-mesa-dri   (or: apt-get install -y libosmesa6)"
_BACKENDS = ("egl", "osmesa")
_PROBE = """
import numpy, mujoco
from mujoco.{backend} import GLContext
context = GLContext(16, 16)
context.make_current()
model = mujoco.MjModel.from_xml_string("<mujoco/>")
mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
"""


@functools.lru_cache(maxsize=1)
def rendering_backend() -> str | None:
    """Name of the GL backend that works here, "egl" or "osmesa", or None.

    Each is tried in a process of its own: PyOpenGL binds to one platform when it is first imported, and a
    failed attempt would spoil the next. `MUJOCO_GL` narrows the choice to the one it names.
    """
    wanted = os.environ.get("MUJOCO_GL", "").strip().lower()
    for backend in (wanted,) if wanted in _BACKENDS else _BACKENDS:
        environment = {**os.environ, "MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend}
        command = [sys.executable, "-c", _PROBE.format(backend=backend)]
        with contextlib.suppress(subprocess.TimeoutExpired):
            if subprocess.run(command, env=environment, capture_output=True, timeout=60).returncode == 0:
                return backend
    return None


def video_available() -> tuple[bool, str]:
    """Whether a video can be rendered and encoded here; the reason and the remedy if not."""
    for package in ("mujoco", "av"):
        if importlib.util.find_spec(package) is None:
            return False, f"the Python package '{package}' is not installed: pip install 'wildrobot[sim]'"
    if rendering_backend() is None:
        return False, f"neither EGL nor OSMesa works on this machine: {INSTALL_HINT}"
    return True, ""


class SceneRenderer:
    """Pictures of one model from a camera that follows a body, without a screen."""

    def __init__(
        self, model: Any, width: int, height: int, follow: str | None = None, shadows: bool = True
    ) -> None:
        """
        Args:
            model: `mujoco.MjModel`; of a robot, `picture_model`.
            width, height: picture size in pixels.
            follow: body that the camera keeps in view. Default: the first one, a robot's pelvis.
            shadows: cast shadows; they show whether a foot is off the floor and cost about half of the time.

        Raises:
            UserError: no rendering library works here.
        """
        available, reason = video_available()
        if not available:
            raise UserError(f"cannot render: {reason}")
        backend = rendering_backend()
        os.environ["PYOPENGL_PLATFORM"] = str(backend)
        import mujoco

        self._mujoco: Any = mujoco
        self._model = model
        self._gl = importlib.import_module(f"mujoco.{backend}").GLContext(width, height)
        self._gl.make_current()
        # The offscreen buffer must hold the picture; the model is the caller's, so its size is put back.
        size = model.vis.global_.offwidth, model.vis.global_.offheight
        model.vis.global_.offwidth, model.vis.global_.offheight = max(width, size[0]), max(height, size[1])
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        model.vis.global_.offwidth, model.vis.global_.offheight = size
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._options = mujoco.MjvOption()
        self._rectangle = mujoco.MjrRect(0, 0, width, height)
        self._pixels = np.empty((height, width, 3), dtype=np.uint8)
        self._body = 1 if follow is None else model.body(follow).id
        self._ground: NDArray[np.float64] | None = None
        self.camera = mujoco.MjvCamera()
        self.camera.azimuth, self.camera.elevation, self.camera.distance = 115.0, -12.0, 1.4

    def render(self, data: Any, caption: str = "") -> NDArray[np.uint8]:
        """Picture of the present state.

        Args:
            data: `mujoco.MjData` whose positions are up to date.
            caption: text for the upper left corner; a player's controls hide the lower edge.

        Returns:
            (height, width, 3) RGB; the array is reused by the next call.
        """
        mujoco = self._mujoco
        ground = np.array(data.xpos[self._body][:2])
        # A camera that copies every sway hides it; this one glides along behind.
        if self._ground is None or np.linalg.norm(ground - self._ground) > 1.0:
            self._ground = ground
        self._ground = self._ground + 0.15 * (ground - self._ground)
        self.camera.lookat[:] = (*self._ground, 0.34)
        self._gl.make_current()
        category = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, data, self._options, None, self.camera, category, self._scene)
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        if caption:
            font, corner = mujoco.mjtFont.mjFONT_NORMAL, mujoco.mjtGridPos.mjGRID_TOPLEFT
            mujoco.mjr_overlay(font, corner, self._rectangle, caption, "", self._context)
        mujoco.mjr_readPixels(self._pixels, None, self._rectangle, self._context)
        self._pixels[:] = self._pixels[::-1].copy()  # OpenGL counts rows from the bottom
        return self._pixels

    def close(self) -> None:
        self._context.free()
        self._gl.free()


class VideoWriter:
    """An H.264 file that appears when it is complete. Use as a context manager, or call `close()`."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        model: Any,
        fps: int | Fraction = 25,
        width: int = 640,
        height: int = 480,
        follow: str | None = None,
    ) -> None:
        """
        Args:
            path: file to write, .mp4.
            model: `mujoco.MjModel` of the scene; of a robot, `picture_model`.
            fps: frames per second of the file; `due()` tells which instants these are.
            width, height: pixels, even numbers.
            follow: body that the camera keeps in view. Default: the first one.

        Raises:
            UserError: rendering does not work here, or the folder cannot be written to.
        """
        self.path = Path(path)
        self.fps = fps
        self._start_s: float | None = None
        self._frames = 0
        self._closed = False
        self._stack = contextlib.ExitStack()
        try:
            self._renderer = SceneRenderer(model, width, height, follow)
            self._stack.callback(self._renderer.close)
            temporary = self._stack.enter_context(atomic_write(self.path))
            import av

            self._av: Any = av
            self._container = self._stack.enter_context(av.open(str(temporary), "w", format="mp4"))
            self._stream: Any = self._container.add_stream("libx264", rate=fps)
            self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
            self._stream.options = {"crf": "23", "preset": "veryfast"}
        except BaseException:
            self._stack.__exit__(*sys.exc_info())
            raise

    def due(self, time_s: float) -> bool:
        """Whether the next frame's time has come, counted from the first call."""
        if self._start_s is None:
            self._start_s = time_s
        return time_s - self._start_s >= self._frames / self.fps - 1e-6

    def add(self, data: Any, caption: str = "") -> None:
        """Append one frame showing `data` (`mujoco.MjData`)."""
        picture = self._av.VideoFrame.from_ndarray(self._renderer.render(data, caption), format="rgb24")
        for packet in self._stream.encode(picture):
            self._container.mux(packet)
        self._frames += 1

    def close(self) -> None:
        """Finish the file. An empty video leaves no file and raises no error."""
        self.__exit__(None, None, None)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, contextlib.ExitStack()
        if self._closed:
            return
        self._closed = True
        if self._frames and kind is None:
            try:
                for packet in self._stream.encode():
                    self._container.mux(packet)
            except BaseException:
                stack.__exit__(*sys.exc_info())
                raise
        elif kind is None:
            with contextlib.suppress(_NoFrames):
                stack.__exit__(_NoFrames, _NoFrames(), None)
            return
        stack.__exit__(kind, error, trace)


class _NoFrames(Exception):
    """Ends the writer without leaving a file."""
