"""The extras of the package: what pyproject.toml promises and what the program says where one is missing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from test_base_install import run

from wildrobot.cli.common.extras import CONTAINED, EXTRA_OF, missing_extra

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
NOT_OF_A_USER = ("bench", "dev")


def names(requirements: list[str]) -> set[str]:
    """What is required, without wildrobot itself."""
    return {re.split(r"[^\w-]", text)[0] for text in requirements} - {"wildrobot"}


def test_the_table_is_pyproject_s() -> None:
    promised = {
        name: extra for extra, needs in EXTRAS.items() if extra not in NOT_OF_A_USER for name in names(needs)
    }
    assert promised == EXTRA_OF
    contained = {
        extra: tuple(match[1].split(","))
        for extra, needs in EXTRAS.items()
        if extra not in NOT_OF_A_USER
        for need in needs
        if (match := re.match(r"wildrobot\[([\w,]+)\]", need))
    }
    assert contained == CONTAINED


def test_a_command_s_own_extra_is_named_where_it_brings_the_package_along() -> None:
    assert missing_extra("mujoco", "train") == "train"
    assert missing_extra("mujoco.viewer") == "sim"
    assert missing_extra("torch", "sim") == "train"
    assert missing_extra("google.protobuf") == "log"
    assert missing_extra("numpy") is None


# Each needs its extra only after its module was imported: the virtual robot its physics, the run its simulator.
@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("run", "'wildrobot run' needs the Python package 'mujoco', which is not installed. Install it with: "
                "pip install 'wildrobot[sim]'"),
        ("virtual-robot", "'wildrobot virtual-robot' needs the Python package 'mujoco', which is not installed. "
                          "Install it with: pip install 'wildrobot[sim]'"),
        ("make-run", "'wildrobot make-run' needs the Python package 'mujoco', which is not installed. "
                     "Install it with: pip install 'wildrobot[train]'"),
    ],
)  # fmt: skip
def test_a_lack_that_shows_on_the_way_is_one_line_too(words: str, line: str) -> None:
    result = run(
        "from wildrobot.cli.main import main; from wildrobot.core.errors import run_main; "
        f"sys.exit(run_main(main, {words.split()!r}))"
    )
    assert result.returncode == 2
    assert result.stderr == f"error: {line}\n"
    assert result.stdout == ""
