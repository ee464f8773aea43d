"""Which of another framework's joints is which of this robot's."""

from __future__ import annotations

from dataclasses import dataclass

from wildrobot.core.nearest import nearest
from wildrobot.export.elsewhere.description import ForeignPolicy, ImportFindings, per_joint
from wildrobot.robot_description import RobotSpec


@dataclass(frozen=True)
class Joints:
    """A policy's joints as this robot's: names there to indices here; default position, scale and offset by index."""

    of_name: dict[str, int]
    names: tuple[str, ...]
    acting: tuple[str, ...]
    default: dict[int, float]
    scale: dict[int, float]
    offset: dict[int, float]


def match_joints(policy: ForeignPolicy, spec: RobotSpec, findings: ImportFindings) -> Joints | None:
    """Whose joint is which; None, and problems, where that cannot be said."""
    if policy.joint_names is None:
        findings.problems.append(
            "joint_names: neither the file nor a description says the order of the joints. MuJoCo and mjlab count "
            f"depth-first, which is {', '.join(depth_first(spec))} for this robot; Isaac Sim breadth-first, which is "
            f"likely {', '.join(breadth_first(spec))}. Take it from the training, not from here"
        )
        return None
    acting = policy.action_joints or policy.joint_names
    of_name, count = {}, len(findings.problems)
    for name in dict.fromkeys((*policy.joint_names, *acting)):
        here = policy.rename.get(name, name)
        here = here if here in spec.joint_names else here.removesuffix("_joint")
        if here in spec.joint_names:
            of_name[name] = spec.joint_names.index(here)
            continue
        near = nearest(here, spec.joint_names)
        hint = f"{near}?" if near else f"it has {', '.join(spec.joint_names)}"
        findings.problems.append(
            f"joint_names: {spec.name} has no joint '{name}' ({hint}); name the same one with `rename` in a description"
        )
    for role, names in (("joint_names", policy.joint_names), ("action_joints", acting)):
        if len({of_name.get(name, name) for name in names}) < len(names):
            findings.problems.append(f"{role}: {', '.join(names)} name a joint twice")
    default = per_joint(policy.default_joint_pos, len(policy.joint_names), "default_joint_pos", findings)
    scale = per_joint(policy.action_scale, len(acting), "action_scale", findings)
    if scale is not None and not all(scale):
        findings.problems.append(
            f"action_scale: {list(scale)} holds a 0, with which a joint is not moved at all"
        )
    offset: tuple[float, ...] | None = None
    if policy.action_offset is not None:
        offset = per_joint(policy.action_offset, len(acting), "action_offset", findings)
    elif default is not None and set(acting) <= set(policy.joint_names):
        offset = tuple(default[policy.joint_names.index(name)] for name in acting)
    elif default is not None:
        findings.problems.append(
            "action_offset: said nowhere, for joints that default_joint_pos does not have"
        )
    if len(findings.problems) > count or default is None or scale is None or offset is None:
        return None
    places = [of_name[name] for name in acting]
    return Joints(
        of_name,
        policy.joint_names,
        acting,
        dict(zip((of_name[name] for name in policy.joint_names), default, strict=True)),
        dict(zip(places, scale, strict=True)),
        dict(zip(places, offset, strict=True)),
    )


def depth_first(spec: RobotSpec) -> list[str]:
    """Joint names as MuJoCo counts them."""
    return [body.joint.name for body in spec.tree.bodies if body.joint is not None]


def breadth_first(spec: RobotSpec) -> list[str]:
    """Joint names level by level, as PhysX counts the joints of an articulation."""
    bodies, depth = spec.tree.bodies, [0]
    for body in bodies[1:]:
        depth.append(depth[body.parent] + 1)
    order = sorted(range(len(bodies)), key=lambda i: depth[i])
    return [joint.name for i in order if (joint := bodies[i].joint) is not None]
