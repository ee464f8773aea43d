"""Finds a skeleton's legs, sides, heading and unit by geometry: joint names differ from file to file and may
be wrong.

Legs are the two chains of equal length that part from each other, swing apart from everything else, and end
nearest the floor. The feet and the knees say which way the body faces; up x forward says which leg is the
left one.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.training.reference.capture.human_motion import HumanMotion

Array = NDArray[np.float64]
ADULT_LEG_M = 0.80
"""Hip to ankle of an adult of about 1.7 m (D. A. Winter, Biomechanics and Motor Control of Human Movement,
ch. 4)."""
_PLAUSIBLE_LEG_M = (0.55, 1.10)
_UNITS = {
    "metres": 1.0,
    "centimetres": 0.01,
    "millimetres": 0.001,
    "inches": 0.0254,
    "CMU units": 0.0254 / 0.45,
}
_CHAIN_TOLERANCE = 0.2


@dataclass(frozen=True)
class Leg:
    """Joint indices of one leg; `ball` and `tip` are the ankle where the file has no foot beyond it."""

    hip: int
    knee: int
    ankle: int
    ball: int
    tip: int


@dataclass(frozen=True)
class HumanBody:
    """A motion in metres, z up, floor at 0, with its parts found."""

    motion: HumanMotion
    legs: tuple[Leg, Leg]
    """Left, right."""
    shoulders: tuple[int, int] | None
    """Left, right; None without arms."""
    leg_length: float
    """Hip to knee to ankle, m."""
    notes: tuple[str, ...]
    """What was assumed, for the user."""

    def path(self, part: str) -> Array:
        """Positions (T, 2, 3) of a leg part, "hip" … "tip": left, right."""
        return np.stack([self.motion.positions[:, getattr(leg, part)] for leg in self.legs], axis=1)

    @property
    def has_feet(self) -> bool:
        """Whether there is a joint beyond the ankle, which shows the pitch of the foot."""
        return all(leg.ball != leg.ankle for leg in self.legs)


def find_body(motion: HumanMotion) -> HumanBody:
    """Find legs, shoulders, sides and unit of a motion.

    Raises:
        UserError: no legs; the joints found and what was expected are listed.
    """
    motion.check()
    motion = motion.z_up()
    tree = _Tree(motion)
    pair = tree.leg_pair()
    legs = [tree.leg(chain) for chain in pair]
    length = float(np.mean([_length(motion, leg) for leg in legs]))
    factor, notes = _unit_of_length(length, motion.source)
    motion = motion.scaled(factor)
    lowest = motion.positions[..., 2].min(axis=1)
    motion = replace(motion, positions=motion.positions - [0.0, 0.0, float(np.median(lowest))])
    if _left_is_second(motion, legs):
        legs.reverse()
    shoulders = tree.shoulder_pair(pair)
    if shoulders is not None and _facing_sign(motion, shoulders, legs) < 0:
        shoulders = shoulders[::-1]
    return HumanBody(motion, (legs[0], legs[1]), shoulders, length * factor, tuple(notes))


class _Tree:
    """Chains of a skeleton, from its joints' mean distances; joints at their parent's place are passed
    over."""

    def __init__(self, motion: HumanMotion) -> None:
        self.motion = motion
        self.parents = motion.parents
        positions = motion.positions
        self.height = np.percentile(positions[..., 2], 10, axis=0) - np.median(positions[..., 2].min(axis=1))
        self.extent = float(np.mean(np.ptp(positions[..., 2], axis=1)))
        children = set(self.parents)
        self.leaves = [j for j in range(len(self.parents)) if j not in children]

    def ancestors(self, joint: int) -> list[int]:
        """The joint and what it hangs on, up to the root."""
        path = [joint]
        while self.parents[path[-1]] >= 0:
            path.append(self.parents[path[-1]])
        return path

    def chains(self, a: int, b: int) -> tuple[list[int], list[int]]:
        """The two ways down from where the leaves part, both without the common joint, without doubled
        places."""
        up_a, up_b = self.ancestors(a), self.ancestors(b)
        common = next(joint for joint in up_a if joint in up_b)
        ways = []
        for up in (up_a, up_b):
            way, last = [], common
            for joint in up[: up.index(common)][::-1]:
                if self.distance(joint, last) > 0.01 * self.extent:
                    way.append(joint)
                    last = joint
            ways.append(way)
        return ways[0], ways[1]

    def distance(self, a: int, b: int) -> float:
        return float(
            np.mean(np.linalg.norm(self.motion.positions[:, a] - self.motion.positions[:, b], axis=-1))
        )

    def chain_length(self, chain: list[int]) -> float:
        return sum(self.distance(a, b) for a, b in itertools.pairwise(chain))

    def leg_pair(self) -> tuple[list[int], list[int]]:
        """The two leg chains, hip first."""
        low = sorted(self.leaves, key=lambda joint: float(self.height[joint]))
        for i, a in enumerate(low):
            for b in low[:i]:
                if max(self.height[a], self.height[b]) > 0.2 * self.extent:
                    continue
                one, other = self.chains(a, b)
                lengths = self.chain_length(one), self.chain_length(other)
                if min(len(one), len(other)) < 3 or min(lengths) < 0.3 * self.extent:
                    continue
                # Hips lie below the joint that they hang on; shoulders, of arms that reach as low, above it.
                height = np.mean(self.motion.positions[..., 2], axis=0)
                above = max(height[one[0]], height[other[0]]) - height[self.parents[one[0]]]
                if (
                    abs(lengths[0] - lengths[1]) < _CHAIN_TOLERANCE * max(lengths)
                    and above < 0.03 * self.extent
                ):
                    return one, other
        raise self.no_legs("no two chains of equal length part from each other and end near the floor")

    def no_legs(self, reason: str) -> UserError:
        names = ", ".join(self.motion.joint_names)
        return UserError(
            f"{self.motion.source} has no legs that could be found: {reason}. Its joints are: {names}. "
            "Expected two symmetric chains of at least hip, knee and ankle that end nearest the floor; use a "
            "full-body motion."
        )

    def leg(self, chain: list[int]) -> Leg:
        """Knee and ankle of a leg chain: the two longest rigid parts of about the same length."""
        best: tuple[float, int, int, int] | None = None
        for h in range(min(2, len(chain) - 2)):
            for i in range(h + 1, len(chain) - 1):
                for j in range(i + 1, len(chain)):
                    hip, knee, ankle = chain[h], chain[i], chain[j]
                    thigh, shank = self.distance(hip, knee), self.distance(knee, ankle)
                    if not (self.rigid(hip, knee) and self.rigid(knee, ankle) and 0.5 < thigh / shank < 2.0):
                        continue
                    cost = abs(np.log(thigh / shank)) - np.log(thigh + shank)
                    if best is None or cost < best[0]:
                        best = cost, h, i, j
        if best is None:
            raise self.no_legs(
                f"the chain {[self.motion.joint_names[j] for j in chain]} has no rigid thigh and shank"
            )
        _, h, i, j = best
        foot = chain[j:]
        return Leg(chain[h], chain[i], chain[j], foot[min(1, len(foot) - 1)], foot[-1])

    def rigid(self, a: int, b: int) -> bool:
        distance = np.linalg.norm(self.motion.positions[:, a] - self.motion.positions[:, b], axis=-1)
        return bool(np.std(distance) < 0.01 * np.mean(distance))

    def shoulder_pair(self, legs: tuple[list[int], list[int]]) -> tuple[int, int] | None:
        """First joints, wide apart, of the longest two equal chains that are not legs."""
        used = set(legs[0]) | set(legs[1])
        free = [leaf for leaf in self.leaves if not used & set(self.ancestors(leaf))]
        best: tuple[float, int, int] | None = None
        for i, a in enumerate(free):
            for b in free[:i]:
                one, other = self.chains(a, b)
                lengths = self.chain_length(one), self.chain_length(other)
                if min(len(one), len(other)) < 2 or abs(lengths[0] - lengths[1]) > _CHAIN_TOLERANCE * max(
                    lengths
                ):
                    continue
                wide = [
                    pair
                    for pair in zip(one, other, strict=False)
                    if self.distance(*pair) > 0.12 * self.extent
                ]
                if wide and (best is None or sum(lengths) > best[0]):
                    best = sum(lengths), *wide[0]
        return None if best is None else (best[1], best[2])


def _length(motion: HumanMotion, leg: Leg) -> float:
    parts = ((leg.hip, leg.knee), (leg.knee, leg.ankle))
    return sum(
        float(np.mean(np.linalg.norm(motion.positions[:, a] - motion.positions[:, b], axis=-1)))
        for a, b in parts
    )


def _unit_of_length(length: float, source: str) -> tuple[float, list[str]]:
    """Factor to metres from the leg's length in the file's unit, and what to tell the user."""
    low, high = _PLAUSIBLE_LEG_M
    if low <= length <= high:
        return 1.0, []
    name, factor = min(_UNITS.items(), key=lambda unit: abs(np.log(length * unit[1] / ADULT_LEG_M)))
    if low <= length * factor <= high:
        return factor, [f"{source}: the leg is {length:.4g} units long; taken as {name} ({factor:.5g} m)"]
    factor = ADULT_LEG_M / length
    return factor, [
        f"{source}: the leg is {length:.4g} units long, in no known unit; taken as {ADULT_LEG_M} m"
    ]


def _facing(motion: HumanMotion, legs: list[Leg]) -> Array:
    """Unit horizontal directions (T, 2) that the hip line allows, forward by the feet, else the knees."""
    across = motion.positions[:, legs[0].hip, :2] - motion.positions[:, legs[1].hip, :2]
    forward = np.stack([across[:, 1], -across[:, 0]], axis=-1)  # forward = left x up
    forward /= np.maximum(np.linalg.norm(forward, axis=-1, keepdims=True), 1e-9)
    points = motion.positions
    vote = 0.0
    for leg in legs:
        hip, knee, ankle, tip = (points[:, j] for j in (leg.hip, leg.knee, leg.ankle, leg.tip))
        # The knee bends to the front: it lies before the line from hip to ankle.
        share = np.linalg.norm(knee - hip, axis=-1) + np.linalg.norm(ankle - knee, axis=-1)
        bend = knee - (hip + (ankle - hip) * (np.linalg.norm(knee - hip, axis=-1) / share)[:, None])
        vote += float(np.mean(np.sum((tip - ankle)[:, :2] * forward, axis=-1)))
        vote += float(np.mean(np.sum(bend[:, :2] * forward, axis=-1)))
    return forward if vote >= 0.0 else -forward


def _left_is_second(motion: HumanMotion, legs: list[Leg]) -> bool:
    return _facing_sign(motion, (legs[0].hip, legs[1].hip), legs) < 0


def _facing_sign(motion: HumanMotion, pair: tuple[int, int], legs: list[Leg]) -> float:
    """Positive when pair[0] is on the left of pair[1]."""
    forward = _facing(motion, legs)
    left = np.stack([-forward[:, 1], forward[:, 0]], axis=-1)
    across = motion.positions[:, pair[0], :2] - motion.positions[:, pair[1], :2]
    return float(np.mean(np.sum(across * left, axis=-1)))
