"""Integer models made by hand, attribute by attribute, and both ways to run them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from stages.core.graph.session import Runner
from stages.core.integer.model import DOMAIN, tensor_quant_params
from stages.core.integer.quant_params import QuantParams
from stages.core.integer.reference import run_reference
from stages.core.integer.simulator import simulator_model

Values = dict[str, NDArray]


@dataclass
class Net:
    """An integer model while it is put together; inputs of nodes are names or constant values."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    inputs: dict[str, Sequence[int]] = field(default_factory=dict)
    features: dict[str, QuantParams] = field(default_factory=dict)
    constants: dict[str, NDArray] = field(default_factory=dict)

    def feature(self, name: str, shape: Sequence[int], codes: QuantParams) -> str:
        """A network input `<name>/real` that is quantized to `name`."""
        self.inputs[f"{name}/real"], self.features[name] = shape, codes
        return self.add("Quantize", [f"{name}/real"], codes, name)

    def add(self, kind: str, inputs: Sequence, y_params: QuantParams | None, name: str = "y", **more) -> str:
        """A node of the integer domain; it lets all codes through unless told `low` or `high`."""
        if y_params is not None:
            more = {"low": 0, "high": y_params.qmax, **more}
            more |= {"bits": y_params.bits, "scale": float(y_params.scale), "zero_point": y_params.zero_point}
            more |= {"channel_scales": y_params.channel_scales} if y_params.channel_scales else {}
        self.nodes.append(helper.make_node(kind, self._names(inputs), [name], name=name, domain=DOMAIN, **more))
        return name

    def plain(self, kind: str, inputs: Sequence, *outputs: str, **more) -> str:
        """A node of standard ONNX."""
        self.nodes.append(helper.make_node(kind, self._names(inputs), list(outputs), name=outputs[0], **more))
        return outputs[0]

    def _names(self, inputs: Sequence) -> list[str]:
        return [value if isinstance(value, str) else self._constant(value) for value in inputs]

    def _constant(self, value: ArrayLike) -> str:
        name = f"constant{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    @property
    def tensors(self) -> list[str]:
        """All that the nodes make."""
        return [name for node in self.nodes for name in node.output]

    def model(self, values: Mapping[str, NDArray] | None = None) -> onnx.ModelProto:
        """The model, with the types of the tensors whose `values` are given."""
        infos = {
            name: helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in (values or {}).items()
            if name in self.tensors
        }
        last = self.tensors[-1]
        graph = helper.make_graph(
            self.nodes,
            "by hand",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in self.inputs.items()],
            [infos.get(last, onnx.ValueInfoProto(name=last))],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
            value_info=[info for name, info in infos.items() if name != last],
        )
        opset = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
        return helper.make_model(graph, opset_imports=opset, ir_version=10)

    def feeds(self, codes: Mapping[str, ArrayLike]) -> Values:
        """Network inputs that quantize to these codes."""
        return {
            f"{name}/real": real(np.asarray(codes[name]).reshape(self.inputs[f"{name}/real"]), qparams)
            for name, qparams in self.features.items()
        }

    def reference(self, **codes: ArrayLike) -> Values:
        """Every tensor, by the reference."""
        return run_reference(self.model(), self.feeds(codes))

    def simulator(self, values: Mapping[str, NDArray], tensors: Sequence[str] = (), codes: bool = True):
        """The simulator that returns `tensors`, or all; `values` tell the shapes."""
        return simulator_model(self.model(values), tensors or self.tensors, codes)


def real(codes: NDArray, qparams: QuantParams) -> NDArray[np.float32]:
    """What codes stand for."""
    minus_zp = (codes.astype(np.int64) - qparams.zero_point).astype(np.float32)
    if not qparams.channel_scales:
        return minus_zp * np.float32(qparams.scale)
    channels = zip(np.moveaxis(minus_zp, 1, 0), qparams.channel_scales, strict=True)
    return np.stack([channel * np.float32(scale) for channel, scale in channels], axis=1)


def assert_same(actual: NDArray, expected: NDArray) -> None:
    """Same type, shape and bytes."""
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    if actual.tobytes() != expected.tobytes():
        np.testing.assert_array_equal(actual, expected)
        raise AssertionError("equal numbers of different bytes")


def agree(net: Net, **codes: ArrayLike) -> Values:
    """Check that reference and simulator give the same codes, and that real values are what the codes stand for.

    Codes are asked for as compare and evaluate run the simulator, values from plain ONNX Runtime.
    """
    feeds, values = net.feeds(codes), net.reference(**codes)
    quant_params = tensor_quant_params(net.nodes)
    as_codes = Runner(net.simulator(values), optimize="safe").run(feeds)
    as_reals = Runner(net.simulator(values, codes=False), optimize="none").run(feeds)
    for name in net.tensors:
        assert_same(as_codes[name], values[name])
        if name in quant_params:
            assert values[name].dtype == (np.uint8 if quant_params[name].bits <= 8 else np.uint16)
            np.testing.assert_array_equal(as_reals[name], real(values[name], quant_params[name]))
        else:
            assert_same(as_reals[name], values[name])
    return values
