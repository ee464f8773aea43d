"""A stick figure that walks with known angles, written as BVH or AMASS: the tests' own motion capture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

THIGH, SHANK, HIP_HEIGHT, HIP_HALF_WIDTH = 0.40, 0.411, 0.86, 0.09
ANKLE_HEIGHT = 0.08


@dataclass(frozen=True)
class Walker:
    """Stands, walks `steps` steps (left first), stands. Lengths in m, at 100 frames per second."""

    steps: int = 10
    step_length: float = 0.45
    step_s: float = 0.55
    lift: float = 0.08
    stand_s: float = 1.0
    kick_step: int | None = None
    """This step lifts the foot to 0.45 m."""
    twist: float = 0.15
    """Amplitude of the torso yaw, rad."""
    fps: float = 100.0

    def ankles(self) -> np.ndarray:
        """(T, 2, 2) forward and height of left and right ankle."""
        count = round((2 * self.stand_s + self.steps * self.step_s) * self.fps)
        t = np.arange(count) / self.fps - self.stand_s
        ankles = np.zeros((count, 2, 2))
        ankles[..., 1] = ANKLE_HEIGHT
        for k in range(self.steps):
            foot = k % 2
            length = self.step_length * (0.5 if k in (0, self.steps - 1) else 1.0) * 2.0
            u = np.clip((t - k * self.step_s) / (0.75 * self.step_s), 0.0, 1.0)
            ankles[:, foot, 0] += length * (u - np.sin(2 * np.pi * u) / (2 * np.pi))
            lift = 0.45 if k == self.kick_step else self.lift
            ankles[:, foot, 1] += lift * np.sin(np.pi * u) ** 2
        return ankles

    def pose(self) -> dict[str, np.ndarray]:
        """Root way and per leg (T, 2) hip flexion, knee flexion and the foot's counter-rotation; torso twist (T,)."""
        ankles = self.ankles()
        root = ankles[..., 0].mean(axis=1)
        forward, down = ankles[..., 0] - root[:, None], HIP_HEIGHT - ankles[..., 1]
        reach = np.minimum(np.hypot(forward, down), 0.999 * (THIGH + SHANK))
        knee = np.pi - np.arccos((THIGH**2 + SHANK**2 - reach**2) / (2 * THIGH * SHANK))
        at_hip = np.arccos((THIGH**2 + reach**2 - SHANK**2) / (2 * THIGH * reach))
        hip = np.arctan2(forward, down) + at_hip
        t = np.arange(len(root)) / self.fps - self.stand_s
        walking = (t > 0) & (t < self.steps * self.step_s)
        twist = self.twist * np.sin(np.pi * t / self.step_s) * walking
        return {"root": root, "hip": hip, "knee": knee, "ankle": knee - hip, "twist": twist}


