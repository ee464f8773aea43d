"""What `import wildrobot` offers: light, documented, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_base_install import run

import wildrobot

PAGE = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
DOCUMENTED = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)


def test_the_page_lists_what_is_exported_and_nothing_else() -> None:
    assert sorted(DOCUMENTED) == wildrobot.__all__ == sorted(wildrobot._HOMES)
    assert set(dir(wildrobot)) == {*DOCUMENTED, "__version__"}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(wildrobot, name).__doc__


def test_all_of_it_comes_with_the_base_install() -> None:
    result = run(f"from wildrobot import {', '.join(DOCUMENTED)}")
    assert result.returncode == 0, result.stderr


def test_the_import_itself_is_light() -> None:
    code = "import sys, wildrobot; sys.exit('numpy' in sys.modules or 'wildrobot.core' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_another_name_is_missed_as_usual() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'walk'"):
        _ = wildrobot.walk


def test_the_page_s_program_runs() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found: dict[str, Any] = {}
    exec(program, found)
    spec, targets = found["spec"], found["targets"]
    assert targets.shape == (spec.num_joints,)
    assert ((spec.joint_lower <= targets) & (targets <= spec.joint_upper)).all()
