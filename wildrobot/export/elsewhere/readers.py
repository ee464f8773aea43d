"""What mjlab and Isaac Lab say of a policy that they export: metadata of the ONNX file, and IO_descriptors.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wildrobot.core.config import load_yaml
from wildrobot.core.errors import UserError
from wildrobot.export.elsewhere.description import (
    ForeignPolicy,
    ForeignTerm,
    ImportFindings,
    amended,
    read_description,
)

ROUNDING = 0.0005
"""mjlab writes its numbers with three decimals."""


def described(
    metadata: Mapping[str, str], descriptions: tuple[Path, ...], findings: ImportFindings
) -> ForeignPolicy:
    """The policy as the file's own metadata and then each of the `descriptions` have it; the last one counts.

    Raises:
        UserError: a description that cannot be read.
    """
    policy = from_metadata(metadata, findings)
    for path in descriptions:
        data = load_yaml(path)
        isaac = isinstance(data.get("observations"), dict) and "articulations" in data
        own = from_io_descriptors(data, path, findings) if isaac else read_description(data, path)
        policy = amended(policy, own, path.name, findings)
    return policy


# ---------------------------------------------------------------------- mjlab


def from_metadata(metadata: Mapping[str, str], findings: ImportFindings) -> ForeignPolicy:
    """The comma strings that mjlab's exporter attaches to the ONNX file; nothing, where there are none."""

    def listed(key: str) -> tuple[str, ...] | None:
        text = metadata.get(key, "").strip()
        if "[" in text:  # lists in a list, as Python prints them
            return tuple(part.replace(",", ";") for part in re.findall(r"\[([^\]]*)\]", text))
        return tuple(part.strip() for part in text.split(",")) if text else None

    def numbers(key: str) -> tuple[float, ...] | None:
        parts = listed(key)
        try:
            return None if parts is None else tuple(float(part) for part in parts)
        except ValueError:
            findings.problems.append(f"{key}: '{metadata[key]}' of the metadata is no list of numbers")
            return None

    names = listed("observation_names") or ()
    commands = listed("command_names") or ()
    if "motion" in commands:
        findings.problems.append(
            "command_names: the policy follows a recorded motion; here a policy gets a velocity command only"
        )
    terms = [ForeignTerm(name, relative=True if name in ("joint_pos", "dof_pos") else None) for name in names]
    scale = numbers("action_scale")
    policy = ForeignPolicy(
        joint_names=listed("joint_names"),
        default_joint_pos=numbers("default_joint_pos"),
        joint_stiffness=numbers("joint_stiffness"),
        joint_damping=numbers("joint_damping"),
        action_scale=scale[0] if scale is not None and len(scale) == 1 else scale,
        observations=tuple(_with_metadata(terms, metadata, listed, findings)),
    )
    if any(term.relative for term in terms):
        findings.warnings.append(
            "joint_pos is taken as mjlab's term of that name: relative to default_joint_pos. Say `relative: false` in "
            "a description where it is not"
        )
    _warn_of_rounding(metadata, findings)
    return policy


def _with_metadata(
    terms: list[ForeignTerm], metadata: Mapping[str, str], listed: Any, findings: ImportFindings
) -> list[ForeignTerm]:
    def column(key: str) -> list[str] | None:
        values = listed(key)
        if values is None or len(values) == len(terms):
            return None if values is None else list(values)
        findings.problems.append(f"{key}: {len(values)} entries for {len(terms)} observation terms")
        return None

    scales, histories = column("observation_terms_scale"), column("observation_terms_history_length")
    clips, flat = column("observation_terms_clip"), column("observation_terms_flatten_history_dim")
    result = []
    for i, term in enumerate(terms):
        try:
            scale = None if scales is None else _numbers(scales[i])
            history = None if histories is None else max(1, int(float(histories[i])))
            clip = None if clips is None else _numbers(clips[i])
        except ValueError as error:
            findings.problems.append(f"{term.term}: its metadata is not numbers ({error})")
            continue
        # the exporter writes False as 0.000
        if flat is not None and flat[i] in ("False", "0.000") and (history or 1) > 1:
            findings.problems.append(f"{term.term}: its history is a dimension of its own; flatten it")
        result.append(
            ForeignTerm(
                term.term,
                scale=None if scale is None else scale[0] if len(scale) == 1 else scale,
                clip=(clip[0], clip[1]) if clip is not None and len(clip) == 2 else None,
                history=history,
                relative=term.relative,
            )
        )
    return result


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(";"))


