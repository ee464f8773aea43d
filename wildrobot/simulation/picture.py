"""The robot as pictures show it: what its MJCF leaves open is joined, and every colour has a meaning.

The MJCF has the shapes that collide and no others, so its links do not meet. Servos and struts are added to a model of
their own, which only renderers load: the simulated one, and the hash of the description, know nothing of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description.mujoco_model import compile_edited, edit_mjcf
from wildrobot.robot_description.spec import RobotSpec

Array = NDArray[np.float64]

LEFT, RIGHT = (0.53, 0.37, 0.74, 1.0), (0.90, 0.76, 0.24, 1.0)
"""Purple and yellow: apart for colour-blind eyes as well, and neither is a colour of warnings, plots or arrows."""
CENTER, SERVO = (0.84, 0.85, 0.88, 1.0), (0.17, 0.18, 0.21, 1.0)
SERVO_RADIUS_M, SERVO_HALF_LENGTH_M = 0.022, 0.029
"""A drum about the joint's axis, a little larger than a servo of 28.5 x 46.5 x 34 mm, to be seen between the links."""
STRUT_RADIUS_M = 0.011
OVERLAP_M = 0.008
"""So deep a strut enters what it joins."""
GROUP = 2


@dataclass(frozen=True)
class Part:
    """What a strut may begin at: a box in its body's frame, m."""

    center: Array
    half: Array

    def gap(self, other: Part) -> tuple[float, Array, Array]:
        """Distance to `other`, and the two points that are nearest to each other."""
        low = np.maximum(self.center - self.half, other.center - other.half)
        high = np.minimum(self.center + self.half, other.center + other.half)
        middle, apart = (low + high) / 2.0, low > high
        mine = np.where(apart, np.where(other.center > self.center, high, low), middle)
        its = np.where(apart, np.where(other.center > self.center, low, high), middle)
        return float(np.linalg.norm(its - mine)), mine, its


def picture_model(spec: RobotSpec) -> mujoco.MjModel:
    """`compile_model`'s robot, dressed: for renderers alone.

    Positions, velocities and sensors are laid out alike, so a simulated state can be copied into its data. Every joint
    has a servo, a drum about its axis; struts join what a body carries: its joint, its children's joints, its shapes.
    The left leg is purple, the right one yellow, what is between them light grey, servos dark. Soles keep their colour.

    Raises:
        UserError: as `compile_model`.
    """
    mjs = edit_mjcf(spec)
    shapes = compile_edited(spec, mjs)
    seen = {  # before anything is added: that takes the numbers away
        body.name: [(geom, geom.id) for geom in mjs.body(body.name).geoms if _is_part(geom)]
        for body in spec.tree.bodies
    }
    roles = dict(zip(spec.joint_names, spec.roles, strict=True))
    anchors = {body.name: body.joint for body in spec.tree.bodies if body.joint is not None}
    for i, body in enumerate(spec.tree.bodies):
        own = anchors.get(body.name)
        color = CENTER if own is None else (LEFT, RIGHT, CENTER)[_side(roles[own.name].side)]
        target, parts = mjs.body(body.name), []
        if own is not None:
            parts.append(_drum(own.anchor, own.axis))
        for child in spec.tree.bodies:
            joint = anchors.get(child.name)
            if child.parent == i and joint is not None:
                center = child.pos + _matrix(child.quat) @ joint.anchor
                axis = _matrix(child.quat) @ joint.axis
                parts.append(_drum(center, axis))
                _add_servo(target, center, axis)
        for geom, number in seen[body.name]:
            parts.append(_box(shapes, number))
            geom.rgba, geom.material = color, ""
        for start, end in _struts(parts):
            target.add_geom(
                type=mujoco.mjtGeom.mjGEOM_CAPSULE,
                fromto=[*start, *end],
                size=[STRUT_RADIUS_M, 0.0, 0.0],
                rgba=color,
                **_SEEN_ONLY,
            )
    return compile_edited(spec, mjs)


_SEEN_ONLY = {"contype": 0, "conaffinity": 0, "density": 0.0, "mass": 0.0, "group": GROUP}


def _is_part(geom: mujoco.MjsGeom) -> bool:
    """Seen, and no corner of a sole."""
    return bool(geom.priority == 0 and geom.rgba[3] > 0.0)


def _side(side: int | None) -> int:
    return 2 if side is None else side


def _add_servo(body: mujoco.MjsBody, center: Array, axis: Array) -> None:
    ends = [*(center - SERVO_HALF_LENGTH_M * axis), *(center + SERVO_HALF_LENGTH_M * axis)]
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        fromto=ends,
        size=[SERVO_RADIUS_M, 0.0, 0.0],
        rgba=SERVO,
        **_SEEN_ONLY,
    )


def _drum(center: Array, axis: Array) -> Part:
    """The box inside a servo's drum that anything joined to it has to reach."""
    along = np.abs(axis)
    return Part(center, along * SERVO_HALF_LENGTH_M + (1.0 - along) * SERVO_RADIUS_M * np.sqrt(0.5))


def _box(model: mujoco.MjModel, geom: int) -> Part:
    """A shape's bounding box, along its body's axes."""
    turn = _matrix(model.geom_quat[geom])
    center, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
    return Part(model.geom_pos[geom] + turn @ center, np.abs(turn) @ half)


def _struts(parts: list[Part]) -> list[tuple[Array, Array]]:
    """The shortest that join all parts (Prim's minimum spanning tree), without those between parts that meet."""
    struts = []
    joined, left = parts[:1], parts[1:]
    while left:
        best = min(((a.gap(b), a, b) for a in joined for b in left), key=lambda candidate: candidate[0][0])
        (distance, start, end), first, second = best
        joined.append(second)
        left = [part for part in left if part is not second]
        if distance > 0.0:
            struts.append((_inside(start, first), _inside(end, second)))
    return struts


def _inside(point: Array, part: Part) -> Array:
    """`point` of a part's surface, moved towards its middle."""
    way = part.center - point
    distance = float(np.linalg.norm(way))
    moved: Array = point + way * min(1.0, OVERLAP_M / max(distance, 1e-9))
    return moved


def _matrix(quaternion: Array) -> Array:
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, np.asarray(quaternion, dtype=np.float64))
    return matrix.reshape(3, 3)
