"""A policy of another framework as a policy file: described, checked, wrapped, compared with the original, written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.core.files import atomic_write, file_sha256
from wildrobot.export.elsewhere.actions import ActionPlan, plan_action
from wildrobot.export.elsewhere.checks import check_rate, compare_robots
from wildrobot.export.elsewhere.description import ForeignPolicy, ImportFindings
from wildrobot.export.elsewhere.graph import ACTIONS, OBS, answer_shape, ends_of, load_network, wrapped
from wildrobot.export.elsewhere.joints import match_joints
from wildrobot.export.elsewhere.readers import described
from wildrobot.export.elsewhere.terms import ObservationPlan, plan_observation
from wildrobot.export.metadata import add_metadata, comma_strings, golden_vectors
from wildrobot.export.onnx_export import rollout
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.contract import METADATA_KEY, robot_contract
from wildrobot.signal_path.policy import OnnxPolicy, open_session

TOLERANCE_RAD = 1e-4
"""Largest difference of a joint target to the original network's with which a file is written: a fifteenth of the
smallest step that a servo can see."""


@dataclass(frozen=True)
class Imported:
    """What was written, and what a person should know of it."""

    policy: Path
    difference_rad: float
    terms: tuple[str, ...]
    warnings: tuple[str, ...]


def import_policy(
    source: Path,
    spec: RobotSpec,
    output: Path,
    descriptions: tuple[Path, ...] = (),
    control_hz: float | None = None,
    seed: int = 0,
    threads: int = 0,
) -> Imported:
    """Write `source` as a policy file for the robot; `seed` and `threads` are of the rollouts it is compared on.

    Raises:
        UserError: it is no network, or cannot be built for this robot: every reason is listed. Nothing is written.
    """
    model, findings = load_network(source), ImportFindings()
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if METADATA_KEY in metadata:
        raise UserError(f"{source} is a policy file already: run it, or `wildrobot eval {source}`.")
    if output.resolve() == source.resolve():
        raise UserError(f"{output} is the file to be imported. Give another name with --out.")
    policy = described(metadata, descriptions, findings)
    if control_hz is not None:
        policy = replace(policy, control_hz=control_hz)
    enter, size, leave = ends_of(model, findings)
    check_rate(policy, spec, findings)
    joints = match_joints(policy, spec, findings)
    observation = action = None
    if joints is not None:
        observation = plan_observation(policy, joints, spec, size, findings)
        action = plan_action(policy, joints, spec, findings)
        compare_robots(policy, joints, spec, findings)
        if observation is not None and enter:
            shape = answer_shape(model, (enter, leave), len(observation.index), findings)
            if shape not in (None, (1, len(joints.acting))):
                findings.problems.append(
                    f"{leave}: the network answers with shape {shape}, expected (1, {len(joints.acting)}) for "
                    f"{', '.join(joints.acting)}"
                )
    if findings.problems or observation is None or action is None:
        raise _refusal(source, spec, findings.problems)
    made = wrapped(model, (enter, leave), observation, action)
    observations, given = _rollout(spec, observation, made, seed, threads)
    figures = _compare(model, (enter, leave), made, observations, observation, action, spec)
    warnings = (*findings.warnings, *_limits(given, spec))
    contract = robot_contract(spec, observation.layout) | {
        "network_sha256": hashlib.sha256(made.graph.SerializeToString(deterministic=True)).hexdigest(),
        "golden": golden_vectors(observations, figures.pop(ACTIONS), (OBS, ACTIONS)),
        "comparison": figures,
        "training": _provenance(source, metadata, policy, warnings),
        "evaluation": None,
    }
    add_metadata(
        made, contract, comma_strings(spec, observation.layout, metadata.get("run_path") or source.stem)
    )
    with atomic_write(output) as temporary:
        onnx.save(made, str(temporary))
        OnnxPolicy(temporary, spec)
    terms = tuple(f"{term.term} x {term.history}" for term in policy.observations)
    return Imported(output, figures["max_target_difference_rad"], terms, warnings)


def _refusal(source: Path, spec: RobotSpec, problems: list[str]) -> UserError:
    count = f"{len(problems)} {'thing stands' if len(problems) == 1 else 'things stand'}"
    return UserError(
        f"{source} cannot be imported for {spec.name}; {count} in the way:\n  "
        + "\n  ".join(problems)
        + "\nWhat the file does not say can stand in a description (--description FILE.yaml, see docs/import.md); "
        "what the robot cannot give has to leave the observation before the training. Nothing was written."
    )


def _provenance(
    source: Path, metadata: dict[str, str], policy: ForeignPolicy, warnings: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "commit": None,
        "preset": None,
        "seed": None,
        "steps": None,
        "imported": {
            "file": source.name,
            "sha256": file_sha256(source),
            "run_path": metadata.get("run_path"),
            "joint_names": list(policy.joint_names or ()),
            "observations": [term.term for term in policy.observations],
            "warnings": list(warnings),
        },
    }


def _rollout(
    spec: RobotSpec, plan: ObservationPlan, made: onnx.ModelProto, seed: int, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Observations (k, D) of simulated robots under the policy, and its answers (ticks, robots, n).

    Raises:
        UserError: the network does not take a batch.
    """
    session, given = open_session(made.SerializeToString()), []

    def actor(observation: torch.Tensor) -> torch.Tensor:
        try:
            answer = session.run([ACTIONS], {OBS: observation.numpy()})[0]
        except Exception as error:  # ONNX Runtime's own
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"the network cannot be run on {len(observation)} observations at once ({type(error).__name__}: "
                f"{reason}). Export it with a dynamic first axis."
            ) from error
        given.append(answer)
        return torch.as_tensor(answer)

    observations, _ = rollout(spec, plan.layout, actor, 1, seed, threads)
    return observations, np.array(given, dtype=np.float64)


