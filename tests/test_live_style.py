"""The live style score: whole windows of walking, by the policy's own discriminator."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runtime_helpers import SPEC
from session_helpers import POLICY

from wildrobot.core.errors import UserError
from wildrobot.runtime.control.skills import load_skill
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES
from wildrobot.signal_path.policy import OnnxStyle, StyleMeter


class Sum:
    """Scores the sum of a window of two frames."""

    frames = 2

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def score(self, windows: Any) -> Any:
        self.seen.append(windows)
        return np.array([windows.sum()])


def test_style_is_judged_on_whole_windows_of_walking_only() -> None:
    judge = Sum()
    meter = StyleMeter(judge)
    features = np.zeros((1, 3))

    def score(value: float, moving: bool = True, fresh: bool = False) -> float:
        return meter.score(features + value, moving, fresh)

    assert np.isnan(score(1.0, fresh=True))
    assert np.isnan(score(2.0))  # the first frame was not commanded to walk, as far as anybody knows
    assert score(3.0) == 3 * (2.0 + 3.0)
    assert np.isnan(score(4.0, moving=False))
    assert np.isnan(score(5.0))
    assert score(6.0) == 3 * (5.0 + 6.0)
    np.testing.assert_array_equal(judge.seen[0], [[2.0] * 3 + [3.0] * 3])  # oldest first


def test_the_live_score_is_that_of_the_log_s_features(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from wildrobot.cli.run import run

    log = tmp_path / "walk.lcmlog"
    flags = ["--fast", "--no-lcm", "--speed", "0.3", "--duration", "1.5", "--log", str(log)]
    assert run.main([str(POLICY), *flags, "--json", str(tmp_path / "f.json")]) == 0
    style = OnnxStyle(POLICY.with_name("style.onnx"), SPEC)
    told = [CHANNEL_TYPES[e.channel].decode(e.data) for e in read_log(log) if e.channel == "policy_state"]
    judged = [i for i, message in enumerate(told) if np.isfinite(message.style_score)]
    assert len(judged) > 50
    k = style.frames
    for i in judged:
        window = np.concatenate([message.features for message in told[i - k + 1 : i + 1]])
        assert told[i].style_score == pytest.approx(float(style.score(window[None])[0]), abs=1e-6)
    figures = json.loads((tmp_path / "f.json").read_text())
    assert 0.0 < figures["style_score"] < 1.0
    assert f"{figures['style_score']:.2f} of 1" in capsys.readouterr().out
    standing = [message for message in told if message.command[0] == 0.0]
    assert standing
    assert all(np.isnan(message.style_score) for message in standing)


def test_a_discriminator_beside_the_policy_is_taken_and_a_broken_one_only_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "policy.onnx"
    shutil.copy(POLICY, file)
    assert load_skill(SPEC, file).style is None
    shutil.copy(POLICY.with_name("style.onnx"), tmp_path / "style.onnx")
    assert load_skill(SPEC, file).style is not None
    (tmp_path / "style.onnx").write_bytes(b"broken")
    assert load_skill(SPEC, file).style is None
    assert "warning: no style score: " in capsys.readouterr().err
    with pytest.raises(UserError, match="not a whole ONNX file"):
        load_skill(SPEC, file, tmp_path / "style.onnx")
