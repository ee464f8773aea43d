"""The part of an MJCF that kinematics needs, read as XML: the robot's computer has no mujoco."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_to_matrix

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Joint:
    """A hinge: `axis` (3,) unit vector and `anchor` (3,) m in its body's frame, `range` rad."""

    name: str
    axis: Array
    anchor: Array
    range: tuple[float, float]


@dataclass(frozen=True)
class Body:
    """A link: pose in the parent's frame (`pos` m, `quat` wxyz), at most one hinge, mass in kg."""

    name: str
    parent: int
    pos: Array
    quat: Array
    joint: Joint | None
    mass: float


@dataclass(frozen=True)
class Site:
    """A marked point: index of its body, position in that body's frame (m) and orientation (wxyz)."""

    name: str
    body: int
    pos: Array
    quat: Array


@dataclass(frozen=True)
class ChainLevel:
    """The hinges of `c` chains that are equally far from the base, and the bodies that they carry."""

    joints: NDArray[np.int64]
    """(c,) indices of the joints."""
    offset: Array
    """(c, 3) m, origin of the body in its parent."""
    fixed: Array
    """(c, 3, 3) rotation of the body in its parent at angle zero."""
    axis: Array
    """(c, 3) unit vector."""
    anchor: Array
    """(c, 3) m, a point of the axis in the body's frame."""

    @cached_property
    def skew(self) -> Array:
        """(c, 3, 3) cross product matrix of the axis."""
        return np.array([[[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]] for x, y, z in self.axis])

    @cached_property
    def skew_squared(self) -> Array:
        """(c, 3, 3)."""
        value: Array = self.skew @ self.skew
        return value


@dataclass(frozen=True)
class BodyTree:
    """Bodies in depth-first order, the floating base first, and the named sites on them."""

    bodies: tuple[Body, ...]
    sites: dict[str, Site]

    def body_index(self, name: str) -> int:
        """Index of the body `name`; `UserError` naming the known ones otherwise."""
        names = [body.name for body in self.bodies]
        if name not in names:
            raise UserError(f"the MJCF has no body '{name}'; it has {', '.join(names)}.")
        return names.index(name)

    def _chain(self, tip: int) -> list[int]:
        """Indices of the bodies from the one below the base down to `tip`; empty if that is the base itself.

        Raises:
            UserError: one of them is fixed to its parent.
        """
        path, body = [], tip
        while body > 0:
            own = self.bodies[body]
            if own.joint is None:
                raise UserError(
                    f"body '{own.name}' of the MJCF has no hinge, but lies on the way from the base to "
                    f"'{self.bodies[tip].name}': make it part of its parent '{self.bodies[own.parent].name}'."
                )
            path.append(body)
            body = self.bodies[body].parent
        return path[::-1]

    def levels(self, joint_names: tuple[str, ...], tips: list[int]) -> list[ChainLevel]:
        """The chains from the base to the bodies `tips`, hinge by hinge; empty if those are the base itself.

        Args:
            joint_names: the order in which joints are counted.
            tips: (c,) indices of bodies.

        Raises:
            UserError: the chains are not equally long, or a body on the way is fixed to its parent.
        """
        paths = [self._chain(tip) for tip in tips]
        if len({len(path) for path in paths}) > 1:
            counts = ", ".join(
                f"{len(path)} to '{self.bodies[tip].name}'" for path, tip in zip(paths, tips, strict=True)
            )
            raise UserError(
                f"the legs of the MJCF have different numbers of joints ({counts}), expected alike."
            )
        levels = []
        for row in zip(*paths, strict=True):
            bodies = [self.bodies[body] for body in row]
            hinges = [body.joint for body in bodies if body.joint is not None]
            levels.append(
                ChainLevel(
                    joints=np.array([joint_names.index(hinge.name) for hinge in hinges]),
                    offset=np.array([body.pos for body in bodies]),
                    fixed=np.array([quat_to_matrix(body.quat) for body in bodies]),
                    axis=np.array([hinge.axis for hinge in hinges]),
                    anchor=np.array([hinge.anchor for hinge in hinges]),
                )
            )
        return levels


def _vector(element: ElementTree.Element, key: str, default: str) -> Array:
    return np.array([float(item) for item in element.get(key, default).split()])


def _mass(element: ElementTree.Element) -> float:
    inertial = element.find("inertial")
    return 0.0 if inertial is None else float(inertial.get("mass", "0"))


def read_mjcf(path: Path) -> BodyTree:
    """Read bodies, hinges and sites of the one floating-base robot in an MJCF.

    Raises:
        UserError: not XML, angles in degrees, no floating base, or a feature that this reader does not know
            (several or non-hinge joints in one body, orientations other than `quat`).
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise UserError(f"cannot read the MJCF {path}: {error}.") from error
    compiler = root.find("compiler")
    if compiler is None or compiler.get("angle") != "radian":
        raise UserError(f'{path}: expected <compiler angle="radian"/>; angles in degrees are not read here.')
    worldbody = root.find("worldbody")
    bases = (
        [] if worldbody is None else [b for b in worldbody.findall("body") if b.find("freejoint") is not None]
    )
    if len(bases) != 1:
        raise UserError(f"{path}: found {len(bases)} bodies with a <freejoint>, expected exactly one robot.")
    bodies: list[Body] = []
    sites: dict[str, Site] = {}

    def visit(element: ElementTree.Element, parent: int) -> None:
        name = element.get("name", f"body{len(bodies)}")
        for key in ("euler", "axisangle", "xyaxes", "zaxis"):
            if element.get(key) is not None:
                raise UserError(f"{path}: body '{name}' uses '{key}'; give its orientation as 'quat'.")
        joints = element.findall("joint")
        if len(joints) > 1 or any(j.get("type", "hinge") != "hinge" for j in joints):
            raise UserError(f"{path}: body '{name}' has something else than one hinge; split it into bodies.")
        joint = None
        if joints:
            axis = _vector(joints[0], "axis", "0 0 1")
            low, high = _vector(joints[0], "range", "-3.14159265 3.14159265")
            joint = Joint(
                joints[0].get("name", name),
                axis / np.linalg.norm(axis),
                _vector(joints[0], "pos", "0 0 0"),
                (float(low), float(high)),
            )
        index = len(bodies)
        quat = _vector(element, "quat", "1 0 0 0")
        bodies.append(
            Body(
                name,
                parent,
                _vector(element, "pos", "0 0 0"),
                quat / np.linalg.norm(quat),
                joint,
                _mass(element),
            )
        )
        for site in element.findall("site"):
            site_name = site.get("name", "")
            sites[site_name] = Site(
                site_name, index, _vector(site, "pos", "0 0 0"), _vector(site, "quat", "1 0 0 0")
            )
        for child in element.findall("body"):
            visit(child, index)

    visit(bases[0], -1)
    return BodyTree(tuple(bodies), sites)
