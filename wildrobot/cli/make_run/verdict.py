"""Whether the walk at the end of `wildrobot make-run` is good enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wildrobot.cli.make_run.options import MakeRunOptions

SPEED_TOLERANCE_M_S = 0.05
HEADING_TOLERANCE_RAD = 0.5
CLEARANCE_M = 0.015


def judge(walk: Mapping[str, Any], options: MakeRunOptions) -> list[dict[str, Any]]:
    """The walk's figures against what is asked of it: rows of check, found, wanted and ok."""
    walked, falls = float(walk.get("walked_s") or 0.0), int(walk.get("falls") or 0)
    speed, drift = walk.get("mean_speed_m_s"), walk.get("heading_drift_max_rad")
    clearances = walk.get("swing_clearance_m") or {}
    rows = [
        _row(
            "no fall",
            f"{walked:.1f} s, {falls} falls",
            f"{options.duration:g} s, 0 falls",
            falls == 0 and walked >= options.duration - 0.5,
        ),
        _row(
            "mean speed",
            "–" if speed is None else f"{speed:.3f} m/s",
            f"{options.speed:.2f} ± {SPEED_TOLERANCE_M_S} m/s",
            speed is not None and abs(speed - options.speed) <= SPEED_TOLERANCE_M_S,
        ),
        _row(
            "heading kept",
            "–" if drift is None else f"{abs(drift):.2f} rad off",
            f"≤ {HEADING_TOLERANCE_RAD} rad",
            drift is not None and abs(drift) <= HEADING_TOLERANCE_RAD,
        ),
    ]
    for side in ("left", "right"):
        height = clearances.get(side)
        rows.append(
            _row(
                f"{side} swing clearance",
                "no swing seen" if height is None else f"{1000 * height:.0f} mm",
                f"≥ {1000 * CLEARANCE_M:.0f} mm",
                height is not None and height >= CLEARANCE_M,
            )
        )
    return rows


def _row(check: str, found: str, wanted: str, ok: bool) -> dict[str, Any]:
    return {"check": check, "found": found, "wanted": wanted, "ok": bool(ok)}
