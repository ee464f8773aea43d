"""Every command of README and docs is run as written, or is named here with the reason why not, and is checked."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from doc_commands import PAGES, ROOT, all_commands
from test_architecture import imports_of, name_of, room_of, sources
from test_report import write_run

from wildrobot.cli import main as cli
from wildrobot.cli.completion import collect

COMMANDS = all_commands()

# Run as written, one after the other, in a folder with a run.
RUN = (
    "wildrobot train --help",
    "wildrobot report runs/first",
    "wildrobot report runs/first --compare runs/second",
    "wildrobot completion bash > ~/.local/share/bash-completion/completions/wildrobot",
    "wildrobot-run --robot sim --fast --log walk.lcmlog --json walk.json",
    "wildrobot replay walk.lcmlog",
    "wildrobot replay walk.lcmlog --tolerance 1e-6",
    "wildrobot log info walk.lcmlog",
    "wildrobot log plot walk.lcmlog --out walk.html",
    "wildrobot log export walk.lcmlog --out walk.mcap",
    "wildrobot log export walk.lcmlog --out walk_parquet",
)
# Not run here: (pattern, reason). The first that fits counts.
REASONS = (
    (r"tests/robots/heron|runs/heron|heron\.lcmlog", "tests/test_second_robot.py runs it small"),
    (r"^make (test|setup|lint)$", "this is how the tests are run (.ci/run)"),
    (r"^make run$", "takes 16 minutes; tests/test_make_run.py runs its stages small"),
    (r"^wildrobot completion (zsh|fish) > ", "tests/test_completion.py runs what it prints"),
    (r"--port \$PORT|^PORT=|replay stand\.lcmlog", "tests/test_first_day.py follows that page"),
    (r"/dev/serial/|--port PORT|--port /tmp/wildrobot", "needs a robot, or a second terminal with the virtual one; "
                                                        "tests/test_virtual_pty.py and test_doctor.py run it"),
    (r"^(make view|wildrobot view)", "runs until it is stopped; tests/test_view_page.py starts it"),
    (r"^wildrobot virtual-robot ", "runs until it is stopped; tests/test_virtual_pty.py starts it"),
    (r"--keyboard|--gamepad|--lcm-command|gamepad learn", "waits for a person"),
    (r"--bench$|--duration 20$|--video walk.mp4 --fast$", "takes minutes; test_bench.py, test_run.py run it shorter"),
    (r"^wildrobot-run .* --fast ", "takes half a minute; the one with --log is run here"),
    (r"^wildrobot reference build", "takes minutes, needs motion capture; test_reference_build.py runs it small"),
    (r"^wildrobot reference show ", "needs a reference; tests/test_reference_show.py runs it"),
    (r"^wildrobot train ", "takes minutes; tests/test_resume.py runs it small"),
    (r"^wildrobot import-policy ", "needs another framework's network; tests/test_import_policy.py makes some"),
    (r"^wildrobot eval ", "takes minutes; tests/test_evaluation.py runs it small"),
    (r"^wildrobot film ", "takes a minute; tests/test_film.py runs it small"),
    (r"^torchrun ", "needs several machines, or a reference; tests/test_distributed.py runs it small"),
    (r"^wildrobot log diff ", "needs two runs; tests/test_log_commands.py runs it"),
    (r"^LCM=|^gcc ", "tests/test_decoder.py compiles it"),
    (r"^python scripts/", "writes into the repository; tests/test_docs.py, test_golden_logs.py judge what it wrote"),
    (r"^make lcm-spy$", "opens a window; tests/test_lcm_spy.py makes the jar and decodes with it"),
    (r"^tensorboard ", "another program"),
    (r"^python -m pytest tests/hil", "part of make test"),
    (r"^python benchmarks/", "takes minutes; make bench runs them"),
    (r"^(sudo|sh launch/|\./launch/|apt|systemctl|journalctl|chrt|pip |ssh|scp|git |pkill|lcm-)",
     "needs root, another machine or another program"),
)  # fmt: skip
PLACEHOLDERS = re.compile(r"^(PORT|POLICY|OLD|NEW|FOLDER|HOST|RUN)\b")


def plain(command: str) -> str:
    """Without the path of the environment, which the README's commands have."""
    return command.replace(".venv/bin/", "")


def reason(command: str) -> str:
    return next((why for pattern, why in REASONS if re.search(pattern, plain(command))), "")


@functools.cache
def known_words() -> dict[tuple[str, ...], list[str]]:
    return collect()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_docs_is_run_or_named_with_a_reason(command: str) -> None:
    assert plain(command) in RUN or reason(command), (
        f"{COMMANDS[command]} has a command that nobody runs: {command}. "
        "Put it into RUN, or its kind with a reason into REASONS."
    )


