"""What `wildrobot make-run` runs: its other commands, in order."""

from __future__ import annotations

import sys

from wildrobot.cli.make_run.options import MakeRunOptions
from wildrobot.cli.make_run.pipeline import Stage
from wildrobot.core.config import load_yaml
from wildrobot.robot_description import load_robot
from wildrobot.training.preset import preset_path

FELL = 1
"""Exit code of wildrobot-run after a fall: the figures are there and tell of it."""
TRAINING_TIME = {"quick": "about 7 min", "walk": "about 24 min"}
"""On two cores, of the presets that come along."""


def stages(options: MakeRunOptions, can_film: bool) -> tuple[Stage, ...]:
    """The pipeline's commands, in order."""
    out = options.out
    python = (sys.executable, "-m", "wildrobot")
    spec = load_robot(options.robot_file)
    robot = (spec.path, spec.mjcf_path)
    which = ("--robot-file", str(options.robot_file)) if options.robot_file else ()
    reference = options.reference_file(spec)
    policy = out / "policy.onnx"
    preset = preset_path(options.preset)
    # presets without a reference of their own share the default one
    planned = "reference" in load_yaml(preset)
    build = Stage(
        "reference",
        "plan a gait library, execute it in simulation, keep the clips that pass",
        "about 8 min",
        (
            *python,
            "reference",
            "build",
            *which,
            *(("--preset", options.preset) if planned else ()),
            "--output",
            str(reference),
        ),
        (reference,),
        stamps=reference.parent / ".stages",
        inputs=(*robot, preset) if planned else robot,
    )
    walk = [*python, "run", str(policy), "--robot", "sim", *which, "--fast", "--speed", str(options.speed)]
    walk += [
        "--duration",
        str(options.duration),
        "--log",
        str(out / "walk.lcmlog"),
        "--json",
        str(out / "walk.json"),
    ]
    if can_film:
        walk += ["--video", str(out / "walk.mp4")]
    rest = (
        Stage(
            "train",
            f"preset {options.preset}: PPO for the task, AMP for the style",
            TRAINING_TIME.get(options.preset, "as it asks"),
            (
                *python,
                "train",
                *which,
                "--preset",
                options.preset,
                "--run-dir",
                str(out),
                "--reference",
                str(reference),
            ),
            tuple(
                out / name for name in ("checkpoint.pt", "metrics.jsonl", "config.yaml", "environment.json")
            ),
            resumes=True,
            inputs=(*robot, preset),
        ),
        Stage(
            "export",
            "write the policy as one ONNX file and compare it with torch",
            "about 20 s",
            (*python, "export", str(out), *which, "--onnx", str(policy)),
            (policy,),
        ),
        Stage(
            "eval",
            "measure the exported file over simulated episodes at three speeds",
            "about 1 min",
            (*python, "eval", str(policy), *which, "--quick", "--out", str(out / "evaluation.json")),
            (out / "evaluation.json",),
        ),
        Stage(
            "walk",
            f"{options.duration:g} s at {options.speed:g} m/s through wildrobot-run",
            "about 1 min" if can_film else "about 10 s",
            tuple(walk),
            (out / "walk.json", *((out / "walk.mp4",) if can_film else ())),
            fine=(0, FELL),
        ),
    )
    return rest if options.reference else (build, *rest)
