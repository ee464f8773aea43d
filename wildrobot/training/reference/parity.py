"""Parity of the reference with the code that will judge the policy: checked before the first iteration."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.estimator import StateEstimator
from wildrobot.signal_path.features import compute_features, feature_names
from wildrobot.signal_path.sensor_frame import SensorFrame
from wildrobot.training.reference.dataset import SENSOR_FIELDS, ReferenceDataset
from wildrobot.training.rl.separability import feature_auc, logistic_auc

WARM_UP_TICKS = 25
LIMIT = 0.6


def stored_frames(spec: RobotSpec, dataset: ReferenceDataset, rollout: int) -> Iterator[SensorFrame]:
    """The SensorFrames of one rollout, without batch dimensions; times start at zero, all samples are valid."""
    arrays = {name: dataset.rollout(rollout, name).astype(np.float64) for name in SENSOR_FIELDS}
    for k in range(len(arrays["joint_position"])):
        yield SensorFrame.measured(
            k * spec.control_dt, **{name: values[k] for name, values in arrays.items()}
        )


def replay_features(spec: RobotSpec, dataset: ReferenceDataset, rollout: int) -> np.ndarray:
    """Features (T, F) of one rollout, computed anew from its stored SensorFrames."""
    estimator = StateEstimator(spec)
    # the first update of a new estimator starts it afresh
    frames = stored_frames(spec, dataset, rollout)
    return np.stack([np.asarray(compute_features(f, estimator.update(f))) for f in frames])


def check_parity(spec: RobotSpec, dataset: ReferenceDataset, rollouts: int = 24) -> str:
    """Reference against its own replay; a sentence for the log.

    Raises:
        UserError: a logistic classifier, or one feature alone, tells the stored features from those computed now.
    """
    chosen = np.linspace(0, dataset.num_rollouts - 1, min(rollouts, dataset.num_rollouts)).astype(int)
    stored, replayed = [], []
    for rollout in chosen:
        features = replay_features(spec, dataset, int(rollout))
        # a recording may begin in the middle of a motion: the estimator needs a moment to know its velocity again
        stored.append(dataset.rollout(int(rollout), "features")[WARM_UP_TICKS:])
        replayed.append(features[WARM_UP_TICKS:])
    a, b = np.concatenate(stored).astype(np.float64), np.concatenate(replayed)
    names, area = feature_names(spec), feature_auc(a, b)
    joint = logistic_auc(a, b)
    worst = np.argsort(-area)[:5]
    top = ", ".join(f"{names[i]} {area[i]:.3f}" for i in worst)
    if joint > LIMIT or area[worst[0]] > LIMIT:
        raise UserError(
            f"the reference's features differ from what this code computes from its own sensor frames: "
            f"AUC {joint:.3f} together; alone: {top}. Expected about 0.5: build the reference again."
        )
    return (
        f"parity: the reference and its replay through today's code are told apart with AUC {joint:.3f} (0.5: not at "
        f"all); highest single features: {top}"
    )
