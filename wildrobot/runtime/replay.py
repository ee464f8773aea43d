"""`wildrobot replay`: a recorded run through the same code again; the answers must be the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro

from wildrobot.errors import UserError

if TYPE_CHECKING:
    from wildrobot.robot_description import RobotSpec
    from wildrobot.runtime.policy import OnnxPolicy
    from wildrobot.runtime.sensor_frame import SensorFrame

DESCRIPTION = """Feed a log's raw sensor frames through the same code again and demand the same answers.

examples:
  wildrobot replay walk.lcmlog
  wildrobot replay walk.lcmlog --policy policies/wildrobot_walk.onnx --tolerance 1e-6
  wildrobot replay walk.lcmlog --robot dynamixel --port /dev/serial/by-id/usb-FTDI...

The last one plays the logged targets on a robot that hangs from its stand, and says per joint what came back. It asks
before it moves.

Exit code: 0 the same, 1 a difference (the first is named), 2 bad input."""


@dataclass
class ReplayOptions:
    """What to replay."""

    log: tyro.conf.Positional[Path]
    """Log of `wildrobot-run --log`, or of lcm-logger."""
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
    """Write what came back here."""
    yes: bool = False
    """Do not ask: the robot hangs, and may move."""


@dataclass(frozen=True)
class Tick:
    """What the log says of one tick on which the policy ran."""

    number: int
    frame: SensorFrame
    policy: Any
    """policy_state_t"""
    configuration: Any
    """run_configuration_t, the last one before it; None: there was none."""


@dataclass(frozen=True)
class Difference:
    """The first place where recording and replay part."""

    tick: int
    field: str
    name: str
    recorded: float
    replayed: float

    def __str__(self) -> str:
        return (
            f"first difference: tick {self.tick}, {self.field}, {self.name}: "
            f"recorded {self.recorded!r}, replayed {self.replayed!r}, "
            f"difference {self.replayed - self.recorded:.3e}"
        )


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
    policies = RecordedPolicies(options.policy, spec)
    count, difference = compare(options.log, spec, policies, options.tolerance)
    exactly = "to the last bit" if options.tolerance == 0 else f"within {options.tolerance:g}"
    if difference is not None:
        print(f"{options.log}: {count} ticks the same {exactly}, then the\n{difference}")
        return 1
    print(f"{options.log}: {count} ticks, features, observations, actions and targets the same {exactly}")
    return 0


def play(options: ReplayOptions) -> int:
    """Play the log's targets on a robot that hangs."""
    from dataclasses import asdict

    from wildrobot.files import write_text
    from wildrobot.robot_description import load_robot
    from wildrobot.runtime.playback import play_log, print_figures

    configuration = read_configuration(options.log)
    spec = load_robot(_robot_file(options, configuration), options.calibration)
    figures = play_log(options.log, spec, options.port, options.yes)
    print_figures(figures)
    if options.json is not None:
        write_text(options.json, json.dumps([asdict(entry) for entry in figures], indent=2) + "\n")
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


def read_configuration(path: Path) -> Any:
    """The log's first `run_configuration` message."""
    from wildrobot.runtime.eventlog import read_log

    for event in read_log(path):
        if event.channel == "run_configuration":
            return decode(path, event.channel, event.data)
    raise UserError(
        f"{path} has no message on channel run_configuration, so it does not say which policy ran. "
        "Give a log of `wildrobot-run --log`."
    )


def decode(path: Path, channel: str, data: bytes) -> Any:
    """A message of a known channel."""
    from wildrobot.runtime.lcm_types import CHANNEL_TYPES

    try:
        return CHANNEL_TYPES[channel].decode(data)
    except Exception as error:
        raise UserError(
            f"{path}: a message on channel {channel} has another layout than this release knows. "
            "Replay the log with the release that wrote it."
        ) from error


