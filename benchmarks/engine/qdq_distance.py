"""The distance of the QDQ network from the integers: each layer alone, on the integer model's own input."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from stages.core.integer.model import tensor_quant_params
from stages.core.integer.simulator import simulator_model

__all__ = ["layer_distances"]

Values = Mapping[str, NDArray[Any]]
INPUT_CODES_SUFFIX = "/codes"
"""Ends the names of the codes of a network input or a constant in the integer model."""


def layer_distances(quantized: onnx.ModelProto, integer: onnx.ModelProto, feeds: Values) -> dict[str, int]:
    """Run every layer of the QDQ network in plain ONNX Runtime, with its default options, and compare codes.

    Args:
        quantized: the QDQ network.
        integer: the integer model of the same quantization.
        feeds: network inputs.

    Returns:
        Tensor of codes -> the largest difference from the simulator, in codes.
    """
    layers = list(tensor_quant_params(integer.graph.node))
    codes = Runner(simulator_model(integer, layers, codes=True), optimize="safe").run(feeds)
    values = Runner(simulator_model(integer, layers), optimize="safe").run(feeds)
    known = {
        f"{name.removesuffix(INPUT_CODES_SUFFIX)}/dequantized" if name.endswith(INPUT_CODES_SUFFIX) else name: values[
            name
        ]
        for name in layers
    }
    graph = Graph(quantized)
    distances = {}
    for name in layers:
        if not name.endswith(INPUT_CODES_SUFFIX):
            others = {tensor: value for tensor, value in known.items() if tensor != name} | dict(feeds)
            qdq_codes = _run_subgraph(graph, f"{name}/codes", others)
            distances[name] = int(np.abs(qdq_codes.astype(np.int64) - codes[name].astype(np.int64)).max())
    return distances


def _run_subgraph(graph: Graph, target: str, known: Values) -> NDArray[Any]:
    """Run the nodes between tensors with known values and `target`."""
    inputs, wanted, pending = set(), set(), [target]
    while pending:
        name = pending.pop()
        if name in known:
            inputs.add(name)
        elif name in graph.producers and name not in wanted:
            wanted.add(name)
            pending.extend(filter(None, graph.producers[name].input))
    nodes = [node for node in graph.nodes if wanted & set(node.output)]
    used = {name for node in nodes for name in node.input}
    subgraph = helper.make_graph(
        nodes,
        "subgraph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, known[name].shape) for name in sorted(inputs)],
        [onnx.ValueInfoProto(name=target)],
        [tensor for name, tensor in graph.constants.items() if name in used],
    )
    model = helper.make_model(subgraph, opset_imports=graph.model.opset_import, ir_version=graph.model.ir_version)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (codes,) = session.run([target], {name: known[name] for name in inputs})
    return np.asarray(codes)
