"""The reference implementation: integer operators in plain NumPy, node by node, slow. The simulator equals it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from stages.core.graph.onnx_graph import captured_names
from stages.core.graph.session import Runner
from stages.core.integer.model import tensor_quant_params
from stages.core.integer.operators import DOMAIN, Operands, operator_of
from stages.core.integer.quant_params import QuantParams

__all__ = ["run_move", "run_onnx_node", "run_reference"]

Array = NDArray[Any]
Opset = Sequence[onnx.OperatorSetIdProto]


def run_reference(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run an integer model.

    Args:
        model: the integer model.
        feeds: float32 network inputs.

    Returns:
        Every tensor by name: codes as uint8 or uint16, the rest as float32.
    """
    quant_params = tensor_quant_params(model.graph.node)
    values: dict[str, Array] = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    values |= feeds
    for node in model.graph.node:
        inputs = [values[name] if name else None for name in node.input]
        if node.domain == DOMAIN:
            operands = Operands(inputs, [quant_params.get(name) for name in node.input])
            outputs = [operator_of(node).reference(operands)]
        elif node.input and node.input[0] in quant_params:
            outputs = run_move(node, inputs, quant_params[node.input[0]], model.opset_import)
        else:
            captured = {name: values[name] for name in captured_names(node) if name in values}
            outputs = run_onnx_node(node, inputs, model.opset_import, captured)
        values.update(zip(node.output, outputs, strict=True))
    return values


def run_move(node: onnx.NodeProto, inputs: Sequence[Array | None], qparams: QuantParams, opset: Opset) -> list[Array]:
    """Run an ONNX operator that moves or picks codes: ONNX Runtime does it in float32, which holds every code exactly.

    Args:
        node: the operator.
        inputs: its inputs, the codes among them; None for one that is left out.
        qparams: of the codes.
        opset: the model's operator sets.

    Returns:
        The codes of each output.
    """
    floats = [
        value.astype(np.float32) if value is not None and value.dtype == qparams.dtype else value for value in inputs
    ]
    return [y.astype(qparams.dtype) for y in run_onnx_node(node, floats, opset)]


def run_onnx_node(
    node: onnx.NodeProto, inputs: Sequence[Array | None], opset: Opset, captured: Mapping[str, Array] | None = None
) -> list[Array]:
    """Run a single ONNX node in ONNX Runtime; `captured` are tensors that the bodies of an If or Loop read."""
    constants = {name: value for name, value in zip(node.input, inputs, strict=True) if value is not None}
    graph = helper.make_graph(
        [node],
        "node",
        [],
        [onnx.ValueInfoProto(name=name) for name in node.output],
        [
            numpy_helper.from_array(np.asarray(value), name)
            for name, value in (constants | dict(captured or {})).items()
        ],
    )
    alone = helper.make_model(graph, opset_imports=list(opset), ir_version=10)
    return list(Runner(alone, optimize="none").run({}).values())
