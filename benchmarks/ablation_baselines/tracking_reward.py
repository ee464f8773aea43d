"""A tracking reward, to compare the motion prior with: be where the reference is at this phase and speed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.training.reference.dataset import ReferenceDataset

PHASES = 20
SPEED_BIN_M_S = 0.05
FLOOR = 0.05
"""Smallest deviation that counts, in the features' own units: m/s, rad, rad/s, m."""


class PhaseTable:
    """Mean and deviation of the reference's features at each phase of the gait and commanded speed.

    Of undisturbed rollouts that walk straight on. `mean` and `deviation` are (speeds, phases, F).

    Raises:
        UserError: nobody in the reference walks straight on.
    """

    def __init__(self, dataset: ReferenceDataset) -> None:
        def frames(name: str) -> NDArray[Any]:
            return np.concatenate([dataset.rollout(int(r), name) for r in dataset.undisturbed])

        command, features = frames("command"), frames("features")
        steady = frames("moving").astype(bool) & (np.abs(command[:, 1]) < 0.05)
        if not steady.any():
            raise UserError("the reference holds no frames of walking straight on: give one that walks.")
        features, phase = features[steady], _phase_bin(frames("phase")[steady])
        speed = np.round(command[steady, 0] / SPEED_BIN_M_S).astype(np.int64)
        # speeds of which every phase is known
        known = [s for s in np.unique(speed) if len(np.unique(phase[speed == s])) == PHASES]
        if not known:
            raise UserError(
                "the reference walks straight on for less than a stride: give one that walks longer."
            )
        self.speeds_m_s = SPEED_BIN_M_S * np.array(known)
        rows = [[features[(speed == s) & (phase == p)] for p in range(PHASES)] for s in known]
        self.mean = np.array([[part.mean(axis=0) for part in row] for row in rows])
        self.deviation = np.array([[np.maximum(part.std(axis=0), FLOOR) for part in row] for row in rows])

    def reward(
        self, features: NDArray[Any], phase: NDArray[Any], speed_m_s: NDArray[Any]
    ) -> NDArray[np.float64]:
        """exp(-mean z^2 / 4) in 0 to 1, (b,), of features (b, F) at phases (b,) rad and commanded speeds (b,).

        z is the distance to the reference of the nearest speed, in its deviations.
        """
        near = np.abs(speed_m_s[:, None] - self.speeds_m_s).argmin(axis=1)
        at = near, _phase_bin(phase)
        z = (features - self.mean[at]) / self.deviation[at]
        value: NDArray[np.float64] = np.exp(-0.25 * np.mean(z**2, axis=-1))
        return value


def _phase_bin(phase: NDArray[Any]) -> NDArray[np.int64]:
    return np.floor(np.mod(phase, 2.0 * np.pi) * (PHASES / (2.0 * np.pi))).astype(np.int64) % PHASES