def bvh_text(
    walker: Walker,
    yaw: float = 0.0,
    unit: float = 1.0,
    z_up: bool = False,
    names: dict[str, str] | None = None,
    order: str = "ZYX",
) -> str:
    """The walker as BVH: y up (or z up), facing z (or -y), turned by `yaw` rad about up, lengths divided by `unit`."""
    pose = walker.pose()
    cos, sin = np.cos(yaw), np.sin(yaw)
    skeleton = [
        # name, depth, offset (x left, y up, z forward), rotation about x, rotation about y
        ("Hips", 0, (0.0, 0.0, 0.0), None, None),
        *_leg("Left", 1.0, pose["hip"][:, 0], pose["knee"][:, 0], pose["ankle"][:, 0]),
        *_leg("Right", -1.0, pose["hip"][:, 1], pose["knee"][:, 1], pose["ankle"][:, 1]),
        ("Chest", 1, (0.0, 0.25, 0.0), None, pose["twist"]),
        ("Head", 2, (0.0, 0.30, 0.0), None, None),
        ("End", 3, (0.0, 0.20, 0.0), None, None),
        *_arm("Left", 1.0),
        *_arm("Right", -1.0),
    ]
    lines, columns = ["HIERARCHY"], []
    open_depth = -1
    count = len(pose["root"])

    def place(vector: tuple[float, float, float]) -> str:
        x, y, z = (value / unit for value in vector)
        return f"{x:.6f} {-z:.6f} {y:.6f}" if z_up else f"{x:.6f} {y:.6f} {z:.6f}"

    for name, depth, offset, about_x, about_y in skeleton:
        while open_depth >= depth:
            lines.append("  " * open_depth + "}")
            open_depth -= 1
        open_depth = depth
        pad = "  " * depth
        shown = (names or {}).get(name, name)
        lines.append(
            pad + ("ROOT " + shown if depth == 0 else "End Site" if name == "End" else "JOINT " + shown)
        )
        lines.append(pad + "{")
        lines.append(pad + "  OFFSET " + place(offset))
        if name == "End":
            continue
        turns = {"X": np.zeros(count), "Y": np.zeros(count), "Z": np.zeros(count)}
        if about_x is not None:
            turns["X"] = about_x
        if about_y is not None or depth == 0:
            turns["Z" if z_up else "Y"] = np.full(count, yaw) if depth == 0 else np.asarray(about_y)
        if depth == 0:
            lines.append(
                pad + "  CHANNELS 6 Xposition Yposition Zposition " + " ".join(f"{a}rotation" for a in order)
            )
            way = pose["root"] / unit
            height = np.full(count, HIP_HEIGHT / unit)
            columns += [way * sin, -way * cos, height] if z_up else [way * sin, height, way * cos]
        else:
            lines.append(pad + "  CHANNELS 3 " + " ".join(f"{a}rotation" for a in order))
        columns += [np.degrees(turns[a]) for a in order]
    while open_depth >= 0:
        lines.append("  " * open_depth + "}")
        open_depth -= 1
    lines += ["MOTION", f"Frames: {count}", f"Frame Time: {1.0 / walker.fps:.8f}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in np.stack(columns, axis=-1)]
    return "\n".join(lines) + "\n"


def _leg(side: str, sign: float, hip: np.ndarray, knee: np.ndarray, ankle: np.ndarray) -> list[tuple]:
    return [
        (f"{side}UpLeg", 1, (sign * HIP_HALF_WIDTH, 0.0, 0.0), -hip, None),
        (f"{side}Leg", 2, (0.0, -THIGH, 0.0), knee, None),
        (f"{side}Foot", 3, (0.0, -SHANK, 0.0), -ankle, None),
        (f"{side}Toe", 4, (0.0, -0.05, 0.13), None, None),
        ("End", 5, (0.0, 0.0, 0.06), None, None),
    ]


def _arm(side: str, sign: float) -> list[tuple]:
    return [
        (f"{side}Arm", 2, (sign * 0.19, 0.20, 0.0), None, None),
        (f"{side}ForeArm", 3, (0.0, -0.28, 0.0), None, None),
        ("End", 4, (0.0, -0.25, 0.03), None, None),
    ]


def write_bvh(path: Path, walker: Walker | None = None, **keywords: object) -> Path:
    """Write the walker and return the path."""
    path.write_text(bvh_text(walker or Walker(), **keywords), encoding="utf-8")  # type: ignore[arg-type]
    return path


def amass_arrays(walker: Walker | None = None, yaw: float = 0.0) -> dict[str, np.ndarray]:
    """The walker as AMASS: SMPL-H poses (T, 156), z up, facing -y at yaw 0 as SMPL does."""
    walker = walker or Walker()
    pose = walker.pose()
    count = len(pose["root"])
    poses = np.zeros((count, 156))
    upright = _axis_angle_of(_rotation("z", yaw) @ _rotation("x", np.pi / 2))
    poses[:, 0:3] = upright
    for joint, values in ((1, -pose["hip"][:, 0]), (2, -pose["hip"][:, 1]), (4, pose["knee"][:, 0]),
                          (5, pose["knee"][:, 1]), (7, -pose["ankle"][:, 0]), (8, -pose["ankle"][:, 1])):  # fmt: skip
        poses[:, 3 * joint] = values
    poses[:, 3 * 3 + 1] = pose["twist"]
    facing = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    trans = pose["root"][:, None] * facing + [0.0, 0.0, HIP_HEIGHT + 0.09]
    return {
        "poses": poses, "trans": trans, "betas": np.zeros(16), "gender": np.array("neutral"),
        "mocap_framerate": np.array(walker.fps),
    }  # fmt: skip


def _rotation(axis: str, angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    if axis == "x":
        return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def _axis_angle_of(matrix: np.ndarray) -> np.ndarray:
    angle = np.arccos(np.clip((np.trace(matrix) - 1) / 2, -1, 1))
    vector = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]])
    return vector / np.linalg.norm(vector) * angle
