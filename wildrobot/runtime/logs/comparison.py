"""A recording and the same ticks computed again: what agrees, and the first place where the two part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.logs.decoding import observation_names, read_messages, slice_parts
from wildrobot.runtime.telemetry.messages import frame_from_message
from wildrobot.signal_path.command import COMMAND_NAMES
from wildrobot.signal_path.features import feature_names
from wildrobot.signal_path.path import SignalPath
from wildrobot.signal_path.sensor_frame import SensorFrame


@dataclass(frozen=True)
class Tick:
    """What the log says of one tick on which the policy ran."""

    number: int
    frame: SensorFrame | None
    """None: the log has lost it."""
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


@dataclass
class Comparison:
    """What a replay compared: stretches of ticks, each (first, last)."""

    whole: list[tuple[int, int]]
    """Features, observation, action and target, computed from the raw frames."""
    outputs: list[tuple[int, int]]
    """The action alone, computed from the recorded observation: the memory of estimator and history was lost with
    ticks before, and comes back with the policy's next start."""
    left_out: int = 0
    """Ticks before which the log has no configuration: nobody knows which policy ran."""
    difference: Difference | None = None

    @property
    def count(self) -> int:
        """Ticks compared whole."""
        return _ticks_in(self.whole)

    def lines(self) -> Iterator[str]:
        """What a person must know beside the number of ticks compared."""
        if self.outputs:
            yield (
                f"only the actions, from the recorded observations: {_ticks_in(self.outputs)} ticks "
                f"({_spans(self.outputs)}), because ticks before them are missing and the estimator's memory with them"
            )
        if self.left_out:
            yield f"not compared: {self.left_out} ticks, with no run_configuration before them"


def _ticks_in(stretches: Sequence[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in stretches)


def _spans(stretches: Sequence[tuple[int, int]], most: int = 6) -> str:
    shown = [f"{first} to {last}" for first, last in stretches[:most]]
    return ", ".join([*shown, f"and {len(stretches) - most} more"] if len(stretches) > most else shown)


def _extend(stretches: list[tuple[int, int]], tick: int) -> None:
    if stretches and stretches[-1][1] == tick - 1:
        stretches[-1] = (stretches[-1][0], tick)
    else:
        stretches.append((tick, tick))


def policy_ticks(path: Path) -> Iterator[Tick]:
    """The ticks on which a policy ran, each with its raw frame and the configuration of that time."""
    state = configuration = None
    for channel, message in read_messages(path, ("run_configuration", "robot_state", "policy_state")):
        if channel == "run_configuration":
            configuration = message
        elif channel == "robot_state":
            state = message
        else:
            known = state is not None and (state.tick, state.timestamp_us) == (
                message.tick,
                message.timestamp_us,
            )
            yield Tick(message.tick, frame_from_message(state) if known else None, message, configuration)


def compare(
    path: Path, spec: RobotSpec, policies: Callable[[Any], Sequence[Any]], tolerance: float
) -> Comparison:
    """Replay until the first difference; `policies` gives those that a `run_configuration_t` names.

    From the raw frames, where every tick since the policy's start is there; where ticks are missing, from the recorded
    observations until it starts anew.

    Raises:
        UserError: there is not one tick to compare.
    """
    signal_path: Any = None
    done, previous = Comparison([], []), -1
    for tick in policy_ticks(path):
        message = tick.policy
        if tick.configuration is None:
            done.left_out += 1
            continue
        if tick.frame is None or not (message.reset or tick.number == previous + 1):
            signal_path = None
        elif message.reset:
            policy = policies(tick.configuration)[message.policy]
            # the log holds the command after heading hold, as the policy saw it
            signal_path = SignalPath(spec, policy.layout, heading_hold=False)
            signal_path.reset(tick.frame)
            names = field_names(spec, policy.layout)
        if signal_path is None:
            policy = policies(tick.configuration)[message.policy]
            names = field_names(spec, policy.layout)
            replayed = {"action": policy(np.array([message.observation], dtype=np.float32))[0]}
        else:
            signal = signal_path.observe(tick.frame, np.array([message.command]))
            action = policy(signal.observation)
            replayed = {
                "features": signal.features[0],
                "observation": signal.observation[0],
                "action": action[0],
            }
            if np.all(np.isfinite(action)):
                replayed["joint_target"] = signal_path.act(action)[0]
        for field, values in replayed.items():
            recorded = getattr(message, field)
            done.difference = first_difference(tick.number, field, names[field], recorded, values, tolerance)
            if done.difference is not None:
                return done
        _extend(done.outputs if signal_path is None else done.whole, tick.number)
        previous = tick.number
    if not (done.whole or done.outputs):
        raise UserError(
            f"{path} has no tick on which a policy ran and whose configuration is known: there is nothing to compare. "
            "Record the robot while it stands or walks; `wildrobot log info` shows its states."
        )
    return done


def field_names(spec: RobotSpec, layout: Any) -> dict[str, list[str]]:
    """A name for every value of every compared field."""
    joints, features = list(spec.joint_names), list(feature_names(spec))
    return {
        "features": features,
        "observation": observation_names(layout, slice_parts(joints, features, COMMAND_NAMES)),
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
