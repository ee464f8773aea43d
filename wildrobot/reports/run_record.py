"""What a run's folder holds, read for its report: curves, configuration, evaluation, walk."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wildrobot.core.config import load_yaml
from wildrobot.core.errors import UserError
from wildrobot.core.files import read_json_object

RECENT = 20
"""Values that a figure "at the end" is the mean of."""
AUC = "auc/"


@dataclass(frozen=True)
class RunRecord:
    """A run's folder; what is not there yet is empty."""

    folder: Path
    metrics: dict[str, Any]
    """As `read_metrics` gives them."""
    settings: dict[str, Any]
    """config.yaml."""
    environment: dict[str, Any]
    evaluation: dict[str, Any]
    walk: dict[str, Any]

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    def last(self, key: str) -> float | None:
        """The newest value of a column."""
        known = self._known(key)
        return float(known[-1]) if len(known) else None

    def recent(self, key: str) -> float | None:
        """Mean of a column's last 20 values."""
        known = self._known(key)
        return float(known[-RECENT:].mean()) if len(known) else None

    def _known(self, key: str) -> Any:
        values = self.metrics.get(key)
        return values[np.isfinite(values)] if isinstance(values, np.ndarray) else np.zeros(0)


def read_run(folder: Path) -> RunRecord:
    """A run's record.

    Raises:
        UserError: `folder` has no readable metrics.jsonl, or another file in it is broken.
    """
    config = folder / "config.yaml"
    return RunRecord(
        folder,
        read_metrics(folder / "metrics.jsonl"),
        load_yaml(config) if config.exists() else {},
        *(
            read_json_object(folder / name) or {}
            for name in ("environment.json", "evaluation.json", "walk.json")
        ),
    )


def read_metrics(path: Path) -> dict[str, Any]:
    """Columns of a metrics.jsonl: name -> (T,) array, NaN where a line has no number; of other values the
    last one there is stays under its name. A last line cut short by a crash is ignored.

    Runs of earlier versions know only the six features that give the policy away most (`auc_top`): those are put
    into columns as all features are today.

    Raises:
        UserError: the file is missing, empty, or broken elsewhere than at its end.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}. "
            "Give the folder of a run made by `wildrobot train`."
        ) from error
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise UserError(
                    f"{path}, line {number} is not JSON ({error.msg}). Remove that line."
                ) from error
            continue
        rows.append({AUC + str(name): area for name, area in row.get("auc_top") or ()} | row)
    if not rows:
        raise UserError(f"{path} holds no complete iteration yet. Train for at least one.")
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(name) for row in rows]
        if all(value is None for value in values):
            continue
        if any(is_number(value) for value in values):
            columns[name] = np.array(
                [value if is_number(value) else math.nan for value in values], dtype=float
            )
        else:
            columns[name] = next(value for value in reversed(values) if value is not None)
    return columns


def is_number(value: Any) -> bool:
    """A number, and not a truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names, as on the command line."""
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{prefix}{key}.")
        else:
            values[f"{prefix}{key}"] = value
    return values
