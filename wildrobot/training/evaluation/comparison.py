"""`wildrobot eval --compare`: policies on the very same robots, noise and pushes, and what of it is not chance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FIGURES = (
    "survival", "mean_speed_m_s", "speed_error_m_s", "lateral_drift_m_s", "yaw_drift_rad_per_10_s", "saturation",
    "energy_j_per_m",
)  # fmt: skip
RESAMPLES = 2000
Z_95 = 1.959964


def compare(first: dict[str, Array], second: dict[str, Array], seed: int = 0) -> dict[str, dict[str, Any]]:
    """Second minus first, figure by figure, with 95 % limits; episodes (N,) of the two are pairs.

    Survival by Agresti and Min's adjusted interval for paired shares (2005), the other figures by a percentile
    bootstrap over pairs of which both were measured. `significant`: zero is outside the limits.
    """
    result = {}
    for name in FIGURES:
        a, b = first[name], second[name]
        known = np.isfinite(a) & np.isfinite(b)
        if not known.any():
            continue
        change = (b - a)[known]
        low, high = _paired_shares(change) if name == "survival" else _bootstrap(change, seed)
        result[name] = {
            "first": float(np.mean(a[known])),
            "second": float(np.mean(b[known])),
            "difference": float(np.mean(change)),
            "low": low,
            "high": high,
            "significant": bool(low > 0.0 or high < 0.0),
            "pairs": int(known.sum()),
        }
    return result


def wilson(share: float, episodes: int) -> tuple[float, float]:
    """Wilson's 95 % interval (1927) of a share that was found in so many independent episodes."""
    middle = share + Z_95**2 / (2 * episodes)
    spread = Z_95 * float(np.sqrt(share * (1.0 - share) / episodes + Z_95**2 / (4 * episodes**2)))
    whole = 1.0 + Z_95**2 / episodes
    return max((middle - spread) / whole, 0.0), min((middle + spread) / whole, 1.0)


def _bootstrap(change: Array, seed: int) -> tuple[float, float]:
    """95 % percentile interval of the mean of (k,)."""
    rows = np.random.default_rng(seed).integers(len(change), size=(RESAMPLES, len(change)))
    low, high = np.percentile(change[rows].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _paired_shares(change: Array) -> tuple[float, float]:
    """95 % interval of the difference of two paired shares, from (k,) of -1, 0 and 1."""
    gained, lost, pairs = np.sum(change > 0.0) + 0.5, np.sum(change < 0.0) + 0.5, len(change) + 2.0
    middle = (gained - lost) / pairs
    spread = Z_95 * np.sqrt(gained + lost - (gained - lost) ** 2 / pairs) / pairs
    return float(middle - spread), float(middle + spread)