def _warn_of_rounding(metadata: Mapping[str, str], findings: ImportFindings) -> None:
    """Three decimals are coarse for a small scale; a position they leave 0.03 degrees off."""
    for key in ("action_scale", "observation_terms_scale"):
        for text in re.findall(r"-?\d+\.\d{3}(?!\d)", metadata.get(key, "")):
            if abs(float(text)) < 100.0 * ROUNDING and not text.endswith("0"):
                share = ROUNDING / max(abs(float(text)), ROUNDING)
                findings.warnings.append(
                    f"{key}: {text} is rounded to three decimals, {share:.0%} of it at worst; describe it in full"
                )


# ---------------------------------------------------------------------- Isaac Lab


def from_io_descriptors(data: dict[str, Any], path: Path, findings: ImportFindings) -> ForeignPolicy:
    """Isaac Lab's IO_descriptors.yaml: its observation group `policy`, its one joint position action, the robot.

    Raises:
        UserError: it lacks a part, or a part has another shape.
    """
    try:
        groups, actions, scene = data["observations"], data["actions"], data["scene"]
        robot = data["articulations"].get("robot") or next(iter(data["articulations"].values()))
        terms = tuple(_io_term(item, findings) for item in groups["policy"])
        dt = float(scene["dt"])
        names, default = tuple(robot["joint_names"]), _floats(robot["default_joint_pos"])
        stiffness, damping = (_gains(robot.get(f"default_joint_{key}")) for key in ("stiffness", "damping"))
        action = actions[0]
        if len(actions) != 1 or not str(action["full_path"]).endswith(".JointPositionAction"):
            kinds = ", ".join(str(one["full_path"]).rpartition(".")[2] for one in actions)
            findings.problems.append(f"actions: {kinds}; here an action is one JointPositionAction")
            action = {"joint_names": names, "scale": 1.0, "offset": 0.0, "clip": None}
        clip = action.get("clip")
        return ForeignPolicy(
            control_hz=1.0 / dt,
            joint_names=names,
            default_joint_pos=default,
            joint_stiffness=stiffness,
            joint_damping=damping,
            action_joints=tuple(action["joint_names"]),
            action_scale=_one_or_all(action["scale"]),
            action_offset=_one_or_all(action["offset"]),
            target_clip=None if clip is None else tuple((float(low), float(high)) for low, high in clip),
            observations=terms,
        )
    except (
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
        StopIteration,
        ZeroDivisionError,
    ) as error:
        raise UserError(
            f"{path} looks like Isaac Lab's IO descriptors, but cannot be read ({type(error).__name__}: {error}); "
            "expected observations.policy, actions, articulations and scene.dt. Export them again with Isaac Lab's "
            "scripts/environments/export_io_descriptors.py."
        ) from error


def _io_term(item: dict[str, Any], findings: ImportFindings) -> ForeignTerm:
    name, told = str(item["name"]), item.get("overloads") or {}
    history = max(1, int(told.get("history_length") or 0))
    if history > 1 and told.get("flatten_history_dim") is False:
        findings.problems.append(f"{name}: its history is a dimension of its own; flatten it")
    if (item.get("extras") or {}).get("modifiers"):
        findings.problems.append(f"{name}: it goes through modifiers ({item['extras']['modifiers']})")
    clip, scale = told.get("clip"), told.get("scale")
    return ForeignTerm(
        name,
        scale=1.0 if scale is None else _one_or_all(scale),
        clip=None if clip is None else (float(clip[0]), float(clip[1])),
        history=history,
        joints=tuple(item["joint_names"]) if item.get("joint_names") else None,
        # the function's name: Isaac Lab has one for either
        relative={"joint_pos": False, "joint_pos_rel": True}.get(name),
    )


def _floats(values: Any) -> tuple[float, ...]:
    values = values[0] if values and isinstance(values[0], list) else values  # one row per simulated robot
    return tuple(float(value) for value in values)


def _one_or_all(value: Any) -> float | tuple[float, ...]:
    return _floats(value) if isinstance(value, list) else float(value)


def _gains(values: Any) -> tuple[float, ...] | None:
    """None where the simulator's own drives are off: then an actuator model moves the joints."""
    gains = _floats(values) if values else ()
    return gains if any(gains) else None
