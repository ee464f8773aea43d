"""docs/first_day.md, followed in real time: the page's own commands as programs in a terminal, the virtual robot in
another one, and a reader who knows nothing but the page. Prints what each step took; ends with 1 where one fails.

    make first-day
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from first_day_page import ACTIONS, PageCommand, line_to_type, page_commands

ROOT = Path(__file__).resolve().parents[1]
MODULE = {"wildrobot": ["-m", "wildrobot"], "wildrobot-run": ["-m", "wildrobot", "run"]}
LIMIT_S = 900.0
MOVES_S = 2.0
"""What hands take for what a line asks for."""
STANDS_S = 2.0
QUESTION = re.compile(
    r"(\[y/N\] |Enter when done, s to skip: |then press Enter |then press Enter, and [^\n]*\n(?:.*\n)?)\Z"
)


class Terminal:
    """A program in a terminal of its own: what it says, and keys."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self._leader, follower = pty.openpty()
        self.process = subprocess.Popen(
            words, cwd=folder, stdin=follower, stdout=follower, stderr=follower, start_new_session=True
        )
        os.close(follower)
        self.said = ""
        self.seen = 0
        """How much of it was answered."""

    def listen(self, seconds: float) -> bool:
        """Take what it says meanwhile; False: it has ended and said all."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self._leader], [], [], left)[0]:
                break
            try:
                data = os.read(self._leader, 65536)
            except OSError:  # its end is closed
                data = b""
            if not data:
                return False
            self.said += data.decode(errors="replace").replace("\r\n", "\n")
        return True

    def type(self, line: str) -> None:
        os.write(self._leader, f"{line}\n".encode())

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._leader)


class Reader:
    """Follows the page."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, folder / "wildrobot"
        self.virtual: Terminal | None = None
        self.robot_words: list[str] = []

    def follow(self, command: PageCommand) -> str:
        """Do one line of the page; what went wrong, or nothing."""
        words = shlex.split(command.text.replace("$PORT", str(self.port)))
        if words[:2] == ["wildrobot", "virtual-robot"]:
            self.robot_words = words
            self.start_robot(words)
            return ""
        if command.before.startswith("set it down"):
            self.start_robot(on_the_floor(self.robot_words))
        elif command.before:
            self.do(line_to_type(command.before), command.before)
        program = Terminal(self.program(words), ROOT if "pytest" in words else self.folder)
        try:
            return self.attend(program, command)
        finally:
            program.close()

    def program(self, words: list[str]) -> list[str]:
        """The words as they are started here, with this Python."""
        if words[0].endswith("python"):
            files = [str(self.folder / word) if word.endswith(".yaml") else word for word in words[1:]]
            return [sys.executable, *files]
        return [sys.executable, *MODULE[words[0]], *words[1:]]

    def start_robot(self, words: list[str]) -> None:
        if self.virtual is not None:
            self.virtual.interrupt()
            self.virtual.process.wait(20.0)
            self.virtual.close()
        words = [str(self.port) if word == "/tmp/wildrobot" else word for word in words]
        self.virtual = Terminal([sys.executable, *MODULE["wildrobot"], *words[1:]], self.folder)
        while "Ctrl-C ends it" not in self.virtual.said:
            if not self.virtual.listen(0.2):
                raise SystemExit(self.virtual.said)

    def do(self, line: str | None, said: str) -> None:
        """Hands, by a line typed at the virtual robot."""
        if line is None:
            raise SystemExit(f"the page does not say what to do about: {said}")
        assert self.virtual is not None
        self.virtual.listen(0.0)
        self.virtual.type(line)

    def attend(self, program: Terminal, command: PageCommand) -> str:
        """Answer what it asks, act while it stands, and judge its end."""
        began, stood_s, todo = time.monotonic(), None, command.while_it_stands
        while program.listen(0.1):
            if time.monotonic() - began > LIMIT_S:
                return f"not done after {LIMIT_S:g} s:\n{program.said[-2000:]}"
            new = program.said[program.seen :]
            if QUESTION.search(new) or "Ctrl-C ends the program, and nothing moves" in new:
                program.seen = len(program.said)
                self.answer(program, new)
            if "standing_up -> standing" in program.said and stood_s is None:
                stood_s = time.monotonic()
            if todo and stood_s is not None and time.monotonic() - stood_s > STANDS_S:
                self.act(program, todo)
                todo = ""
        code = program.process.wait()
        if command.while_it_stands == "kill -9 it":
            return (
                "" if code == -signal.SIGKILL else f"ended with {code} before it was killed:\n{program.said}"
            )
        if command.while_it_stands:
            time.sleep(5.0)  # cable and switch are back, servos have booted
        if todo:
            return f"never stood:\n{program.said[-3000:]}"
        if "--bench" in command.text and code == 1:
            print("this computer is not fit to walk, by its own test; going on")
            return ""
        return "" if code == command.code else f"ended with {code}:\n{program.said[-3000:]}"

    def answer(self, program: Terminal, question: str) -> None:
        question = question.strip().splitlines()[-1]
        if "[y/N]" in question:
            program.type("y")
            return
        line = line_to_type(question)
        if line is not None:
            self.do(line, question)
            time.sleep(0.3 if line.startswith("press") and "keep it pressed" in question else MOVES_S)
        program.type("")

    def act(self, program: Terminal, todo: str) -> None:
        if todo in ACTIONS:
            self.do(ACTIONS[todo], todo)
        elif todo == "kill -9 it":
            program.process.kill()
        else:
            program.interrupt()
            if todo.endswith("twice"):
                time.sleep(0.3)
                program.interrupt()


def on_the_floor(words: list[str]) -> list[str]:
    """The words that start the virtual robot, without --suspended and --new-servo."""
    kept, skip = [], False
    for word in words:
        skip = word in ("--suspended", "--new-servo") or (skip and not word.startswith("--"))
        if not skip:
            kept.append(word)
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--until", metavar="PART", help="end after this part of the page, 1 to 6")
    parser.add_argument("--go-on", action="store_true", help="go on after a step that fails")
    arguments = parser.parse_args()
    # a network of its own: what is rehearsed here must not be heard by a robot
    os.environ["LCM_DEFAULT_URL"] = f"udpm://239.255.76.67:{20000 + os.getpid() % 20000}?ttl=0"
    with tempfile.TemporaryDirectory() as name:
        reader, section, began = Reader(Path(name)), "", time.monotonic()
        taken: dict[str, float] = {}
        failed = 0
        try:
            for command in page_commands():
                if command.text.startswith("PORT=") or "needs a gamepad" in command.note:
                    continue
                part = command.section.partition(".")[0]
                if arguments.until is not None and part.isdigit() and int(part) > int(arguments.until):
                    break
                section, began = command.section, time.monotonic()
                wrong = reader.follow(command)
                if "the same command goes on there" in wrong:
                    print(f"repeated, as it says: {wrong.splitlines()[-2:]}", flush=True)
                    wrong = reader.follow(command)
                seconds = time.monotonic() - began
                taken[section] = taken.get(section, 0.0) + seconds
                done = "FAILED" if wrong else "ok"
                print(f"{done:<7}{seconds:6.1f} s  {command.text}  {command.note}", flush=True)
                if wrong:
                    print(wrong)
                    failed += 1
                    if not arguments.go_on:
                        return 1
        finally:
            if reader.virtual is not None:
                reader.virtual.close()
        for title, seconds in taken.items():
            print(f"{seconds / 60.0:5.1f} min  {title}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
