"""The simulated robot that `wildrobot view --sim` brings along: `wildrobot-run` as a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

from wildrobot.core.errors import UserError


class SimulatedRun:
    """Runs a policy on the simulated robot, commanded over LCM; `restart` begins anew, after an E-STOP say."""

    def __init__(self, policy: Path, lcm_url: str, name: str, robot_file: Path | None = None) -> None:
        """`name`: the simulation's own, so that nobody else obeys what is meant for it. `robot_file`: robot.yaml of the
        robot that the policy is of; None: WildRobot's.

        Raises:
            UserError: there is no such policy.
        """
        if not policy.is_file():
            raise UserError(f"there is no policy {policy}. Give an .onnx file made by `wildrobot export`.")
        self._command = [
            sys.executable, "-m", "wildrobot", "run", str(policy), "--robot", "sim", "--lcm-command",
            "--lcm-url", lcm_url, "--name", name,
        ]  # fmt: skip
        if robot_file is not None:
            self._command += ["--robot-file", str(robot_file)]
        self._lock = threading.Lock()  # two viewers may ask for a restart at once
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, stdin=subprocess.DEVNULL)

    def restart(self) -> None:
        """End the present run, if it has not ended itself, and start another."""
        with self._lock:
            self.close()
            self._process = self._start()

    def close(self) -> None:
        """End the run. Ctrl-C in the terminal has told it already; a second signal lets go at once."""
        for wait_s, number in ((0.2, signal.SIGINT), (0.5, signal.SIGINT), (3.0, signal.SIGKILL)):
            try:
                self._process.wait(wait_s)
                return
            except subprocess.TimeoutExpired:
                self._process.send_signal(number)
        self._process.wait()
