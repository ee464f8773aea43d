"""Only the safety supervisor writes to a robot: no other module could, were it to try."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_architecture import ROOT, sources

MAKERS = {"open_robot", "DynamixelRobot", "SimRobot", "StillRobot"}
"""Whose answer is a whole robot."""
TAKERS = {"SafetySupervisor"}
"""Who may be handed one."""
WRITING = {"write", "set_stiffness", "close"}
READING = {"read", "health", "truth", "lockstep", "simulation"}


def holds_the_pen(path: Path) -> bool:
    return path == ROOT / "runtime/control/safety.py" or ROOT / "runtime/robots" in path.parents


def others() -> list[Path]:
    return [path for path in sources() if not holds_the_pen(path)]


def faults(text: str) -> Iterator[str]:
    """What a module does with a robot that it may not."""
    tree = ast.parse(text)
    parent = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    robots = {"robot", "_robot"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in MAKERS:
            above = parent[node]
            if isinstance(above, ast.Assign) and isinstance(above.targets[0], ast.Name):
                robots.add(above.targets[0].id)
            elif not (isinstance(above, ast.Call) and _name(above.func) in TAKERS) and not isinstance(
                above, ast.Return
            ):
                yield f"line {node.lineno}: a robot is made and goes to {ast.unparse(above)}"
    made = robots - {"robot", "_robot"} | ({"robot"} if MAKERS & _called(tree) else set())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (
            node.attr == "set_stiffness" or (node.attr in WRITING and _name(node.value) in robots)
        ):
            yield f"line {node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.Constant) and node.value == "set_stiffness":
            yield f"line {node.lineno}: set_stiffness by name"
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in made:
            above = parent[node]
            if isinstance(above, ast.Attribute):
                fine = above.attr in READING
            else:
                fine = isinstance(above, ast.Call) and _name(above.func) in TAKERS
            if not fine:
                yield f"line {node.lineno}: a whole robot goes to {ast.unparse(above)}"


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _called(tree: ast.AST) -> set[str]:
    return {_name(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("path", others(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_but_the_safety_supervisor_reaches_what_moves_a_robot(path: Path) -> None:
    assert not list(faults(path.read_text(encoding="utf-8")))


def test_only_the_supervisor_is_given_the_whole_robot_as_an_argument() -> None:
    """By the annotation, which the type checker holds everybody to."""
    takers: set[str] = set()
    for path in others():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.arg) and node.annotation is not None:
                kinds = {_name(part) for part in ast.walk(node.annotation) if isinstance(part, ast.expr)}
                if kinds & {"Robot", "DynamixelRobot", "SimRobot", "StillRobot"}:
                    takers.add(str(path.relative_to(ROOT)))
    assert not takers


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("safety = SafetySupervisor(spec, open_robot(name, spec, options))\nsafety.close()", 0),
        ("robot = open_robot(name)\nsafety = SafetySupervisor(spec, robot)\nReel(robot.simulation)", 0),
        ("machine = SimRobot(spec)\nmachine.write(target)", 1),
        ("machine = open_robot(name)\nsend = machine.write", 1),
        ("machine = open_robot(name)\nother = machine", 1),
        ("controller.robot.write(target)", 1),
        ("self._robot.set_stiffness(1.0)", 1),
        ("getattr(anything, 'set_stiffness')(1.0)", 1),
        ("open_robot(name).close()", 1),
        ("frame = safety.view.read()\nfile.write(text)", 0),
    ],
)
def test_what_may_not_be_done_with_a_robot_is_found(text: str, count: int) -> None:
    assert len({found.split(":")[0] for found in faults(text)}) == count
