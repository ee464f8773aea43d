"""A network of another framework between two layers of plain operators: our observation in, our action out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

from wildrobot.core.errors import UserError
from wildrobot.export.elsewhere.actions import ActionPlan
from wildrobot.export.elsewhere.description import ImportFindings
from wildrobot.export.elsewhere.terms import ObservationPlan
from wildrobot.signal_path.observation import layout_size
from wildrobot.signal_path.policy import OnnxPolicy, open_session

OBS, ACTIONS = OnnxPolicy.input_name, OnnxPolicy.output_name
PREFIX = "imported/"
OLDEST_OPSET = 11


def load_network(path: Path) -> onnx.ModelProto:
    """The file with its weights, those in files beside it too.

    Raises:
        UserError: it is missing, no ONNX, or what it refers to is missing.
    """
    if not path.is_file():
        raise UserError(f"there is no {path}. Give the .onnx file that the other framework exported.")
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf, onnx and the file system raise many types
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} cannot be read as ONNX ({type(error).__name__}: {reason}). Copy it again, with its .data file if "
            "it has one."
        ) from error
    return model


def ends_of(model: onnx.ModelProto, findings: ImportFindings) -> tuple[str, int | None, str]:
    """Name and size (None: not fixed) of the one input, name of the output; problems for a network of another form."""
    weights = {weight.name for weight in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in weights]
    outputs = list(model.graph.output)
    names = [item.name for item in inputs]
    if len(inputs) != 1:
        why = (
            "it carries a memory of its own from tick to tick" if len(inputs) > len(outputs) - 1 > 0 else "it"
        )
        findings.problems.append(
            f"inputs: {why} takes {', '.join(names) or 'nothing'}; here a policy takes one observation and has no "
            "memory: train a feed-forward network, with history in its observation"
        )
        return "", None, ""
    named = [item for item in outputs if item.name in (ACTIONS, "action")]
    output = (named or outputs)[0]
    if len(outputs) > 1 and not named:
        findings.problems.append(
            f"outputs: {', '.join(item.name for item in outputs)}; which one is the action? Call it {ACTIONS}"
        )
    for item in (inputs[0], output):
        if item.type.tensor_type.elem_type != TensorProto.FLOAT:
            kind = TensorProto.DataType.Name(item.type.tensor_type.elem_type)
            findings.problems.append(f"{item.name}: {kind} values; export the network in float32")
        if len(item.type.tensor_type.shape.dim) not in (0, 2):
            findings.problems.append(
                f"{item.name}: {len(item.type.tensor_type.shape.dim)} dimensions, expected (batch, values)"
            )
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST_OPSET:
        findings.problems.append(f"opset: the file has {opset}; export it with {OLDEST_OPSET} or newer")
    dims = inputs[0].type.tensor_type.shape.dim
    size = int(dims[-1].dim_value) if dims and dims[-1].HasField("dim_value") else None
    return inputs[0].name, size, output.name


def answer_shape(
    model: onnx.ModelProto, ends: tuple[str, str], size: int, findings: ImportFindings
) -> tuple[int, ...] | None:
    """What the network answers one observation of `size` values with, whatever it declares; None, and a problem, where
    it cannot be run."""
    try:
        session = open_session(model.SerializeToString())
        shape: tuple[int, ...] = session.run([ends[1]], {ends[0]: np.zeros((1, size), dtype=np.float32)})[
            0
        ].shape
    except Exception as error:  # ONNX Runtime's own
        reason = " ".join(str(error).split())[:200]
        findings.problems.append(
            f"{ends[0]}: ONNX Runtime cannot run it on {size} values ({type(error).__name__}: {reason})"
        )
        return None
    return shape


def wrapped(
    model: onnx.ModelProto, ends: tuple[str, str], observation: ObservationPlan, action: ActionPlan
) -> onnx.ModelProto:
    """The network with this project's input and output; `ends` are the names of its own. Batches of any size."""
    inner = compose.add_prefix(model, PREFIX)
    enter, leave = (PREFIX + name for name in ends)
    before = _Chain(OBS, "observation")
    before.add("Gather", observation.index, axis=1)
    before.affine_and_clip(observation.gain, observation.offset, observation.low, observation.high)
    before.arithmetic("Mul", observation.scale, 1.0)
    after = _Chain(leave, "action")
    after.clip(np.full(1, -action.clip), np.full(1, action.clip))
    after.add("Gather", action.index, axis=1)
    after.affine_and_clip(action.gain, action.offset, action.low, action.high)
    weights = [*inner.graph.initializer]
    graph = helper.make_graph(
        [
            *before.nodes,
            _identity(before.last, enter),
            *inner.graph.node,
            *after.nodes,
            _identity(after.last, ACTIONS),
        ],
        "imported_policy",
        [helper.make_tensor_value_info(OBS, TensorProto.FLOAT, ["batch", layout_size(observation.layout)])],
        [helper.make_tensor_value_info(ACTIONS, TensorProto.FLOAT, ["batch", len(action.index)])],
        [*before.constants, *weights, *after.constants],
        sparse_initializer=list(inner.graph.sparse_initializer),
    )
    result = helper.make_model(
        graph,
        opset_imports=list(inner.opset_import),
        functions=list(inner.functions),
        ir_version=inner.ir_version,
    )
    result.producer_name = "wildrobot"
    onnx.checker.check_model(result, full_check=True)
    return result


def _identity(source: str, target: str) -> Any:
    return helper.make_node("Identity", [source], [target])


class _Chain:
    """Nodes, each of which takes the last one's output and a constant."""

    def __init__(self, source: str, name: str) -> None:
        self.last, self._name = source, name
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, constant: NDArray[Any], **attributes: Any) -> None:
        name = f"{self._name}/{len(self.nodes)}/{operator}"
        self.constants.append(numpy_helper.from_array(constant, f"{name}/constant"))
        self.nodes.append(helper.make_node(operator, [self.last, f"{name}/constant"], [name], **attributes))
        self.last = name

    def arithmetic(self, operator: str, constant: NDArray[np.float64], nothing: float) -> None:
        """With a float32 constant, unless that would change nothing."""
        if np.any(constant != nothing):
            self.add(operator, constant.astype(np.float32))

    def clip(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
        self.arithmetic("Max", low, -np.inf)
        self.arithmetic("Min", high, np.inf)

    def affine_and_clip(
        self,
        gain: NDArray[np.float64],
        offset: NDArray[np.float64],
        low: NDArray[np.float64],
        high: NDArray[np.float64],
    ) -> None:
        self.arithmetic("Mul", gain, 1.0)
        self.arithmetic("Add", offset, 0.0)
        self.clip(low, high)
