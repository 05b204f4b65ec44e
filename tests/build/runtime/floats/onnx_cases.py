"""The node tests of the ONNX package as networks for the runtime: their own expected values are the golden ones."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

FIRST_OPSET, LAST_OPSET = 13, 24
"""`export` brings networks to 13 or more; ONNX Runtime runs up to 24."""
NUMBERS = (np.float32, np.float64, np.int8, np.uint8, np.int32, np.int64, np.bool_)
PARAMETERS = {
    "BatchNormalization", "Compress", "Conv", "ConvTranspose", "CumSum", "DequantizeLinear", "Dropout", "GRU", "LSTM",
    "OneHot", "Pad", "QuantizeLinear", "RNN", "Resize", "TopK", "Trilu",
}  # fmt: skip
"""Operators whose further inputs are constants in networks."""
ROUNDED = "averagepool_2d_ceil_last_window_starts_on_pad"
"""The test whose expected values have four digits."""
CONSTANT_ALONE = {"ConstantOfShape", "Range"}
INDEXED = {"Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND"}
NOT_RUN = {
    "batchwise": "layout 1, which ONNX Runtime does not run either",
    "training": "training",
    "maxpool_with_argmax": "indices of a pool",
    "tf_crop_and_resize_extrapolation": "a value outside",
    "gridsample_bicubic": "cubic curves",
    "gridsample_volumetric": "volumes",
    "blocked": "a scale for each block",
    "empty_set": "nothing to compute",
    "fmod_0": "what ONNX Runtime does not run either",
    "downsample_scales_linear_align_corners": "ONNX Runtime differs from ONNX",
    "downsample_scales_cubic_align_corners": "ONNX Runtime differs from ONNX",
}


@dataclass
class Case:
    """One node with values for its inputs.

    Attributes:
        name: of the test.
        node: the node.
        opset: version of its operators.
        inputs: values by name.
        outputs: expected values by name.
    """

    name: str
    node: onnx.NodeProto
    opset: int
    inputs: dict[str, NDArray]
    outputs: dict[str, NDArray]

    def fed(self) -> set[str]:
        """The inputs that are computed in the network; the others are constants of it."""
        kind, names = self.node.op_type, list(self.inputs)
        if kind in CONSTANT_ALONE:
            return set()
        count = 1 if kind in PARAMETERS or kind.startswith("Reduce") else len(names)
        whole = kind in INDEXED or all(value.dtype != np.float32 for value in self.inputs.values())
        first = names[0] if names else ""
        return {n for n in names[:count] if n == first or whole or self.inputs[n].dtype in (np.float32, np.bool_)}


@dataclass
class Network:
    """Nodes side by side in one network: each input is fed as floats, and cast to what it is.

    Attributes:
        model: the network.
        feeds: values of its inputs.
        expected: values of its outputs.
    """

    model: onnx.ModelProto
    feeds: dict[str, NDArray] = field(default_factory=dict)
    expected: dict[str, NDArray] = field(default_factory=dict)


@cache
def cases() -> dict[str, list[Case]]:
    """The tests of one node that computes with numbers the runtime has, by operator."""
    found: dict[str, list[Case]] = defaultdict(list)
    for test in collect_testcases(None):
        if test.model is None or len(test.model.graph.node) != 1 or any(word in test.name for word in NOT_RUN):
            continue
        case = _case(test)
        if case is not None:
            found[case.node.op_type].append(case)
    return dict(found)


def _case(test) -> Case | None:
    node = test.model.graph.node[0]
    inputs, outputs = test.data_sets[0]
    values = [*inputs, *outputs]
    if node.domain or not all(isinstance(v, np.ndarray | np.generic) and v.size for v in values):
        return None
    if any(v.dtype not in NUMBERS for v in values):
        return None
    opset = max(FIRST_OPSET, next(each.version for each in test.model.opset_import if not each.domain))
    named = (test.model.graph.input, inputs), (test.model.graph.output, outputs)
    given, expected = ({i.name: np.asarray(v) for i, v in zip(*pair, strict=True)} for pair in named)
    return Case(test.name, node, min(opset, LAST_OPSET), given, expected)


def networks(kind: str) -> Iterator[Network]:
    """The tests of an operator, those of an opset together in one network."""
    by_opset = defaultdict(list)
    for case in {case.name: case for case in cases().get(kind, [])}.values():
        by_opset[case.opset].append(case)
    for opset, together in by_opset.items():
        yield network(together, opset)


def network(together: list[Case], opset: int) -> Network:
    """Put nodes side by side."""
    result = Network(onnx.ModelProto())
    nodes, inputs, outputs, constants = [], [], [], []
    for case in together:
        fed = case.fed()
        for name, value in case.inputs.items():
            own = f"{case.name}/{name}"
            if name not in fed:
                constants.append(numpy_helper.from_array(value, own))
                continue
            real = f"{own}/real"
            inputs.append(helper.make_tensor_value_info(real, TensorProto.FLOAT, value.shape))
            result.feeds[real] = value.astype(np.float32)
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            nodes.append(helper.make_node("Cast", [real], [own], name=f"{own}/cast", to=kind))
        node = onnx.NodeProto()
        node.CopyFrom(case.node)
        node.name = case.name
        node.input[:] = [f"{case.name}/{name}" if name else "" for name in case.node.input]
        node.output[:] = [f"{case.name}/{name}" if name else "" for name in case.node.output]
        nodes.append(node)
        for name, value in case.outputs.items():
            own, kind = f"{case.name}/{name}", helper.np_dtype_to_tensor_dtype(value.dtype)
            outputs.append(helper.make_tensor_value_info(own, kind, value.shape))
            result.expected[own] = value
    graph = helper.make_graph(nodes, "cases", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    result.model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    return result
