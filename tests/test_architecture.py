"""Who may import whom: the robot's computer and the signal path depend on it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "wildrobot"

# Small helpers that every part may use: errors, files, configuration, state of filters, arrays, rotations.
BASE = {"errors", "files", "config", "state", "arrays", "rotations", "__init__"}
MAY_IMPORT = {
    "robot_description": set(),
    "firmware_bridge": {"robot_description"},
    "runtime": {"robot_description", "firmware_bridge", "pages"},
    "training": {"robot_description", "runtime", "video", "pages"},
    "export": {"training", "runtime", "robot_description"},
    "pages": set(),
    "view": {"robot_description", "runtime"},
    "video": set(),
    "completion": {"cli"},
    "cli": set(),  # names its commands as text and imports the chosen one only
    "__main__": {"cli"},
}
# The runtime films a simulated run when asked to, through one lazy import.
LAZY = {"runtime": {"video"}}
# Packages of the extras: where they may be imported at the top of a module.
HEAVY = {
    "torch": {"training", "export"},
    "mujoco": {
        "training",
        "export",
        "video",
        "view",
        "robot_description/mujoco_model.py",
        "firmware_bridge/virtual/physics.py",
        "runtime/simulation.py",
        "runtime/robots/sim.py",
    },
    "av": {"training", "video"},
    "onnx": {"export"},
    "pyarrow": {"runtime/logs/parquet.py"},
    "mcap": {"runtime/logs/mcap_file.py"},
    "viser": {"view"},
    "mjviser": {"view"},
    "matplotlib": set(),
}


def sources() -> list[Path]:
    return [path for path in sorted(ROOT.rglob("*.py")) if "wildrobot_lcm" not in path.parts]


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(tree: ast.AST, path: Path, top_level: bool) -> Iterator[str]:
    """Full names of imported modules; `top_level`: those that run when the module is imported."""
    package = ("wildrobot", *path.relative_to(ROOT).parent.parts)
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        if top_level and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            name = ".".join(filter(None, (base, node.module)))
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names)
        pending.extend(ast.iter_child_nodes(node))


def our_parts(names: Iterator[str]) -> set[str]:
    parts = {name.split(".")[1] for name in names if name.startswith("wildrobot.")}
    return {part for part in parts if (ROOT / part).is_dir() or (ROOT / f"{part}.py").is_file()}


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_part_may(path: Path) -> None:
    tree, part = ast.parse(path.read_text(encoding="utf-8")), part_of(path)
    if part in BASE:
        assert our_parts(imported(tree, path, top_level=False)) <= BASE
        return
    allowed = MAY_IMPORT[part] | BASE | {part}
    assert our_parts(imported(tree, path, top_level=True)) <= allowed
    assert our_parts(imported(tree, path, top_level=False)) <= allowed | LAZY.get(part, set())


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_packages_of_the_extras_are_imported_only_where_they_are_installed(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    place = {part_of(path), path.relative_to(ROOT).as_posix()}
    for name in imported(tree, path, top_level=True):
        package = name.split(".")[0]
        assert package not in HEAVY or place & HEAVY[package], (
            f"{name} at the top of {path.relative_to(ROOT)}"
        )


def test_every_part_has_its_row_in_the_table() -> None:
    assert {part_of(path) for path in sources()} <= set(MAY_IMPORT) | BASE


def test_the_import_reader_sees_each_kind_of_import_and_tells_lazy_ones_apart() -> None:
    source = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import a
import b.c
from . import d
from wildrobot.runtime import e
def f():
    import g
"""
    path = ROOT / "export" / "x.py"
    tree = ast.parse(source)
    assert set(imported(tree, path, top_level=True)) == {
        "typing",
        "typing.TYPE_CHECKING",
        "b.c",
        "wildrobot.export",
        "wildrobot.export.d",
        "wildrobot.runtime",
        "wildrobot.runtime.e",
    }
    assert "g" in set(imported(tree, path, top_level=False))


def test_no_code_takes_the_robot_for_wildrobot() -> None:
    """A robot is loaded from the file that the caller names; a default is the command line's business."""
    found = [
        str(path.relative_to(ROOT))
        for path in sources()
        if "load_robot()" in path.read_text(encoding="utf-8")
    ]
    assert not found
