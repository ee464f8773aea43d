"""Exported networks under ONNX Runtime: the policy and the style discriminator, each with its contract.

One thread and no spinning: on a small computer that is faster at the tail than the default and leaves the
core free.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.contract import (
    METADATA_KEY,
    contract_differences,
    hash_note,
    observation_size,
    style_differences,
)
from wildrobot.signal_path.features import FeatureWindow
from wildrobot.signal_path.observation import Layout, layout_from_dicts

GOLDEN_TOLERANCE = 1e-5
"""Largest difference allowed between the golden answers and this machine's."""

Floats = NDArray[np.float32]


def open_session(model: str | bytes) -> onnxruntime.InferenceSession:
    """ONNX Runtime session of a file name or of a model's bytes: CPU, one thread, no spinning."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class _Network:
    """A file with one input, one output, a contract in its metadata and golden answers in the contract."""

    input_name: ClassVar[str]
    output_name: ClassVar[str]
    kind: ClassVar[str]

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(
                f"there is no {self.kind} at {self.path}. Give an .onnx file made by `wildrobot export`."
            )
        content = self.path.read_bytes()
        self.sha256 = hashlib.sha256(content).hexdigest()
        try:
            self._session = open_session(content)
        except Exception as error:  # ONNX Runtime raises many types for a broken file
            reason = (str(error).splitlines() or [""])[0][:160]
            raise UserError(
                f"{self.path} is not a whole ONNX file ({type(error).__name__}: {reason}). "
                "Copy it again, or write it anew with `wildrobot export`."
            ) from error
        self.contract = self._read_contract()
        inputs = {item.name: item.shape for item in self._session.get_inputs()}
        outputs = {item.name: item.shape for item in self._session.get_outputs()}
        if set(inputs) != {self.input_name} or self.output_name not in outputs:
            raise UserError(
                f"{self.path} has the inputs {sorted(inputs)} and outputs {sorted(outputs)}; a {self.kind} "
                f"has '{self.input_name}' and '{self.output_name}'. Give a file made by `wildrobot export`."
            )
        self.input_size = int(inputs[self.input_name][-1])
        self.output_shape = outputs[self.output_name]

    def _read_contract(self) -> dict[str, Any]:
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise UserError(
                f"{self.path} has no contract: its metadata lacks the key '{METADATA_KEY}'. "
                "Give a file made by `wildrobot export`."
            )
        try:
            contract = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(
                f"the contract in {self.path} is not valid JSON ({error}). "
                "Write the file anew with `wildrobot export`."
            ) from error
        if not isinstance(contract, dict):
            raise UserError(
                f"the contract in {self.path} is a {type(contract).__name__}, expected an object. "
                "Write the file anew with `wildrobot export`."
            )
        return contract

    def __call__(self, values: Any) -> Floats:
        """Answers (N, ...) float32 for inputs (N, size)."""
        values = np.ascontiguousarray(values, dtype=np.float32)
        answer: Floats = self._session.run([self.output_name], {self.input_name: values})[0]
        return answer

    def verify_golden(self) -> float:
        """Run the golden inputs of the contract; returns the largest difference to the golden answers.

        Raises:
            UserError: it is above `GOLDEN_TOLERANCE`, or the contract holds no golden vectors.
        """
        golden = self.contract.get("golden")
        try:
            inputs = np.asarray(golden[self.input_name], dtype=np.float32)  # type: ignore[index]
            wanted = np.asarray(golden[self.output_name], dtype=np.float64)  # type: ignore[index]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"the contract in {self.path} has no golden vectors to check the file by. "
                "Write the file anew with `wildrobot export`."
            ) from error
        if inputs.ndim != 2 or len(inputs) == 0 or inputs.shape[1] != self.input_size:
            raise UserError(
                f"the golden {self.input_name} in {self.path} has shape {inputs.shape}, expected "
                f"(k, {self.input_size}). Write the file anew with `wildrobot export`."
            )
        answer = np.concatenate([self(row[None]) for row in inputs])  # one by one, as on the robot
        if answer.shape != wanted.shape:
            raise UserError(
                f"{self.path} answers the golden {self.input_name} with shape {answer.shape}, expected "
                f"{wanted.shape}. Write the file anew with `wildrobot export`."
            )
        difference = float(np.max(np.abs(answer - wanted)))
        if not difference <= GOLDEN_TOLERANCE:  # also true of NaN
            raise UserError(
                f"{self.path} does not reproduce its golden vectors: largest difference {difference:.3g}, "
                f"allowed {GOLDEN_TOLERANCE:g}. The file was changed, or this machine computes otherwise: "
                "do not run it. Copy it again, or write it anew with `wildrobot export`."
            )
        return difference

    def _refuse(self, differences: list[str]) -> None:
        if differences:
            raise UserError(
                f"{self.path} was made for another robot; {len(differences)} "
                f"{'difference' if len(differences) == 1 else 'differences'}:\n  "
                + "\n  ".join(differences)
                + "\nGive a policy exported for this robot, or the robot.yaml that this one was trained with."
            )


class OnnxPolicy(_Network):
    """Observations (N, D) float32 to actions (N, n) float32; warmed up and verified once constructed.

    `contract` is the JSON block of its metadata, `layout` the observation it describes, `sha256` that of the
    file, `golden_difference` how far the golden answers were off, and `note` what a person should know about
    the file, or None.

    Raises:
        UserError: no such file, a broken one, golden vectors that do not reproduce, or, with `spec`, a
            contract that differs from the robot: every difference is listed.
    """

    input_name, output_name, kind = "obs", "actions", "policy"

    def __init__(self, path: str | Path, spec: RobotSpec | None = None) -> None:
        super().__init__(path)
        self.note = None
        if spec is not None:
            self.check_contract(spec)
            self.note = hash_note(self.contract, spec)
        self.golden_difference = self.verify_golden()
        self(np.zeros((1, self.input_size), dtype=np.float32))  # the first call of a new shape is slow

    @property
    def layout(self) -> Layout:
        """The observation's slices."""
        return layout_from_dicts(self.contract["observation"])

    def check_contract(self, spec: RobotSpec, layout: Layout | None = None) -> None:
        """`UserError` listing every difference between this policy and the robot (and `layout`, if given)."""
        differences = contract_differences(self.contract, spec, layout)
        if not any(line.startswith("observation") for line in differences):
            size = observation_size(self.contract)
            if size != self.input_size:
                differences.append(
                    f"obs: the network takes {self.input_size} values, its contract describes {size}"
                )
        if self.output_shape[-1] != spec.num_joints:
            differences.append(
                f"actions: the network gives {self.output_shape[-1]}, the robot has {spec.num_joints} joints"
            )
        note = hash_note(self.contract, spec)
        self._refuse(differences + ([f"robot_hash: {note}"] if differences and note else []))


