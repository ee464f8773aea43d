"""What wiring, battery, stand and price follow from: robot.yaml, the MJCF, the makers' figures and our choices."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from wildrobot.core.constants import GRAVITY_M_S2
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.simulation.picture import picture_model

ROOT = Path(__file__).resolve().parents[1]
EVALUATION = ROOT / "wildrobot" / "policies" / "wildrobot_walk.json"

# The makers' figures.
SERVO_RANGE_V = (10.0, 14.8)
"""XM430-W350 e-manual, input voltage."""
EH_CONTACT_A = 3.0
"""JST EH: one contact, AWG 22."""
WIRE_A = {12: 41.0, 20: 11.0, 22: 7.0}
"""By AWG: one insulated wire in free air ("chassis wiring" in the Handbook of Electronic Tables and Formulas)."""
XT60_A = 30.0
BLADE_FUSES_A = (1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 25.0, 30.0)
LASTING = 0.75
"""Of its rating, what a blade fuse carries for good at room temperature."""
COPPER_OHM_M = 1.724e-8
CELL_V = (4.2, 3.7)
"""Lithium polymer: full, nominal."""

# Our choices.
CELLS, CAPACITY_AH, USED, C_RATING = 3, 2.2, 0.8, 25
WALK_M_S = 0.3
COMPUTER_W, CONVERTER = 25.0, 0.9
"""The computer's supply at most (5 V, 5 A), and the converter's efficiency."""
SLACK = 1.5
"""Length of a cable over the straight way."""
FEET_OFF_FLOOR_M, OVER_HEAD_M, AROUND_M, CATCH = 0.05, 0.15, 0.10, 5.0
"""The stand: feet off the floor, room over the head, room around what the feet reach, load over weight."""

PRICES = (
    ("XM430-W350-T", "902-0124-000", 310.39, "robotis.us, 9 August 2026"),
    ("U2D2", "902-0132-000", 36.92, "robotis.us, 9 August 2026"),
    ("OpenRB-150", "", 28.64, "robotis.us, no date given"),
    ("BNO085 breakout", "Adafruit 4754", 29.50, "adafruit.com, no date given"),
)
"""Part, maker's number, US dollars without tax and shipping, where and when."""


@dataclass(frozen=True)
class Branch:
    """What hangs on one fuse: the most that it draws (A), and its wire."""

    fuse: str
    feeds: str
    sum: str
    current_a: float
    awg: int
    lasting: bool = False
    """Drawn all the time; a servo's stall is not."""

    @property
    def fuse_a(self) -> float:
        """The smallest blade fuse that carries it."""
        least = self.current_a / (LASTING if self.lasting else 1.0)
        return next(size for size in BLADE_FUSES_A if size >= least)


