"""Windows of consecutive feature vectors, as the discriminator and the robot's style score see them."""

from __future__ import annotations

from typing import Any

import numpy as np

from wildrobot.core.state import Stateful


class FeatureWindow(Stateful):
    """The last `frames` feature vectors of each row, oldest first, flat (..., frames * F).

        [ f(t-2) | f(t-1) | f(t) ]   <- push(f(t))

    A window is valid once it holds `frames` real frames since the last reset; it never spans one.
    """

    state_fields = ("_memory", "_count")

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self._memory: Any = None
        self._count: Any = None

    def push(self, features: Any, fresh: Any) -> tuple[Any, Any]:
        """Add features (..., F); rows where `fresh` (...) is True start over. Returns window and valid (...)."""
        features = np.asarray(features)
        fresh = np.asarray(fresh)
        if self._memory is None:
            self._memory = np.repeat(features[..., None, :], self.frames, axis=-2)
            self._count = np.zeros(fresh.shape, dtype=np.int64)
        self._memory = np.concatenate([self._memory[..., 1:, :], features[..., None, :]], axis=-2)
        if fresh.any():
            self._memory = np.where(fresh[..., None, None], features[..., None, :], self._memory)
        self._count = np.where(fresh, 1, np.minimum(self._count + 1, self.frames))
        flat = self._memory.reshape(*fresh.shape, -1)
        return flat, self._count >= self.frames


def windows_of(features: Any, frames: int) -> Any:
    """All windows of one uninterrupted recording: (T, F) -> (T - frames + 1, frames * F), oldest first."""
    features = np.asarray(features)
    count = len(features) - frames + 1
    if count < 1:
        return np.zeros((0, frames * features.shape[-1]))
    return np.concatenate([features[i : i + count] for i in range(frames)], axis=-1)
