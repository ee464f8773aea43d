"""The robot in three dimensions: its own MJCF, the floor, contacts, and the velocities asked for and estimated."""

from __future__ import annotations

import math
import time
from typing import Any

import mujoco
import numpy as np
import viser
from mjviser.conversions import group_geoms_by_visual_compat, merge_geoms
from numpy.typing import NDArray

from wildrobot.core.rotations import quat_from_yaw, rotate_heading
from wildrobot.robot_description import RobotSpec
from wildrobot.simulation.picture import picture_model
from wildrobot.view.theme import THEMES
from wildrobot.view.track import Placement

Array = NDArray[np.float64]

CAMERA, LOOK_AT = (1.25, -1.05, 0.6), (0.08, 0.0, 0.3)
"""Where a viewer's camera begins and looks, m from the robot's place on the floor."""
FIELD_OF_VIEW_DEG = 34.0
CELL_M, SECTION_M = 0.1, 0.5
GLIDE_S = 0.2
"""Time constant with which the view follows the robot: every sway copied would be hidden."""
TOUCHING = (60, 230, 120)
COMMANDED, ESTIMATED = (tuple(bytes.fromhex(THEMES["dark"][name][1:])) for name in ("asked", "estimated"))
ARROW_M_PER_M_S = 0.5
"""So that the fastest one ends in the picture, in the narrowest window too."""
ARROW_S = 1.0
"""Time constant of the estimated arrow: it shows the way over a stride, not the sway of a step."""


