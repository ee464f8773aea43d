"""Evaluation figures in a policy file: only those that were measured with its own network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from wildrobot.core.errors import UserError
from wildrobot.core.files import atomic_write, read_json_object
from wildrobot.export.metadata import add_metadata
from wildrobot.signal_path.contract import METADATA_KEY
from wildrobot.signal_path.policy import OnnxPolicy


def evaluation_of(run: Path, network: str, policy: Path) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """RUN/evaluation.json if it is of the network with this hash, and notes for a person.

    It is when it names that hash, or the file `policy` which an export is about to replace.
    """
    path = run / "evaluation.json"
    evaluation = read_json_object(path)
    if evaluation is None:
        return None, ()
    if evaluation.get("network_sha256") == network:
        return evaluation, (f"the figures of {path} stand in the policy file",)
    try:
        replaced = OnnxPolicy(policy)
    except UserError:
        replaced = None
    if replaced is not None and _network(replaced) == network and _measured(evaluation, replaced):
        return evaluation, (f"the figures of {path} stand in the policy file",)
    return None, (f"{path} is of another network and was left out; run `wildrobot eval {policy}`",)


def store_evaluation(policy_file: Path, evaluation: dict[str, Any]) -> None:
    """Put figures of `wildrobot eval` into a policy file; network and golden vectors stay as they are.

    Raises:
        UserError: it is no policy file, or the figures are of another one.
    """
    policy = OnnxPolicy(policy_file)
    if evaluation.get("network_sha256") != _network(policy) and not _measured(evaluation, policy):
        raise UserError(
            f"these evaluation figures are not of {policy_file}: they name the file with SHA-256 "
            f"{str(evaluation.get('policy_sha256'))[:12]}, this one has {policy.sha256[:12]}. "
            f"Run `wildrobot eval {policy_file}` and use what it writes."
        )
    model = onnx.load(str(policy_file))
    strings = {entry.key: entry.value for entry in model.metadata_props if entry.key != METADATA_KEY}
    add_metadata(model, {**policy.contract, "evaluation": evaluation}, strings)
    with atomic_write(policy_file) as temporary:
        onnx.save(model, str(temporary))
        OnnxPolicy(temporary)


def _network(policy: OnnxPolicy) -> str:
    return str(policy.contract.get("network_sha256"))


def _measured(evaluation: dict[str, Any], policy: OnnxPolicy) -> bool:
    """Whether the figures are of this file, as it is or as it was before figures were put into it."""
    stored = policy.contract.get("evaluation") or {}
    return evaluation.get("policy_sha256") in (policy.sha256, stored.get("policy_sha256", policy.sha256))