def load_policy(path: str | Path, spec: RobotSpec) -> OnnxPolicy:
    """`OnnxPolicy`, checked against the robot; what a person should know of it is told."""
    policy = OnnxPolicy(path, spec)
    if policy.note:
        print(f"note: {policy.note}", file=sys.stderr)
    return policy


class OnnxStyle(_Network):
    """Windows (N, frames * F) of raw features, oldest first, to raw logits (N,): how natural they look.

    Near 1: like the reference; near 0: like a policy that it was trained to tell apart.
    """

    input_name, output_name, kind = "window", "logit", "style discriminator"

    def __init__(self, path: str | Path, spec: RobotSpec | None = None) -> None:
        super().__init__(path)
        if spec is not None:
            self._refuse(style_differences(self.contract, spec))
        self.golden_difference = self.verify_golden()

    @property
    def frames(self) -> int:
        """Length of the window in ticks."""
        return int(self.contract["frames"])

    def score(self, windows: Any) -> Floats:
        """clip(D, 0, 1) of windows (N, frames * F), (N,): the style reward of training."""
        return self(windows).clip(0.0, 1.0)


class StyleMeter:
    """How much the last few ticks look like the reference motion, to the discriminator that the policy learned from.

    The same judge in training, in simulation and on the floor: where its score falls, what differs is the robot.
    """

    def __init__(self, style: OnnxStyle) -> None:
        self._style = style
        self._window = FeatureWindow(style.frames)
        self._moving_for = 0

    def warm_up(self, features: Any) -> None:
        """Ask the discriminator once about features (1, F), to no effect: the first call is slow."""
        self._style.score(np.tile(features, self._window.frames))

    def score(self, features: Any, moving: bool, fresh: bool) -> float:
        """Of features (1, F) of this tick, 0 to 1; NaN unless the robot was to walk through all of the window."""
        self._moving_for = self._moving_for + 1 if moving and not fresh else 0
        window, valid = self._window.push(features, np.array([fresh]))
        if not valid[0] or self._moving_for < self._window.frames:
            return float("nan")
        return float(self._style.score(window)[0])
