"""What a policy made elsewhere reads and answers, as far as somebody has said so."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from wildrobot.core.config import from_dict


@dataclass
class ImportFindings:
    """What stands in the way of an import, and what a person must know of one."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ForeignTerm:
    """One term of the observation: `history` ticks, oldest first, of scale * clip(value). None: not said."""

    term: str
    """Its name there."""
    means: str | None = None
    """What it is, by a name that `terms.KINDS` knows, if its own says nothing or something else."""
    scale: float | tuple[float, ...] | None = None
    clip: tuple[float, float] | None = None
    history: int | None = None
    frame: Literal["pelvis", "torso"] | None = None
    """Whose axes a velocity is in."""
    joints: tuple[str, ...] | None = None
    """Of a term with one value per joint: which, in their order; default: all."""
    relative: bool | None = None
    """Joint positions less `default_joint_pos`, or as they are."""


@dataclass(frozen=True)
class ForeignPolicy:
    """A whole policy: target = offset + scale * clip(action). None: not said. Units: rad, N m/rad, N m s/rad.

    Lists have one value per joint: of `action_joints` what belongs to the action, of `joint_names` the rest. One number
    stands for all.
    """

    control_hz: float | None = None
    joint_names: tuple[str, ...] | None = None
    """The order of the observation's joints."""
    default_joint_pos: float | tuple[float, ...] | None = None
    joint_stiffness: float | tuple[float, ...] | None = None
    joint_damping: float | tuple[float, ...] | None = None
    action_joints: tuple[str, ...] | None = None
    """Default: `joint_names`."""
    action_scale: float | tuple[float, ...] | None = None
    action_offset: float | tuple[float, ...] | None = None
    """Default: `default_joint_pos`."""
    action_clip: float | None = None
    """The network's answer is cut to plus or minus this."""
    target_clip: tuple[tuple[float, float], ...] | None = None
    """The targets are cut to these ranges."""
    observations: tuple[ForeignTerm, ...] = ()
    rename: dict[str, str] = field(default_factory=dict)
    """Joint names there to joint names here."""


def read_description(data: dict[str, Any], path: Path) -> ForeignPolicy:
    """A description of this project's own format.

    Raises:
        UserError: an unknown key, or a value of another type.
    """
    return from_dict(ForeignPolicy, data, where=str(path))


def amended(known: ForeignPolicy, own: ForeignPolicy, source: str, findings: ImportFindings) -> ForeignPolicy:
    """`known`, with what `own` (of the file `source`) says in place of what it said.

    Terms that nobody named before are taken in `own`'s order, with scale 1 and no history where it says nothing.
    """
    changes = {
        item.name: getattr(own, item.name)
        for item in dataclasses.fields(ForeignPolicy)
        if getattr(own, item.name) not in (None, (), {})
    }
    if own.observations:
        names = [term.term for term in known.observations]
        strange = [term.term for term in own.observations if term.term not in names]
        if not names:
            changes["observations"] = tuple(_with_defaults(term) for term in own.observations)
        elif strange:
            findings.problems.append(
                f"observations: {source} describes {', '.join(strange)}, but the policy's terms are {', '.join(names)}"
            )
            del changes["observations"]
        else:
            changes["observations"] = tuple(
                _amended_term(term, next((t for t in own.observations if t.term == term.term), None))
                for term in known.observations
            )
    return dataclasses.replace(known, **changes)


def _amended_term(known: ForeignTerm, own: ForeignTerm | None) -> ForeignTerm:
    if own is None:
        return known
    said = {name: value for name, value in vars(own).items() if value is not None}
    return dataclasses.replace(known, **said)


def _with_defaults(term: ForeignTerm) -> ForeignTerm:
    return dataclasses.replace(
        term,
        scale=1.0 if term.scale is None else term.scale,
        history=1 if term.history is None else term.history,
    )


def per_joint(
    value: float | tuple[float, ...] | None, count: int, name: str, findings: ImportFindings
) -> tuple[float, ...] | None:
    """`count` numbers of one or of a list; None, and a problem, where there are none or another number of them."""
    if value is None:
        findings.problems.append(f"{name}: neither the file nor a description says it")
        return None
    values = (value,) * count if isinstance(value, float) else value
    if len(values) != count:
        findings.problems.append(f"{name}: {len(values)} values for {count} joints")
        return None
    if not all(math.isfinite(one) for one in values):
        findings.problems.append(f"{name}: {list(values)} are not all numbers")
        return None
    return values