class Hardware:
    """Figures of one robot; lengths m."""

    def __init__(self, spec: RobotSpec | None = None) -> None:
        self.spec = spec = load_robot() if spec is None else spec
        kinds = {joint.servo for joint in spec.config.joints}
        assert len(kinds) == 1, f"one kind of servo was expected, not {kinds}"
        self.servo = next(iter(kinds))
        self.count = spec.num_joints
        self.stall_a, self.nominal_v = spec.servos[0].stall_current_a, spec.servos[0].nominal_voltage_v
        self.full_v, self.pack_v = (CELLS * volts for volts in CELL_V)
        self.full_stall_a = self.stall_a * self.full_v / self.nominal_v
        self.low = spec.guards["voltage_low_v"]
        self.high = spec.guards["voltage_high_v"]
        self.mass = spec.total_mass
        self.weight_n = self.mass * GRAVITY_M_S2
        rows = json.loads(EVALUATION.read_text())["rows"]
        self.walk_w = float(next(row["power_w"] for row in rows if row["command_m_s"] == WALK_M_S))
        self._measure()

    def _measure(self) -> None:
        spec, model = self.spec, picture_model(self.spec)
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        robot = np.flatnonzero(model.geom_bodyid > 0)
        turn = data.geom_xmat[robot].reshape(-1, 3, 3)
        middle = data.geom_xpos[robot] + np.einsum("gij,gj->gi", turn, model.geom_aabb[robot, :3])
        half = np.einsum("gij,gj->gi", np.abs(turn), model.geom_aabb[robot, 3:])
        zero = np.zeros(spec.num_joints)
        sole = float(np.min(spec.kinematics.foot_points(zero)[:, 2]))
        pelvis = float(data.xpos[model.body(spec.config.pelvis_body).id, 2])
        self.pelvis_height = -sole
        self.height = float(np.max((middle + half)[:, 2])) - pelvis - sole
        lift = np.array([0.0, 0.0, -pelvis - sole])
        self.shapes = [(center + lift, size) for center, size in zip(middle, half, strict=True)]
        """Bounding boxes at the zero pose: middle and half size (3,), from the soles' height."""
        self.torso_width = float(
            2.0 * np.max((middle + half)[model.geom_bodyid[robot] == self._torso(model), 1])
        )
        ends = [
            (low, (low + high) / 2.0, high)
            for low, high in zip(spec.joint_lower, spec.joint_upper, strict=True)
        ]
        legs = [sorted(map(int, joints)) for joints in spec.kinematics.leg_joints]
        poses = np.tile(spec.default_joint_pos, (len(ends[0]) ** len(legs[0]), 1))
        for leg in legs:
            poses[:, leg] = list(itertools.product(*(ends[joint] for joint in leg)))
        feet = spec.kinematics.foot_points(poses).reshape(-1, 3)
        self.reach_x, self.reach_y = (float(np.max(np.abs(feet[:, axis]))) for axis in (0, 1))

    def _torso(self, model: mujoco.MjModel) -> int:
        return int(model.body(self.spec.config.torso_body).id)

    @property
    def hub_to_ankle(self) -> float:
        """The longest way of a wire from the hub, at the pelvis, with its slack."""
        return SLACK * (self.pelvis_height - self.spec.leg.ankle_height)

    def branches(self) -> list[Branch]:
        """Every branch, the main one first."""
        each, full = self.full_stall_a, f"{self.full_stall_a:.2f} A"
        computer = COMPUTER_W / CONVERTER / self.low.stop
        servos = [
            Branch(f"F{i}", what, f"2 × {full}", 2.0 * each, 20)
            for i, what in enumerate(self.pairs(), start=1)
        ]
        servos.append(Branch("F5", f"waist {self.ids('waist_yaw')}", f"1 × {full}", each, 22))
        rest = Branch(
            "F6",
            "5 V converter",
            f"{COMPUTER_W:.0f} W / {CONVERTER} / {self.low.stop} V",
            computer,
            20,
            lasting=True,
        )
        board = Branch("F7", "sensor board, from 5 V", "below 0.5 A", 0.5, 22, lasting=True)
        total = self.count * each + computer
        main = Branch("F0", "everything", f"{self.count} × {full} + {computer:.1f} A", total, 12)
        return [main, *servos, rest, board]

    def pairs(self) -> list[str]:
        return [
            f"{side} {title} {self.ids(f'{side}_{first}')}, {self.ids(f'{side}_{second}')}"
            for side in ("left", "right")
            for title, first, second in (
                ("hip", "hip_pitch", "hip_roll"),
                ("knee and ankle", "knee_pitch", "ankle_pitch"),
            )
        ]

    def ids(self, joint: str) -> int:
        return self.spec.servo_ids[self.spec.joint_names.index(joint)]

    @property
    def minutes(self) -> float:
        """Of walking, on one battery."""
        return 60.0 * CAPACITY_AH * self.pack_v * USED / (self.walk_w + COMPUTER_W / CONVERTER)

    @property
    def known_price(self) -> float:
        """US dollars: servos, adapter, board, IMU."""
        return sum(price * (self.count if part == self.servo else 1) for part, _, price, _ in PRICES)

    @property
    def bar_height(self) -> float:
        return ceil_cm(FEET_OFF_FLOOR_M + self.height + OVER_HEAD_M)

    @property
    def free_width(self) -> float:
        return ceil_cm(2.0 * (self.reach_y + AROUND_M))

    @property
    def free_depth(self) -> float:
        return ceil_cm(2.0 * (self.reach_x + AROUND_M))

    @property
    def spreader(self) -> float:
        """The bar over the head that keeps the two ropes off the torso."""
        return ceil_cm(self.torso_width + 0.06)


def ceil_cm(length: float) -> float:
    return math.ceil(round(100.0 * length, 6)) / 100.0


def ohm_per_m(awg: int) -> float:
    """Of copper at 20 °C; a wire of gauge n is 0.127 mm × 92^((36 − n)/39) thick (ASTM B258)."""
    radius = 0.5 * 0.127e-3 * 92.0 ** ((36 - awg) / 39)
    return COPPER_OHM_M / (math.pi * radius**2)
