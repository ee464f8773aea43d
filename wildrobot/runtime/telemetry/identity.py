"""A robot's name and the run of its program: in every message, and before every channel."""

from __future__ import annotations

import os
import re
import secrets
import socket
from typing import NamedTuple

from wildrobot.core.errors import UserError

NAME_VARIABLE = "WILDROBOT_NAME"
"""Environment variable that names this computer's robot."""
LONGEST_NAME = 32
_FORM = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{LONGEST_NAME - 1}}}")


class RunIdentity(NamedTuple):
    """Who speaks: two robots never share a name, and two runs of a program never an id."""

    robot_name: str
    run_id: int

    @property
    def run(self) -> str:
        """The id as a person reads it."""
        return run_text(self.run_id)


def run_text(run_id: int) -> str:
    """A run's id in short, for a person."""
    return f"{run_id & 0xFFFFFFFF:08x}"


def new_identity(name: str | None, simulated: bool) -> RunIdentity:
    """That of a run which begins now.

    Args:
        name: as asked for; None: WILDROBOT_NAME, else this computer's name. A simulation has a name of its own, which
            no other has: nobody who commands a robot means it by accident, nor the other way round.
        simulated: whether the robot is.

    Raises:
        UserError: the name has another form than a channel's part may have.
    """
    run_id = secrets.randbits(63)
    if name is None and simulated:
        return RunIdentity(f"sim-{run_text(run_id)}", run_id)
    if name is None:
        name = os.environ.get(NAME_VARIABLE) or host_name()
    return RunIdentity(checked_name(name), run_id)


def checked_name(name: str) -> str:
    """The name, if channels can have it.

    Raises:
        UserError: they cannot.
    """
    if not _FORM.fullmatch(name):
        raise UserError(
            f"a robot cannot be called {name!r}: expected up to {LONGEST_NAME} small letters, digits, - and _, as "
            "in left-desk."
        )
    return name


def host_name() -> str:
    """This computer's name in the form of a robot's."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().partition(".")[0].lower()).strip("-_")
    return plain[:LONGEST_NAME] or "robot"


def channel_of(robot_name: str, kind: str) -> str:
    """Channel of one robot: alice, robot_state -> alice/robot_state."""
    return f"{robot_name}/{kind}"


def split_channel(channel: str) -> tuple[str, str]:
    """Robot's name (empty: none) and kind of a channel."""
    name, _, kind = channel.rpartition("/")
    return name, kind
