"""The policies that a run has at hand: each with its own signal path and style score, one of them in charge."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.path import SignalPath

if TYPE_CHECKING:
    from wildrobot.signal_path.observation import Layout
    from wildrobot.signal_path.policy import StyleMeter

STYLE_FILE = "style.onnx"
"""The discriminator's file, beside the policy's."""


class Policy(Protocol):
    """Observation (1, D) float32 to action (1, n) float32; `contract` describes both."""

    contract: dict[str, Any]

    @property
    def layout(self) -> Layout: ...

    def __call__(self, observation: Any, /) -> Any: ...


@dataclass
class Skill:
    """A policy, verified, with what belongs to it alone."""

    file: Path
    sha256: str
    policy: Policy
    path: SignalPath
    style: StyleMeter | None = None


def load_skill(spec: RobotSpec, file: Path, style: Path | None = None) -> Skill:
    """The policy in `file`, and the discriminator in `style` (default: style.onnx beside it, if there is one).

    Raises:
        UserError: a file that is no policy, is made for another robot, or does not reproduce its golden vectors.
    """
    from wildrobot.signal_path.policy import OnnxStyle, StyleMeter, load_policy

    policy = load_policy(file, spec)
    beside, meter = style or file.parent / STYLE_FILE, None
    if style is not None or beside.is_file():
        try:
            meter = StyleMeter(OnnxStyle(beside, spec))
        except UserError as error:
            if style is not None:
                raise
            print(f"warning: no style score: {error}", file=sys.stderr)  # nobody asked for one
    return Skill(file, policy.sha256, policy, SignalPath(spec, policy.layout), meter)


class Reloader:
    """On SIGUSR1, loads all policies anew in a thread of its own and hands them over when they are ready and whole.

    What cannot be loaded is told, and the policies in use stay. A context manager.
    """

    def __init__(self, load: Callable[[], Sequence[Skill]]) -> None:
        self._load = load
        self._asked = False
        self._thread: threading.Thread | None = None
        self._loaded: Sequence[Skill] | None = None
        self._refused: str | None = None

    def __enter__(self) -> Reloader:
        self._saved = signal.signal(signal.SIGUSR1, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGUSR1, self._saved)

    def _on_signal(self, number: int, stack: object) -> None:
        self._asked = True

    def asked(self) -> bool:
        """Whether a signal has come since the last time."""
        asked, self._asked = self._asked, False
        return asked

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="reload", daemon=True)
            self._thread.start()

    def take(self) -> tuple[Sequence[Skill] | None, str | None]:
        """The policies, or why there are none, once; (None, None) while there is neither. Never waits."""
        if self._thread is None or self._thread.is_alive():
            return None, None
        self._thread = None
        loaded, refused = self._loaded, self._refused
        self._loaded = self._refused = None
        return loaded, refused

    def _work(self) -> None:
        try:
            self._loaded = self._load()
        except UserError as error:
            self._refused = str(error)
        except Exception as error:  # whatever is in the file, the robot goes on with what it has
            self._refused = f"{type(error).__name__}: {error}"