class RobotScene:
    """Draws poses. The view stays where it is and the world glides past, so that every viewer's own camera follows."""

    def __init__(self, server: viser.ViserServer, spec: RobotSpec) -> None:
        self._server, self._spec = server, spec
        self._model = picture_model(spec)
        self._data = mujoco.MjData(self._model)
        scene, camera = server.scene, server.initial_camera
        camera.position, camera.look_at, camera.fov = CAMERA, LOOK_AT, np.radians(FIELD_OF_VIEW_DEG)
        self._floor = scene.add_grid(  # lines only: what is between and behind them is the theme's
            "/floor",
            infinite_grid=True,
            cell_size=CELL_M,
            section_size=SECTION_M,
            cell_color=(58, 66, 80),
            section_color=(98, 112, 134),
            fade_distance=7.0,
            shadow_opacity=0.45,
        )
        joints = [self._model.joint(name) for name in spec.joint_names]
        self._joints = np.array([joint.qposadr[0] for joint in joints])
        self._geoms = np.flatnonzero(self._model.geom_bodyid > 0)
        self._bodies = [(body, self._add_body(body)) for body in range(1, self._model.nbody)]
        self._pads = [self._add_pad(name) for name in spec.foot_names]
        self._arrows = {
            "commanded": self._add_arrow("commanded", COMMANDED, 0.0),
            "estimated": self._add_arrow("estimated", ESTIMATED, 0.03),
        }
        self._lengths: dict[str, float] = {}
        self._center, self._velocity, self._shown_s = np.zeros(2), np.zeros(2), 0.0

    def _add_body(self, body: int) -> Any:
        """A frame with the body's visible shapes. mjviser's own scene batches meshes instead, and a browser may
        draw those later than frames: then contacts and arrows would not fit the feet."""
        model, scene = self._model, self._server.scene
        name = f"/robot/{model.body(body).name}"
        frame = scene.add_frame(name, show_axes=False)
        shapes = [int(g) for g in self._geoms if model.geom_bodyid[g] == body and model.geom_rgba[g, 3] > 0.0]
        for i, group in enumerate(group_geoms_by_visual_compat(model, shapes)):
            scene.add_mesh_trimesh(f"{name}/shape{i}", merge_geoms(model, group))
        return frame

    def show(self, pose: Placement, joint_position: Any, contact: Any, command: Any) -> None:
        """One instant.

        Args:
            pose: of the pelvis.
            joint_position: (n,) rad, policy order.
            contact: 0 or 1 per foot switch.
            command: (2,) m/s and rad/s as the person asked.
        """
        position, data = pose.position, self._data
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(pose.rotation).reshape(9))
        data.qpos[:3], data.qpos[3:7] = position, quaternion
        data.qpos[self._joints] = joint_position
        mujoco.mj_kinematics(self._model, data)
        now = time.monotonic()
        elapsed, self._shown_s = now - self._shown_s, now
        if np.linalg.norm(position[:2] - self._center) > 1.0:
            self._center = position[:2].copy()  # another run
        self._center = self._center + share(elapsed, GLIDE_S) * (position[:2] - self._center)
        # Lying or carried: nothing measures the height, so the robot rests on the floor.
        offset = np.array([*-self._center, -self._lowest() if pose.airborne else 0.0])
        self._velocity += share(elapsed, ARROW_S) * (pose.velocity - self._velocity)
        with self._server.atomic():
            # The grid repeats itself: moving it within one section is moving it for ever.
            self._floor.position = np.array([*np.remainder(-self._center, SECTION_M), 0.0])
            for body, frame in self._bodies:
                frame.position, frame.wxyz = data.xpos[body] + offset, data.xquat[body]
            for pad, value in zip(self._pads, contact, strict=True):
                if pad.visible != (value > 0.5):
                    pad.visible = bool(value > 0.5)
            ground = np.array([*(position + offset)[:2], 0.01])
            self._show_arrow("commanded", ground, pose.heading, float(command[0]), 0.0)
            self._show_arrow("estimated", ground, pose.heading, *map(float, self._velocity))

    def _lowest(self) -> float:
        """Height of the robot's lowest point, m: of the corners of every part's bounding box."""
        model, data = self._model, self._data
        center, half = model.geom_aabb[self._geoms, :3], model.geom_aabb[self._geoms, 3:]
        down = data.geom_xmat[self._geoms].reshape(-1, 3, 3)[:, 2]
        middle = data.geom_xpos[self._geoms, 2] + np.sum(down * center, axis=1)
        return float(np.min(middle - np.sum(np.abs(down) * half, axis=1)))

    def _add_pad(self, name: str) -> Any:
        """A glowing pad around a foot switch's place, under the sole; seen while the switch is closed."""
        site, model = self._model.site(f"{name}_pad"), self._model
        body = model.body(int(model.site_bodyid[site.id])).name
        return self._server.scene.add_box(
            f"/robot/{body}/{name}",
            color=TOUCHING,
            dimensions=(1.94 * float(site.size[0]), 2.2 * float(site.size[1]), 0.012),
            position=site.pos + np.array([0.0, 0.0, 0.009]),
            cast_shadow=False,
            receive_shadow=False,
            visible=False,
        )

    def _add_arrow(self, name: str, color: tuple[int, ...], height: float) -> tuple[Any, Any, float]:
        scene = self._server.scene
        frame = scene.add_frame(f"/velocity/{name}", show_axes=False, visible=False)
        arrow = scene.add_arrows(
            f"/velocity/{name}/arrow",
            points=np.array([[[0.0, 0.0, height], [0.1, 0.0, height]]], dtype=np.float32),
            colors=np.array(color, dtype=np.uint8),
            shaft_radius=0.008,
            head_radius=0.022,
            head_length=0.05,
        )
        return frame, arrow, height

    def _show_arrow(self, name: str, ground: Array, heading: float, forward: float, left: float) -> None:
        """On the floor in front of the robot, as long as the velocity (m/s, heading frame) is fast."""
        frame, arrow, height = self._arrows[name]
        length = ARROW_M_PER_M_S * float(np.hypot(forward, left))
        if frame.visible != (length > 0.06):
            frame.visible = length > 0.06
        if length <= 0.06:
            return
        frame.position = ground + rotate_heading(np.array(heading), np.array([0.13, 0.0, 0.0]))
        frame.wxyz = quat_from_yaw(np.array(heading + float(np.arctan2(left, forward))))
        if abs(length - self._lengths.get(name, 0.0)) > 0.01:
            self._lengths[name] = length
            arrow.points = np.array([[[0.0, 0.0, height], [length, 0.0, height]]], dtype=np.float32)


def share(elapsed_s: float, time_s: float) -> float:
    """Of the way to its input, what a first-order low pass of time constant `time_s` goes in `elapsed_s`."""
    return 1.0 - math.exp(-elapsed_s / time_s)
