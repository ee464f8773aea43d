"""`wildrobot replay`: a recorded run through the same code again; the answers must be the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from wildrobot.core.errors import UserError
from wildrobot.core.files import is_stdout, write_json
from wildrobot.runtime.logs.decoding import read_configuration

if TYPE_CHECKING:
    from wildrobot.robot_description import RobotSpec
    from wildrobot.signal_path.policy import OnnxPolicy

DESCRIPTION = """Feed a log's raw sensor frames through the same code again and demand the same answers.

examples:
  wildrobot replay walk.lcmlog
  wildrobot replay walk.lcmlog --policy runs/first/policy.onnx --tolerance 1e-6
  wildrobot replay walk.lcmlog --robot dynamixel --port /dev/serial/by-id/usb-FTDI...

Where messages are missing or cannot be read, it goes on at the policy's next start. Until there it compares the
actions alone, and says for which ticks.

The last one plays the logged targets on a robot that hangs from its stand, and says per joint what came back. It asks
before it moves.

Exit code: 0 the same, 1 a difference (the first is named), 2 bad input."""


@dataclass
class ReplayOptions:
    """What to replay."""

    log: tyro.conf.Positional[Path]
    """Log of `wildrobot-run --log`, or of lcm-logger; of --log-rotate: a part, or the name that all parts share."""
    policy: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE [FILE ...]")] = ()
    """Where the policies are now, if they are not where they were recorded; they must be the same files."""
    tolerance: float = 0.0
    """Largest difference allowed. 0: equal to the last bit, which the machine of the recording must reach; on
    another kind of processor use 1e-6."""
    robot: Literal["dynamixel"] | None = None
    """Play the log's targets on this robot instead."""
    port: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    """Serial port of that robot."""
    calibration: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """That robot's calibration."""
    robot_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where the robot.yaml of another robot is now, if it is not where it was when the log was recorded."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write what was compared, or what came back of the robot, here; - prints it."""
    yes: bool = False
    """Do not ask: the robot hangs, and may move."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = tyro.cli(ReplayOptions, args=None if argv is None else list(argv), description=DESCRIPTION)
    if not options.tolerance >= 0:
        raise UserError(f"--tolerance is {options.tolerance}, expected 0 or more.")
    from wildrobot.robot_description.spec import DEFAULT_ROBOT, RobotSpec

    if options.robot is not None:
        return play(options)
    if options.port is not None:
        raise UserError("--port is for --robot dynamixel. Leave it out, or give both.")
    configuration = read_configuration(options.log)
    calibration = json.loads(configuration.json).get("calibration")
    spec = RobotSpec(_robot_file(options, configuration) or DEFAULT_ROBOT, calibration)
    if spec.robot_hash != configuration.robot_hash:
        raise UserError(
            f"the log was recorded with another robot description (hash "
            f"{configuration.robot_hash[:12]}, this one has {spec.robot_hash[:12]}). "
            "Replay it with the robot.yaml and MJCF of that time."
        )
    from wildrobot.runtime.logs.comparison import compare

    policies = RecordedPolicies(options.policy, spec)
    found = compare(options.log, spec, policies, options.tolerance)
    exactly = "to the last bit" if options.tolerance == 0 else f"within {options.tolerance:g}"
    if options.json is not None:
        write_json(options.json, asdict(found))
    if is_stdout(options.json):
        return 1 if found.difference else 0
    if found.difference is not None:
        print(f"{options.log}: {found.count} ticks the same {exactly}, then the\n{found.difference}")
    elif found.count:
        said = "features, observations, actions and targets the same"
        print(f"{options.log}: {found.count} ticks, {said} {exactly}")
    else:
        print(
            f"{options.log}: no start of the policy to begin with; what could be compared is the same {exactly}"
        )
    for line in found.lines():
        print(line)
    return 1 if found.difference else 0


def play(options: ReplayOptions) -> int:
    """Play the log's targets on a robot that hangs."""
    from wildrobot.robot_description import load_robot
    from wildrobot.runtime.logs.playback import play_log, print_figures

    configuration = read_configuration(options.log)
    spec = load_robot(_robot_file(options, configuration), options.calibration)
    figures = play_log(options.log, spec, options.port, options.yes)
    if not is_stdout(options.json):
        print_figures(figures)
    if options.json is not None:
        write_json(options.json, [asdict(entry) for entry in figures])
    return 0


def _robot_file(options: ReplayOptions, configuration: Any) -> Path | None:
    """robot.yaml of the recorded robot; None: WildRobot's own.

    Raises:
        UserError: it is not there.
    """
    path = options.robot_file or (Path(configuration.robot_file) if configuration.robot_file else None)
    if path is not None and not path.is_file():
        raise UserError(f"there is no robot description {path}. Say where it is now with --robot-file.")
    return path


def open_policy(path: Path, sha256: str, spec: RobotSpec) -> OnnxPolicy:
    """The policy of the recording."""
    from wildrobot.core.files import file_sha256
    from wildrobot.signal_path.policy import OnnxPolicy

    if not path.is_file():
        raise UserError(f"the policy of this log is not at {path}. Say where it is with --policy.")
    found = file_sha256(path)
    if found != sha256:
        raise UserError(
            f"{path} is not the policy of this log: SHA-256 {found[:12]}..., recorded {sha256[:12]}.... "
            "Give the file that was recorded with --policy."
        )
    return OnnxPolicy(path, spec)


class RecordedPolicies:
    """The policies that a `run_configuration` names, each opened once: from `files` by their SHA-256, else from where
    they were, else that which comes with WildRobot if it is the same."""

    def __init__(self, files: Sequence[Path], spec: RobotSpec) -> None:
        self._files, self._spec = files, spec
        self._open: dict[str, OnnxPolicy] = {}

    def __call__(self, configuration: Any) -> list[OnnxPolicy]:
        """In the order of their numbers."""
        return [self._policy(entry) for entry in json.loads(configuration.json)["policies"]]

    def _policy(self, entry: dict[str, str]) -> OnnxPolicy:
        from wildrobot.core.files import file_sha256

        digest = entry["sha256"]
        if digest not in self._open:
            same = [file for file in self._files if file.is_file() and file_sha256(file) == digest]
            path = (same or list(self._files) or [self._recorded(Path(entry["path"]), digest)])[0]
            self._open[digest] = open_policy(path, digest, self._spec)
        return self._open[digest]

    def _recorded(self, path: Path, digest: str) -> Path:
        """Where the policy was recorded; if it is gone from there, the shipped one, if that is the same."""
        from wildrobot.core.files import file_sha256
        from wildrobot.signal_path.shipped import POLICIES

        shipped = POLICIES.glob("*.onnx") if not path.is_file() else ()
        return next((file for file in shipped if file_sha256(file) == digest), path)
