"""`wildrobot film`: a policy's short videos and the page that shows them all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from wildrobot.cli.common.arguments import about, parse_options
from wildrobot.cli.common.outputs import check_folder
from wildrobot.core.errors import UserError
from wildrobot.core.files import write_text
from wildrobot.core.progress import Bar
from wildrobot.reports.film_page import build_page, outcome
from wildrobot.robot_description import load_robot
from wildrobot.runtime.control.skills import load_skill
from wildrobot.runtime.robots.base import RobotOptions
from wildrobot.signal_path.shipped import shipped_policy
from wildrobot.simulation.video import video_available
from wildrobot.training.evaluation.film import film, frames_of
from wildrobot.training.evaluation.scenes import SCENES, choose

EXAMPLES = f"""examples:
  wildrobot film --out runs/film
  wildrobot film runs/first/policy.onnx --out runs/first/film     # then: wildrobot report runs/first
  wildrobot film runs/first/policy.onnx --out /tmp/film --scenes walk_030 push --randomize --seed 3

scenes: {", ".join(scene.name for scene in SCENES)}"""


@dataclass(frozen=True)
class FilmOptions:
    """Render a policy's short videos, one for each scene, and a page that shows them all.

    The simulated robot stands, walks at three speeds, is pushed, starts and stops, and turns, through the loop of
    `wildrobot-run`. FOLDER gets an .mp4 for each scene, index.html, and film.json with the figures; `wildrobot report
    RUN` takes up RUN/film. The same seed gives the same motion. Exit code: 0 filmed, whether it fell or not; 2 bad
    input, or no video on this machine.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Folder for the videos and their page."""
    policy: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[POLICY]")] = None
    """Exported policy (.onnx); without one: that which comes with WildRobot."""
    scenes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SCENE [SCENE ...]")] = ()
    """Only these scenes. Default: all that the robot's command ranges allow."""
    randomize: bool = False
    """Another robot than the described one: friction, masses, servo gains, sensor noise drawn as in wildrobot-run."""
    seed: int = 0
    """Of what --randomize draws, and of the sensors' noise."""
    robot: Annotated[Path | None, tyro.conf.arg(name="robot-file", metavar="FILE")] = None
    """robot.yaml of another robot."""


def prepare(folder: Path) -> None:
    """Make the folder; take away the page and figures of earlier films, which no longer tell of all that is there.

    Raises:
        UserError: it is a file, or cannot be written to.
    """
    check_folder("--out", folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("index.html", "film.json"):
        (folder / name).unlink(missing_ok=True)


def main(argv: Sequence[str]) -> int:
    """Entry of `wildrobot film`."""
    options = parse_options(FilmOptions, argv, about(FilmOptions, EXAMPLES))
    spec = load_robot(options.robot)
    scenes = choose(options.scenes, spec)
    skill = load_skill(spec, options.policy or shipped_policy(spec))
    available, reason = video_available()
    if not available:
        raise UserError(f"cannot film: {reason}")
    prepare(options.out)
    robot = RobotOptions(options.seed, randomize=options.randomize)
    with Bar("filming", sum(frames_of(spec, scene) for scene in scenes)) as bar:
        document = film(spec, skill, scenes, options.out, robot, bar.advance)
    write_text(options.out / "film.json", json.dumps(document, indent=1) + "\n")
    write_text(options.out / "index.html", build_page(document))
    for row in document["scenes"]:
        size = f"{row['bytes'] / 1000:.0f} kB"
        print(f"  {row['file']:<22} {size:>7}   {outcome(row)}")
    print(f"page: {options.out / 'index.html'}")
    return 0
