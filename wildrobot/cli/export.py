"""`wildrobot export RUN --onnx`: a run's policy as one file that says what it reads, answers and is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from wildrobot.cli.common.arguments import parse_options
from wildrobot.core.errors import UserError
from wildrobot.core.files import read_json_object
from wildrobot.export.figures import store_evaluation
from wildrobot.export.run_export import export

DESCRIPTION = """Write a run's policy as one .onnx with its contract and golden vectors, and its discriminator
beside it as style.onnx. Both are compared with torch on observations of real rollouts first.

examples:
  wildrobot export runs/first --onnx
  wildrobot export runs/first --onnx mine.onnx
  wildrobot export runs/first --onnx mine.onnx --evaluation figures.json

Figures that `wildrobot eval POLICY.onnx --out RUN/evaluation.json` measured are put into the file by
exporting again, if they are of the same network."""


@dataclass
class ExportOptions:
    """What to export and where to."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder of `wildrobot train`."""
    checkpoint: Literal["best", "last"] = "best"
    """best: the one that the run's own evaluations chose (RUN/best.pt), where there is one; last: the newest."""
    onnx: bool = False
    """Write ONNX (the only form there is); a file name may follow."""
    output: Path | None = None
    """The policy's file. Default: RUN/policy.onnx."""
    robot: Annotated[Path | None, tyro.conf.arg(name="robot-file", metavar="FILE")] = None
    """robot.yaml that the run was trained with, if it is not the one of the run's configuration."""
    seed: int = 0
    """Of the rollouts that the comparison is made on."""
    threads: int = 0
    """Physics threads; 0: all CPUs."""
    evaluation: Path | None = None
    """Export nothing; put these figures of `wildrobot eval --out` into the policy file that is there."""


def _with_file_after_onnx(argv: Sequence[str]) -> list[str]:
    """`--onnx FILE.onnx` is `--onnx --output FILE.onnx`."""
    result = list(argv)
    if "--onnx" in result:
        after = result.index("--onnx") + 1
        if after < len(result) and result[after].endswith(".onnx"):
            result.insert(after, "--output")
    return result


def put_in(policy: Path, evaluation: Path) -> int:
    """Put evaluation figures into an existing policy file."""
    figures = read_json_object(evaluation)
    if figures is None:
        raise UserError(f"there is no {evaluation}. Give what `wildrobot eval {policy} --out FILE` wrote.")
    store_evaluation(policy, figures)
    print(f"the figures of {evaluation} stand in {policy}")
    return 0


def main(argv: Sequence[str]) -> int:
    """Entry of `wildrobot export`."""
    options = parse_options(ExportOptions, _with_file_after_onnx(argv), DESCRIPTION)
    if not options.onnx:
        raise UserError(f"say in which form to export: wildrobot export {options.run} --onnx")
    if options.evaluation is not None:
        return put_in(options.output or options.run / "policy.onnx", options.evaluation)
    print(f"exporting {options.run}: simulated robots walk, then the file is compared with torch", flush=True)
    result = export(
        options.run, options.output, options.robot, options.seed, options.threads, options.checkpoint
    )
    print(f"policy: {result.policy}  (largest difference to torch {result.policy_difference:.2g})")
    if result.style is not None:
        print(f"style:  {result.style}  (largest difference to torch {result.style_difference:.2g})")
    for note in result.notes:
        print(f"note: {note}")
    return 0
