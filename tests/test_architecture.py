"""Who may import whom: the robot's computer and the signal path depend on it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "wildrobot"

ROOMS = (
    "core",
    "robot_description",
    "signal_path",
    "simulation",
    "firmware_bridge",
    "runtime",
    "training",
    "export",
    "view",
    "reports",
    "cli",
)
"""A room imports from itself and from rooms before it; `docs/architecture.md` says what each holds."""
LARGEST_PACKAGE = 16
"""Modules at a package's own level, its `__init__` among them."""
# Packages of the extras: where they may be imported at the top of a module.
HEAVY = {
    "torch": {"training", "export"},
    "mujoco": {
        "training",
        "export",
        "view",
        "robot_description/mujoco_model.py",
        "simulation",
        "firmware_bridge/virtual/physics.py",
    },
    "av": {"training", "simulation/video.py"},
    "onnx": {"export"},
    "pyarrow": {"runtime/logs/parquet.py"},
    "mcap": {"runtime/logs/mcap_file.py"},
    "google": {"runtime/logs/protobuf_messages.py"},
    "viser": {"view"},
    "mjviser": {"view"},
    "matplotlib": set(),
}


def sources() -> list[Path]:
    return [path for path in sorted(ROOT.rglob("*.py")) if "wildrobot_lcm" not in path.parts]


def room_of(name: str) -> str:
    """The room of a module by its full name; of `wildrobot` itself: nothing."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else ""


def name_of(path: Path) -> str:
    """`wildrobot.core.files` of .../core/files.py."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def names() -> frozenset[str]:
    """All modules."""
    return frozenset(name_of(path) for path in sources())


def imported(tree: ast.AST, path: Path, top_level: bool, typing: bool = False) -> Iterator[str]:
    """Full names of imported modules; `top_level`: those that run when the module is imported.

    With `typing` those too that only a type checker follows.
    """
    package = ("wildrobot", *path.relative_to(ROOT).parent.parts)
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not typing:
            pending.extend(node.orelse)
            continue
        if top_level and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            name = ".".join(filter(None, (base, node.module)))
            members = [f"{name}.{alias.name}" for alias in node.names]
            yield from members
            if not set(members) <= names():  # something of the module itself
                yield name
        pending.extend(ast.iter_child_nodes(node))


@cache
def imports_of(path: Path, top_level: bool = False, typing: bool = True) -> frozenset[str]:
    """Our own modules that a module imports, however."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(imported(tree, path, top_level, typing)) & names() - {name_of(path)}


def circles(graph: dict[str, frozenset[str]]) -> list[list[str]]:
    """Groups of modules that reach each other (Tarjan's strongly connected components of more than one)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph.get(name, ()):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = [stack.pop()]
            while group[-1] != name:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for name in graph:
        if name not in index:
            visit(name)
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_itself_and_rooms_above_it(path: Path) -> None:
    room = room_of(name_of(path))
    if not room:
        assert path.name in ("__init__.py", "__main__.py"), f"{path.relative_to(ROOT)} stands in no room"
        return
    below = {name for name in imports_of(path) if ROOMS.index(room_of(name) or "core") > ROOMS.index(room)}
    assert not below, f"{name_of(path)} imports {', '.join(sorted(below))}, in a room below its own"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Neither directly nor over others, nor inside functions, nor for a type checker only."""
    assert not circles({name_of(path): imports_of(path) for path in sources()})


def test_a_circle_is_found_where_there_is_one() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": {"f"}, "f": {"e"}}
    assert sorted(circles({k: frozenset(v) for k, v in graph.items()})) == [["a", "b", "c"], ["e", "f"]]


def test_no_package_is_too_large_to_look_through() -> None:
    sizes = Counter(path.parent.relative_to(ROOT).as_posix() for path in sources())
    assert {name: size for name, size in sizes.items() if size > LARGEST_PACKAGE} == {}


def test_a_class_name_means_one_thing() -> None:
    homes: dict[str, list[str]] = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(name_of(path))
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


def test_every_room_says_what_it_is_for() -> None:
    for path in sources():
        if path.name == "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_packages_of_the_extras_are_imported_only_where_they_are_installed(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    place = {room_of(name_of(path)), path.relative_to(ROOT).as_posix()}
    for name in imported(tree, path, top_level=True):
        package = name.split(".")[0]
        assert package not in HEAVY or place & HEAVY[package], (
            f"{name} at the top of {path.relative_to(ROOT)}"
        )


def test_the_import_reader_sees_each_kind_of_import_and_tells_lazy_ones_apart() -> None:
    source = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import a
import b.c
from . import d
from wildrobot.runtime import e
from wildrobot.runtime import robots
def f():
    import g
"""
    path = ROOT / "export" / "x.py"
    tree = ast.parse(source)
    top = {
        "typing",
        "typing.TYPE_CHECKING",
        "b.c",
        "wildrobot.export",
        "wildrobot.export.d",
        "wildrobot.runtime",
        "wildrobot.runtime.e",
        "wildrobot.runtime.robots",
    }
    assert set(imported(tree, path, top_level=True)) == top
    assert set(imported(tree, path, top_level=False)) == {*top, "g"}
    assert set(imported(tree, path, top_level=False, typing=True)) == {*top, "g", "a"}


def test_no_code_takes_the_robot_for_wildrobot() -> None:
    """A robot is loaded from the file that the caller names; a default is the command line's business."""
    found = [
        str(path.relative_to(ROOT))
        for path in sources()
        if "load_robot()" in path.read_text(encoding="utf-8")
    ]
    assert not found
