"""Which servo moves which joint, and which way: somebody moves one limp joint after another by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.calibration.hands import Hands, MoveJoint
from wildrobot.firmware_bridge.calibration.sampling import Sample, Sampler
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.legs import SIDES

Array = NDArray[np.float64]
ASKED_RAD = math.radians(20.0)
LEAST_RAD = math.radians(7.0)
"""A joint that moved less has not been moved."""
CLEAR_RATIO = 0.6
"""The second largest excursion over the largest, from which on nobody knows which joint was meant."""
TRIES = 3
SETTLE_S = 3.0

_WORDS = {
    # role of a joint about +x, +y or +z: what its positive direction and its negative direction look like
    "waist_yaw": ("turn the torso to the left", "turn the torso to the right"),
    "hip_pitch": ("swing the whole leg backwards", "swing the whole leg forwards"),
    "hip_yaw": ("turn the whole leg to the left", "turn the whole leg to the right"),
    "left hip_roll": ("swing the leg outwards, away from the other", "swing the leg inwards"),
    "right hip_roll": ("swing the leg inwards", "swing the leg outwards, away from the other"),
    "knee_pitch": ("bend the knee", "stretch the knee"),
    "ankle_pitch": ("point the toes down", "pull the toes up"),
    "left ankle_roll": ("lift the sole's outer edge", "lift the sole's inner edge"),
    "right ankle_roll": ("lift the sole's inner edge", "lift the sole's outer edge"),
}


class NotClear(Exception):
    """The record does not say which servo moved; the message is for people."""


@dataclass(frozen=True)
class Excursion:
    """The servo (index) that moved most, the sign of its first way, and how far it went, rad."""

    servo: int
    sign: int
    size_rad: float


def find_excursion(angle: Array) -> Excursion:
    """From servo angles (T, n), rad, from rest on; NaN where a servo was not heard.

    Raises:
        NotClear: none moved by `LEAST_RAD`, or two moved alike.
    """
    start = np.nanmedian(angle[: max(1, min(5, len(angle)))], axis=0)
    away = np.nan_to_num(angle - start)
    size = np.max(np.abs(away), axis=0)
    order = np.argsort(-size)
    best = int(order[0])
    if size[best] < LEAST_RAD:
        raise NotClear(f"nothing moved by more than {math.degrees(size[best]):.1f} degrees")
    if len(order) > 1 and size[order[1]] > CLEAR_RATIO * size[best]:
        raise NotClear(
            f"two joints moved alike ({math.degrees(size[best]):.0f} and "
            f"{math.degrees(size[order[1]]):.0f} degrees)"
        )
    # the way out, not the swing back beyond the start
    first = int(np.argmax(np.abs(away[:, best]) > 0.5 * size[best]))
    return Excursion(best, 1 if away[first, best] > 0 else -1, float(size[best]))


def asked_direction(spec: RobotSpec, joint: int) -> int:
    """+1 or -1: the way in which the joint has most room, from its zero."""
    return -1 if -spec.joint_lower[joint] > spec.joint_upper[joint] else 1


def describe_motion(spec: RobotSpec, joint: int, direction: int) -> str:
    """In plain words, what the joint does when it turns in `direction`."""
    name, role = spec.joint_names[joint], spec.roles[joint]
    side = "" if role.side is None else f"{SIDES[role.side]} "
    words = _WORDS.get(side + role.name) or _WORDS.get(role.name)
    if words is not None:
        return words[0] if direction * role.sign > 0 else words[1]
    axis = next(
        body.joint.axis for body in spec.tree.bodies if body.joint is not None and body.joint.name == name
    )
    return f"turn it {'along' if direction > 0 else 'against'} the axis {np.round(axis, 2).tolist()}"


@dataclass(frozen=True)
class Wiring:
    """What was found of one joint."""

    id: int
    direction: int


def identify(
    spec: RobotSpec,
    sampler: Sampler,
    hands: Hands,
    found: dict[str, Wiring] | None = None,
    keep: Callable[[], None] = lambda: None,
) -> dict[str, Wiring]:
    """Ask for every joint to be moved; returns what was found of those that were (by joint name).

    Joints in `found` are not asked for again; what is found is added to it, and `keep` called then. The robot must be
    suspended or held, and limp: the torque is switched off here.

    Raises:
        UserError: a joint stays unclear after three tries, or one servo is taken for two joints.
    """
    sampler.bus.sync_write(table.TORQUE_ENABLE, dict.fromkeys(sampler.ids, 0))
    for _ in range(round(SETTLE_S / 0.1)):  # limp legs swing to rest
        if all(np.nanmax(np.abs(sample.velocity_count)) <= 1 for sample in sampler.record(0.1)):
            break
    found = {} if found is None else found
    for joint, name in enumerate(spec.joint_names):
        if name in found:
            continue
        wiring = _identify_joint(spec, sampler, hands, joint, found)
        if wiring is not None:
            found[name] = wiring
            keep()
    return found


def _identify_joint(
    spec: RobotSpec, sampler: Sampler, hands: Hands, joint: int, known: dict[str, Wiring]
) -> Wiring | None:
    name, way = spec.joint_names[joint], asked_direction(spec, joint)
    title = name.replace("_", " ").upper()
    text = (
        f"{title}: {describe_motion(spec, joint, way)} by about {math.degrees(ASKED_RAD):.0f} degrees "
        f"and back, this joint alone ({name} {way * ASKED_RAD:+.2f} rad)."
    )
    for _ in range(TRIES):
        samples: list[Sample] = sampler.record(0.1)

        def each(samples: list[Sample] = samples) -> None:
            samples.append(sampler.read())
            sampler.wait()

        if not hands.perform(MoveJoint(text, name, way * ASKED_RAD), each):
            hands.say(f"{name} left out")
            return None
        try:
            wiring = _judge(spec, sampler.ids, samples, joint, way)
        except NotClear as error:
            hands.say(f"{error}. Once more, please.")
            continue
        other = next((key for key, value in known.items() if value.id == wiring.id), None)
        if other is not None:
            hands.say(f"servo {wiring.id} moved, and that is {other}'s. Once more, please.")
            continue
        hands.say(f"servo {wiring.id} moves {name}, direction {wiring.direction:+d}")
        return wiring
    raise UserError(
        f"{name} could not be told from the other joints in {TRIES} tries. Begin again, and move one joint at "
        "a time while somebody holds the rest."
    )


def _judge(spec: RobotSpec, ids: Sequence[int], samples: Sequence[Sample], joint: int, way: int) -> Wiring:
    scale = spec.servos[joint].position_rad_per_count
    excursion = find_excursion(np.array([sample.count for sample in samples]) * scale)
    return Wiring(ids[excursion.servo], way * excursion.sign)
