"""A recorded walk through today's code: features and actions are those of then, or the first that is not is named.

A change that is meant: `python scripts/renew_golden_logs.py`, and say in the commit why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wildrobot.core.errors import UserError
from wildrobot.robot_description import load_robot
from wildrobot.runtime.logs.comparison import Comparison, compare
from wildrobot.runtime.logs.decoding import read_configuration
from wildrobot.runtime.logs.replay import RecordedPolicies
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "data" / "standing_and_walking.lcmlog"
POLICY = ROOT / "wildrobot" / "policies" / "wildrobot_walk.onnx"
TOLERANCE = 1e-6
"""Another processor, another ONNX Runtime."""
RENEW = "if this change is meant: python scripts/renew_golden_logs.py"


def replayed() -> Comparison:
    """The golden log through today's code."""
    spec = load_robot()
    try:
        assert read_configuration(GOLDEN).robot_hash == spec.robot_hash, f"another robot; {RENEW}"
        return compare(GOLDEN, spec, RecordedPolicies((POLICY,), spec), TOLERANCE)
    except UserError as error:
        pytest.fail(f"{error}\n{RENEW}")


def test_features_observations_actions_and_targets_are_those_of_the_golden_log() -> None:
    found = replayed()
    assert found.difference is None, f"{found.difference}\n{RENEW}"
    assert found.count >= 200
    assert not found.outputs
    assert not found.left_out


def test_the_golden_log_stands_and_walks_and_says_nothing_of_the_machine_it_was_made_on() -> None:
    states, commands = [], []
    for event in read_log(GOLDEN):
        message: Any = CHANNEL_TYPES[event.channel].decode(event.data)
        if event.channel == "robot_state":
            states.append(message.state)
        elif event.channel == "policy_state":
            commands.append(message.command[0])
    assert states.count("standing") >= 50
    assert states.count("walking") >= 100
    assert max(commands) == pytest.approx(0.3)
    assert GOLDEN.stat().st_size < 300_000
    configuration = read_configuration(GOLDEN)
    content = json.loads(configuration.json)
    paths = [configuration.policy_path, *(policy["path"] for policy in content["policies"])]
    assert paths == ["policies/wildrobot_walk.onnx"] * 2
    assert content["options"]["log"] is None


def test_a_feature_that_changes_by_a_few_millionths_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from wildrobot.signal_path import path as signal_path

    honest, calls = signal_path.compute_features, []

    def shifted(*arguments: Any) -> Any:
        features = np.array(honest(*arguments))
        calls.append(0)
        if len(calls) > 120:
            features[..., 24] += 5e-6
        return features

    monkeypatch.setattr(signal_path, "compute_features", shifted)
    difference = replayed().difference
    assert difference is not None
    first = next(tick for tick in ticks())
    assert (difference.tick, difference.field, difference.name) == (first + 120, "features", "pelvis_height")


def test_an_action_that_changes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from wildrobot.signal_path.policy import OnnxPolicy

    honest, calls = OnnxPolicy.__call__, []

    def shifted(self: OnnxPolicy, observation: Any) -> Any:
        action = np.array(honest(self, observation))
        calls.append(0)
        if len(calls) > 100:  # the first ones verify the policy
            action[:, 3] += 1e-5
        return action

    monkeypatch.setattr(OnnxPolicy, "__call__", shifted)
    difference = replayed().difference
    assert difference is not None
    assert ticks()[0] < difference.tick < ticks()[-1]
    assert (difference.field, difference.name) == ("action", "left_knee_pitch")


def ticks() -> list[int]:
    return [
        CHANNEL_TYPES["policy_state"].decode(event.data).tick
        for event in read_log(GOLDEN)
        if event.channel == "policy_state"
    ]