def open_policy(path: Path, sha256: str, spec: RobotSpec) -> OnnxPolicy:
    """The policy of the recording."""
    from wildrobot.files import file_sha256
    from wildrobot.runtime.policy import OnnxPolicy

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
    they were."""

    def __init__(self, files: Sequence[Path], spec: RobotSpec) -> None:
        self._files, self._spec = files, spec
        self._open: dict[str, OnnxPolicy] = {}

    def __call__(self, configuration: Any) -> list[OnnxPolicy]:
        """In the order of their numbers."""
        return [self._policy(entry) for entry in json.loads(configuration.json)["policies"]]

    def _policy(self, entry: dict[str, str]) -> OnnxPolicy:
        from wildrobot.files import file_sha256

        digest = entry["sha256"]
        if digest not in self._open:
            same = [file for file in self._files if file.is_file() and file_sha256(file) == digest]
            path = (same or list(self._files) or [Path(entry["path"])])[0]
            self._open[digest] = open_policy(path, digest, self._spec)
        return self._open[digest]


def policy_ticks(path: Path) -> Iterator[Tick]:
    """The ticks on which a policy ran, each with its raw frame and the configuration of that time."""
    from wildrobot.runtime.eventlog import read_log
    from wildrobot.runtime.messages import frame_from_message

    state = configuration = None
    for event in read_log(path):
        if event.channel == "run_configuration":
            configuration = decode(path, event.channel, event.data)
        elif event.channel == "robot_state":
            state = decode(path, event.channel, event.data)
        elif event.channel == "policy_state":
            message = decode(path, event.channel, event.data)
            if state is None or state.tick != message.tick:
                raise UserError(
                    f"{path} has no sensor frame for tick {message.tick}: messages were lost. "
                    "Record on the machine that runs the robot, with `wildrobot-run --log`."
                )
            yield Tick(message.tick, frame_from_message(state), message, configuration)


def compare(
    path: Path, spec: RobotSpec, policies: Callable[[Any], Sequence[Any]], tolerance: float
) -> tuple[int, Difference | None]:
    """Replay until the first difference; returns (ticks that agreed, that difference or None).

    `policies` gives those that a `run_configuration_t` names.
    """
    from wildrobot.runtime.signal_path import SignalPath

    signal_path: Any = None
    count, previous = 0, -1
    for tick in policy_ticks(path):
        message = tick.policy
        if tick.configuration is None or (previous < 0 and not message.reset):
            continue  # the recording began in the middle: wait for a beginning
        if not message.reset and tick.number != previous + 1:
            raise UserError(
                f"{path} lacks the ticks {previous + 1} to {tick.number - 1}: messages were lost, "
                "and the estimator's memory cannot be rebuilt without them."
            )
        if message.reset:
            policy = policies(tick.configuration)[message.policy]
            # the log holds the command after heading hold, as the policy saw it
            signal_path = SignalPath(spec, policy.layout, heading_hold=False)
            signal_path.reset(tick.frame)
            names = field_names(spec, policy.layout)
        signal = signal_path.observe(tick.frame, np.array([message.command]))
        action = policy(signal.observation)
        replayed: dict[str, Any] = {
            "features": signal.features[0],
            "observation": signal.observation[0],
            "action": action[0],
        }
        if np.all(np.isfinite(action)):
            replayed["joint_target"] = signal_path.act(action)[0]
        for field, values in replayed.items():
            difference = first_difference(
                tick.number, field, names[field], getattr(message, field), values, tolerance
            )
            if difference is not None:
                return count, difference
        count, previous = count + 1, tick.number
    if count == 0:
        raise UserError(
            f"{path} has no tick on which the policy started and ran: there is nothing to compare."
        )
    return count, None


def field_names(spec: RobotSpec, layout: Any) -> dict[str, list[str]]:
    """A name for every value of every compared field."""
    from wildrobot.runtime.features import feature_names

    observation = [
        f"{term.name}[{i}] {term.frames - 1 - frame} ticks ago"
        for term in layout
        for frame in range(term.frames)
        for i in range(term.size)
    ]
    joints = list(spec.joint_names)
    return {
        "features": list(feature_names(spec)),
        "observation": observation,
        "action": joints,
        "joint_target": joints,
    }


def first_difference(
    tick: int, field: str, names: list[str], recorded: Any, replayed: Any, tolerance: float
) -> Difference | None:
    """The largest difference of one field (size,), if it is larger than allowed."""
    replayed = np.asarray(replayed)
    recorded = np.asarray(recorded, dtype=replayed.dtype)
    if recorded.shape != replayed.shape:
        raise UserError(
            f"tick {tick}: {field} has {recorded.size} values in the log and {replayed.size} now. "
            "Replay the log with the release that wrote it."
        )
    if recorded.tobytes() == replayed.tobytes():
        return None
    gap = np.abs(replayed.astype(np.float64) - recorded.astype(np.float64))
    gap = np.where(np.isnan(gap), np.where(np.isnan(recorded) & np.isnan(replayed), 0.0, np.inf), gap)
    worst = int(np.argmax(gap))
    if tolerance > 0 and gap[worst] <= tolerance:
        return None
    return Difference(tick, field, names[worst], float(recorded[worst]), float(replayed[worst]))
