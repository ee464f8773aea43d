"""Evaluation figures enter a policy file only if they were measured with its network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from policy_helpers import make_run

from wildrobot.cli import export as cli
from wildrobot.core.errors import UserError, run_main
from wildrobot.core.files import read_json_object
from wildrobot.export.figures import evaluation_of, store_evaluation
from wildrobot.export.run_export import export
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.policy import OnnxPolicy


@pytest.fixture(scope="module")
def original(spec: RobotSpec, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A policy file without figures."""
    run = make_run(tmp_path_factory.mktemp("run"), spec, discriminator=None)
    return export(run, threads=1).policy.read_bytes()


@pytest.fixture
def policy(original: bytes, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    path = tmp_path / "policy.onnx"
    path.write_bytes(original)
    return path


def network(policy: Path) -> str:
    return str(OnnxPolicy(policy).contract["network_sha256"])


def test_figures_are_stored_and_nothing_else_changes(policy: Path, spec: RobotSpec) -> None:
    before = OnnxPolicy(policy, spec)
    figures = {"policy_sha256": before.sha256, "rows": [{"survival": 0.97}]}
    store_evaluation(policy, figures)
    after = OnnxPolicy(policy, spec)
    assert after.contract == {**before.contract, "evaluation": figures}
    rows = np.random.default_rng(0).normal(size=(5, after.input_size))
    assert np.array_equal(after(rows), before(rows))
    strings = [p._session.get_modelmeta().custom_metadata_map["joint_names"] for p in (before, after)]
    assert strings[0] == strings[1]


def test_figures_of_another_file_are_refused_and_the_file_stays(policy: Path, original: bytes) -> None:
    for figures in ({"policy_sha256": "0" * 64}, {"network_sha256": "0" * 64}, {}):
        with pytest.raises(UserError, match="wildrobot eval"):
            store_evaluation(policy, figures)
    assert policy.read_bytes() == original


def test_an_export_takes_figures_by_the_network_s_hash_or_by_the_file_it_replaces(
    policy: Path, original: bytes
) -> None:
    run, name = policy.parent, network(policy)

    def taken(figures: dict[str, str], file: Path = policy) -> bool:
        (run / "evaluation.json").write_text(json.dumps(figures))
        return evaluation_of(run, name, file)[0] == figures

    by_file = {"policy_sha256": OnnxPolicy(policy).sha256}
    assert taken({"network_sha256": name}, run / "absent.onnx")
    assert taken(by_file)
    assert not taken(by_file, run / "absent.onnx")
    assert not taken({"policy_sha256": "0" * 64})
    assert not taken({"network_sha256": "0" * 64})
    store_evaluation(policy, by_file)  # the file has another hash now, and still holds what was measured
    assert OnnxPolicy(policy).sha256 != by_file["policy_sha256"]
    assert taken(by_file)


def test_without_an_evaluation_there_is_nothing_to_say(policy: Path) -> None:
    assert evaluation_of(policy.parent, network(policy), policy) == (None, ())


def test_the_command_stores_figures_and_names_what_is_missing(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(tmp_path), "--onnx", str(policy), "--evaluation", str(tmp_path / "figures.json")]
    assert run_main(cli.main, given) == 2
    assert "figures.json" in capsys.readouterr().err
    (tmp_path / "figures.json").write_text(json.dumps({"network_sha256": network(policy)}))
    assert run_main(cli.main, given) == 0
    assert OnnxPolicy(policy).contract["evaluation"]["network_sha256"] == network(policy)


def test_figures_that_json_has_no_word_for_are_read_as_none(tmp_path: Path) -> None:
    (tmp_path / "figures.json").write_text('{"slip": NaN, "speed": [Infinity, 1.0]}')
    assert read_json_object(tmp_path / "figures.json") == {"slip": None, "speed": [None, 1.0]}
