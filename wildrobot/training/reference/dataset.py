"""Executed reference motion as one self-describing `.npz`: SensorFrames, features, states, provenance, figures."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.core.files import atomic_write
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.features import feature_names, windows_of

FORMAT = "wildrobot-reference-1"
SENSOR_FIELDS = (
    "joint_position", "joint_velocity", "imu_quaternion", "imu_angular_velocity", "imu_acceleration", "foot_contact",
)  # fmt: skip
ARRAYS = (
    *SENSOR_FIELDS,
    "features",
    "qpos",
    "qvel",
    "command",
    "phase",
    "moving",
    "previous_action",
    "action",
)


@dataclass
class ReferenceDataset:
    """Recorded rollouts laid end to end, (T, ...) each; rollout r is frames begin[r] .. begin[r+1].

    `meta` holds: format, robot, robot_hash, feature_names, control_hz, provenance, clips (a list with name, source,
    frames, rollouts, accepted, figures, reason), rollout_clip (index into clips for every rollout) and rollout_noisy
    (was this rollout disturbed by action noise? Such rollouts show recovery; they are not style).

    `action` is the tracker's answer in units of a policy's action, `previous_action` what was executed a tick before.
    """

    arrays: dict[str, NDArray[Any]]
    begin: NDArray[np.int64]
    meta: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        arrays = self.__dict__.get("arrays", {})
        if name in arrays:
            return arrays[name]
        raise AttributeError(name)

    @property
    def clips(self) -> list[dict[str, Any]]:
        """Every clip of the build, accepted or not, with its figures."""
        clips: list[dict[str, Any]] = self.meta["clips"]
        return clips

    @property
    def num_rollouts(self) -> int:
        """Recorded rollouts."""
        return len(self.begin) - 1

    @property
    def undisturbed(self) -> NDArray[np.int64]:
        """Indices of the rollouts without action noise."""
        return np.flatnonzero(~np.asarray(self.meta["rollout_noisy"], dtype=bool))

    def rollout(self, index: int, name: str) -> NDArray[Any]:
        """Array `name` of one rollout."""
        return self.arrays[name][self.begin[index] : self.begin[index + 1]]

    def windows(self, frames: int, rollouts: Any = None) -> NDArray[Any]:
        """All feature windows (k, frames * F) of these rollouts (None: all undisturbed); none spans two rollouts."""
        chosen = self.undisturbed if rollouts is None else rollouts
        parts = [windows_of(self.rollout(int(r), "features"), frames) for r in chosen]
        return np.concatenate(parts) if parts else np.zeros((0, frames * self.arrays["features"].shape[1]))

    def append(
        self, log: dict[str, NDArray[Any]], spans: list[tuple[int, slice]], clip: Any, noisy: bool
    ) -> None:
        """Add rollouts: rows and spans of `log` (T, rows, ...), their clip index (rows,), and whether disturbed."""
        for row, _ in spans:
            self.meta["rollout_clip"].append(int(clip[row]))
            self.meta["rollout_noisy"].append(noisy)
        sizes = [span.stop - (span.start or 0) for _, span in spans]
        self.begin = np.concatenate([self.begin, self.begin[-1] + np.cumsum(sizes, dtype=np.int64)])
        for name, values in log.items():
            pieces = [values[span, row] for row, span in spans]
            if name in self.arrays:
                pieces = [self.arrays[name], *pieces]
            if pieces:
                self.arrays[name] = np.concatenate(pieces)

    def save(self, path: str | Path) -> None:
        """Write atomically."""
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            arrays: dict[str, Any] = dict(self.arrays)
            np.savez_compressed(file, begin=self.begin, meta=np.array(json.dumps(self.meta)), **arrays)

    @classmethod
    def load(cls, path: str | Path, spec: RobotSpec | None = None) -> ReferenceDataset:
        """Read and check a reference file.

        Raises:
            UserError: missing, truncated, of another format or robot, empty, or non-finite.
        """
        path = Path(path)
        try:
            with zipfile.ZipFile(path):
                pass  # np.load reads other formats, too
            with np.load(path, allow_pickle=False) as data:
                arrays = {name: data[name] for name in ARRAYS}
                begin, meta = data["begin"], json.loads(str(data["meta"]))
        except OSError as error:
            raise UserError(
                f"cannot read the reference {path}: {error.strerror or error}. Make one with: wildrobot reference build"
            ) from error
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(
                f"{path} is not a whole {FORMAT} file ({error}). Build it again with: wildrobot reference build"
            ) from error
        if meta.get("format") != FORMAT:
            raise UserError(f"{path} has format {meta.get('format')!r}, expected {FORMAT!r}. Build it again.")
        for name, values in arrays.items():
            if len(values) != begin[-1]:
                raise UserError(
                    f"{path}: '{name}' has {len(values)} frames, expected {begin[-1]}. Build it again."
                )
            if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
                frame = int(np.argwhere(~np.isfinite(values))[0][0])
                raise UserError(
                    f"{path}: '{name}' is not finite at frame {frame}; build the reference again."
                )
        if len(arrays["features"]) == 0:
            raise UserError(
                f"{path} has no accepted frames; see its figures with: wildrobot reference show {path}"
            )
        if spec is not None:
            names = list(feature_names(spec))
            if meta.get("feature_names") != names:
                raise UserError(
                    f"{path} was made for robot {meta.get('robot')!r}, whose features are "
                    f"{meta.get('feature_names')}; this robot is {spec.name!r}, with {names}. "
                    "Build the reference for this robot."
                )
        return cls(arrays, begin, meta)