def test_no_entry_has_outlived_its_command() -> None:
    assert {plain(command) for command in COMMANDS} >= set(RUN)


def ours(command: str) -> list[str]:
    """The words after `wildrobot` of a command of ours; none of another."""
    words = shlex.split(plain(command).partition("|")[0])
    if words[:1] == ["torchrun"]:
        words = words[words.index("-m") + 1 :]
    for name, meant in (("wildrobot-run", ["run"]), ("wildrobot", [])):
        if words[:1] == [name]:
            return [*meant, *words[1:]]
    return []


@pytest.mark.parametrize("command", [command for command in COMMANDS if ours(command)])
def test_a_command_of_ours_exists_with_all_its_flags(command: str) -> None:
    words = ours(command)
    path: tuple[str, ...] = ()
    while (*path, *words[len(path) : len(path) + 1]) in known_words() and len(path) < len(words):
        path = (*path, words[len(path)])
    assert path, f"there is no command '{words[0]}'"
    flags = [word.partition("=")[0] for word in words if word.startswith("--")]
    assert set(flags) <= {*known_words()[path], "--help"}, f"wildrobot {' '.join(path)} has no such flag"


def test_every_command_that_loads_a_robot_takes_the_file_of_another_one() -> None:
    checked = set()
    for command in cli.COMMANDS:
        path = (ROOT / command.module.replace(".", "/")).with_suffix(".py")
        own = {command.module, *(name for name in imports_of(path) if room_of(name) in ("training", "cli"))}
        if not any("load_robot(" in source.read_text() for source in sources() if name_of(source) in own):
            continue
        for words, flags in known_words().items():
            if words[: len(command.words)] == command.words and "--help" in flags:
                assert "--robot-file" in flags, words
                checked.add(words)
    assert {("run",), ("train",), ("servo", "read"), ("make-run",)} <= checked


@pytest.mark.parametrize("command", COMMANDS)
def test_files_of_the_repository_that_a_command_names_are_there(command: str) -> None:
    for word in shlex.split(command):
        if re.match(r"(benchmarks|tests|scripts|launch|wildrobot|docs)/", word):
            assert any(ROOT.glob(word)), f"there is no {word}"


def test_benchmarks_of_the_docs_are_there_and_none_is_missing() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+\.py)`", text, re.MULTILINE))
    assert named == {path.name for path in (ROOT / "benchmarks").glob("*.py")}
    for command in re.findall(r"`(python benchmarks/[^`]*)`", text):
        _, script, *rest = shlex.split(command)
        source = (ROOT / script).read_text(encoding="utf-8")
        assert all(f'"{word}"' in source for word in rest if word.startswith("--")), command


def test_links_lead_somewhere_and_every_page_is_in_the_index() -> None:
    linked = set()
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            path = (page.parent / target).resolve()
            assert path.exists(), f"{page.name} links {target}"
            linked.add(path)
    index = ROOT / "docs" / "README.md"
    missing = [
        page.name for page in PAGES if page not in linked and page.parent == index.parent and page != index
    ]
    assert not missing, f"docs/README.md does not list {', '.join(missing)}"


def test_what_is_made_from_the_code_is_current() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    import generate_docs

    again = "run: python scripts/generate_docs.py"
    assert generate_docs.PICTURE.read_text(encoding="utf-8") == generate_docs.picture(), again
    text = generate_docs.TABLE.read_text(encoding="utf-8")
    assert text == generate_docs.page_with_table(text), again
    assert all(f"`{command.example}`" in text for command in cli.COMMANDS)
    text = generate_docs.REGISTERS.read_text(encoding="utf-8")
    assert text == generate_docs.page_with_registers(text), again


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has it: two runs, a home; what one command writes the next one finds."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "runs").mkdir()
    write_run(folder / "runs" / "first")
    write_run(folder / "runs" / "second")
    (folder / ".local" / "share" / "bash-completion" / "completions").mkdir(parents=True)
    programs = folder / "bin"
    programs.mkdir()
    for name, entry in (("wildrobot", "wildrobot_script"), ("wildrobot-run", "wildrobot_run_script")):
        (programs / name).write_text(
            f"#!{sys.executable}\nimport sys\nfrom wildrobot.cli.main import {entry}\nsys.exit({entry}())\n"
        )
        (programs / name).chmod(0o755)
    return folder


@pytest.mark.parametrize("command", RUN)
def test_it_runs_as_written(command: str, workplace: Path) -> None:
    environment = os.environ | {
        "HOME": str(workplace),
        "PATH": f"{workplace / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
    }
    done = subprocess.run(
        ["bash", "-c", command], cwd=workplace, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