def _compare(
    model: onnx.ModelProto, ends: tuple[str, str], made: onnx.ModelProto, observations: NDArray[np.float32],
    plan: ObservationPlan, action: ActionPlan, spec: RobotSpec,
) -> dict[str, Any]:  # fmt: skip
    """Joint targets of the original network, its observation made in double precision, against the wrapped one's.

    Raises:
        UserError: they differ by more than `TOLERANCE_RAD`, or an answer is not finite.
    """
    values = observations.astype(np.float64)[:, plan.index] * plan.gain + plan.offset
    foreign = (np.clip(values, plan.low, plan.high) * plan.scale).astype(np.float32)
    original, session = open_session(model.SerializeToString()), open_session(made.SerializeToString())
    theirs, ours = _one_by_one(original, ends, foreign), _one_by_one(session, (OBS, ACTIONS), observations)
    cut = np.clip(theirs.astype(np.float64), -action.clip, action.clip)[:, action.index]
    wanted = np.clip(cut * action.gain + action.offset, action.low, action.high)
    if not (np.isfinite(wanted).all() and np.isfinite(ours).all()):
        raise UserError("the network answers NaN or infinity on simulated rollouts. Its training diverged.")
    difference = np.abs(ours - wanted) * spec.action_scale
    if difference.max() > TOLERANCE_RAD:
        raise UserError(
            f"the imported network's joint targets differ by {difference.max():.3g} rad from the original's on "
            f"{len(observations)} observations of simulated rollouts, allowed {TOLERANCE_RAD:g}. Nothing was written; "
            "the network magnifies the rounding of its inputs, or this is a defect of the importer."
        )
    return {
        "samples": len(observations),
        "max_target_difference_rad": float(difference.max()),
        "max_abs_difference": float(np.abs(ours - wanted).max()),
        "tolerance_rad": TOLERANCE_RAD,
        ACTIONS: ours,
    }


def _one_by_one(session: Any, ends: tuple[str, str], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Answers (k, m) to rows (k, D), as on the robot: the original may take one at a time only."""
    return np.concatenate([session.run([ends[1]], {ends[0]: row[None]})[0] for row in rows])


def _limits(given: NDArray[np.float64], spec: RobotSpec) -> tuple[str, ...]:
    """How often this robot's limits cut the policy's answers (ticks, robots, n) in the rollouts, if they did."""
    cut = np.abs(given) > spec.action_clip
    target = spec.default_joint_pos + spec.action_scale * np.clip(given, -spec.action_clip, spec.action_clip)
    fast = np.abs(np.diff(target, axis=0)) > spec.target_rate_limit * spec.control_dt
    return tuple(
        f"{what} cut {share.mean():.1%} of the joint targets in simulated rollouts: {names}"
        for what, share in (("action_clip", cut), ("the target's rate limit", fast))
        if share.any()
        for names in [", ".join(spec.joint_names[i] for i in np.flatnonzero(share.any(axis=(0, 1))))]
    )
