"""Files are whole or not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wildrobot.core.errors import UserError
from wildrobot.core.files import alone_with, atomic_write, write_json, write_text


def test_the_file_appears_with_its_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "a.txt"
    write_text(path, "whole")
    assert path.read_text() == "whole"
    assert [item.name for item in path.parent.iterdir()] == ["a.txt"]


def test_nothing_is_at_the_path_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".txt"
    assert path.read_text() == "half"


def test_an_error_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("new, but cut sh")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_text(tmp_path / "atomic", "")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*file/inside/a\.txt: .*Choose a folder"):
        write_text(tmp_path / "file" / "inside" / "a.txt", "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UserError, match="Permission denied"):
            write_text(tmp_path / "a.txt", "")
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_at_the_path_is_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        write_text(tmp_path / "a", "")
    assert os.listdir(tmp_path) == ["a"]


def test_two_processes_do_not_make_the_same_thing(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    path = tmp_path / "runs" / "walk"
    holds = (
        "import sys, time\nfrom wildrobot.core.files import alone_with\n"
        "with alone_with(sys.argv[1]):\n    print('in', flush=True)\n    time.sleep(60.0)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", holds, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with (
            pytest.raises(UserError, match=f"process {other.pid} has {path} already"),
            alone_with(path),
        ):
            pass
        with alone_with(path.with_name("another")):
            pass
    finally:
        other.kill()  # the lock falls with it
        other.wait()
    with alone_with(path):
        assert (path.parent / ".walk.lock").read_text() == f"{os.getpid()}\n"


def test_a_json_file_holds_no_number_that_json_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_json(
        path, {"a": (float("nan"), 1.5, {"b": [float("inf")]}), "c": Path("x/y"), "d": None, "e": True}
    )
    document = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert document == {"a": [None, 1.5, {"b": [None]}], "c": "x/y", "d": None, "e": True}
