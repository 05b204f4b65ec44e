"""A block of a candidate in PyTorch: its forward pass with fake quantization, and the parameters that it runs with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor

from stages.core.base.errors import one_line
from stages.quantize.candidate import Candidate
from stages.quantize.partition.layers import Layer
from stages.quantize.partition.nodes import clamp_bounds
from stages.quantize.partition.subgraphs import Subgraph
from stages.quantize.rounding.reconstruct.fake_quant import FakeQuantize, FakeQuantParams
from stages.quantize.rounding.reconstruct.forward import Values, run_node
from stages.quantize.rounding.replay import Replay, TensorFiles, fake_quantize

__all__ = ["SMALLEST_DIVISOR", "BlockParameters", "TorchBlock", "laid_out", "read_batch"]

QDROP_SHARE = 0.5
"""Share of the values of a feature that are quantized while learning, the rest passes in float (QDrop): of features of
few bits only, whose noise would else be learned by heart."""
MIN_BITS_WITHOUT_QDROP = 6
SMALLEST_DIVISOR = 1e-30
MAX_FLOAT_DIFFERENCE = 1e-3
"""How far PyTorch's float block may be from ONNX Runtime's, relative to the norm: both round, in different orders."""
OPERATOR_ERRORS = (ArithmeticError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What operators raise on a form of them that they do not cover."""


@dataclass
class BlockParameters:
    """What a block runs with.

    Attributes:
        weights: node -> dequantized weight, and bias or None.
        scales: feature -> float32 [1] or [C].
    """

    weights: dict[str, tuple[Tensor, Tensor | None]]
    scales: dict[str, Tensor]

    def tensors(self) -> list[Tensor]:
        """All of them: weights, then biases, then scales."""
        weights = [weight for weight, _ in self.weights.values()]
        biases = [bias for _, bias in self.weights.values() if bias is not None]
        return [*weights, *biases, *self.scales.values()]

    def detached(self) -> "BlockParameters":
        """The same values as leaves of another graph."""
        return BlockParameters(
            {
                name: (_leaf(weight), None if bias is None else _leaf(bias))
                for name, (weight, bias) in self.weights.items()
            },
            {name: _leaf(scales) for name, scales in self.scales.items()},
        )


class TorchBlock:
    """A block of a candidate in PyTorch.

    Args:
        candidate: what the block belongs to.
        subgraph: the block.

    Attributes:
        constants: the float network's constants that it needs.
        weighted: its nodes whose weight is quantized, by name.
    """

    def __init__(self, candidate: Candidate, subgraph: Subgraph) -> None:
        self._features, self._subgraph = candidate.features, subgraph
        inputs = [name for node in subgraph.nodes for name in node.input]
        self.constants = {name: value for name in inputs if (value := candidate.graph.constant(name)) is not None}
        self._quantized_constants = self.constants | {
            name: fake_quantize(value, candidate.features[name]).reshape(value.shape)
            for name, value in self.constants.items()
            if name in candidate.features
        }
        self.weighted = {node.name: node for node in subgraph.nodes if node.name in candidate.weights}
        self._nodes = [self._reading_floats(node) for node in subgraph.nodes]
        # a clamp that is fused belongs to its quantizer
        self._bounds = {
            layer.output: _bounds(candidate, layer)
            for layer in subgraph.layers
            if len(layer.nodes) > 1
            and layer.nodes[-1].op_type in ("Relu", "Clip")
            and layer.output in candidate.features
        }
        self._fused_clamps = {layer.name for layer in subgraph.layers if layer.output in self._bounds}

    def check(self, replay: Replay, pictures: Sequence[int]) -> tuple[str | None, dict[str, float]]:
        """Compare the float block in PyTorch with ONNX Runtime's.

        Returns:
            What is not covered or differs, else None; and weighted node -> standard deviation of its output.
        """
        node = self._subgraph.nodes[0]
        try:
            values = read_batch(replay.float, self._subgraph.inputs, pictures)
            with torch.no_grad():
                for node in self._subgraph.nodes:
                    run_node(node, values, self.constants, None)
            expected = read_batch(replay.float, self._subgraph.outputs, pictures)
            deviations = {name: float(values[n.output[0]].std(correction=0)) for name, n in self.weighted.items()}
        except NotImplementedError as error:
            return one_line(error), {}
        except OPERATOR_ERRORS:
            return f"{node.op_type} {node.name} is not covered in this form", {}
        for name, y in expected.items():
            actual = values[name]
            if actual.shape != y.shape:
                return f"PyTorch gives {name!r} the shape {list(actual.shape)}, not {list(y.shape)}", {}
            difference = float((actual - y).norm() / y.norm().clamp_min(SMALLEST_DIVISOR))
            if not difference <= MAX_FLOAT_DIFFERENCE:
                return f"PyTorch's {name!r} differs by {difference:.2g} of its norm", {}
        return None, deviations

    def run(self, inputs: Values, parameters: BlockParameters, seed: int) -> Values:
        """Compute the quantized block's tensors; the seed decides which values of narrow features stay in float.

        Inputs that nodes in float read are given in float.
        """
        values = dict(inputs)
        for name in filter(self._read_in_float, inputs):
            values[f"{name}/float"] = inputs[name]
            rounded = fake_quantize(inputs[name].numpy(), self._features[name])
            values[name] = laid_out(torch.from_numpy(rounded))
        for index, node in enumerate(self._nodes):
            if node.name in self._fused_clamps:
                values[node.output[0]] = values[node.input[0]]
            else:
                run_node(node, values, self._quantized_constants, parameters.weights.get(node.name))
            for name in node.output:
                if self._read_in_float(name):
                    values[f"{name}/float"] = self._clamped(name, values[name])
                if name in parameters.scales:
                    values[name] = self._quantized(name, values[name], parameters.scales[name], seed + index)
        return values

    def _read_in_float(self, tensor: str) -> bool:
        """Whether a feature has consumers that take its float values."""
        return tensor in self._features and bool(self._features[tensor].float_consumers)

    def _reading_floats(self, source: onnx.NodeProto) -> onnx.NodeProto:
        """Copy a node; the features that it takes in float have `/float` behind their names."""
        node = onnx.NodeProto()
        node.CopyFrom(source)
        for index, name in enumerate(source.input):
            if self._read_in_float(name) and name not in self.constants:
                in_float = source.name in self._features[name].float_consumers
                node.input[index] = f"{name}/float" if in_float else name
        return node

    def _clamped(self, name: str, x: Tensor) -> Tensor:
        """A tensor with the clamp that is fused before it."""
        return x.clamp(*self._bounds[name]) if name in self._bounds else x

    def quantized_share(self, tensor: str) -> float:
        """Share of a tensor's values that are quantized while learning."""
        params = self._features.get(tensor)
        return QDROP_SHARE if params is not None and params.bits < MIN_BITS_WITHOUT_QDROP else 1.0

    def _quantized(self, name: str, x: Tensor, scales: Tensor, seed: int) -> Tensor:
        """Quantize a feature, with the clamp that is fused before it."""
        params, shape = self._features[name], x.shape
        if len(scales) > 1:
            x = x.reshape([*shape[:2], -1, 1]) if x.ndim != 4 else x
        bounds = self._bounds.get(name, (-math.inf, math.inf))
        qmax, share = params.quant_params.qmax, self.quantized_share(name)
        fake_quant = FakeQuantParams(params.zero_point, qmax, bounds, share, seed)
        y: Tensor = FakeQuantize.apply(laid_out(x), scales, fake_quant)
        return y.reshape(shape)


def _bounds(candidate: Candidate, layer: Layer) -> tuple[float, float]:
    """The clamp that ends a layer; where the converter leaves the upper bound to the threshold there is none."""
    low, high = clamp_bounds(candidate.graph, layer.nodes[-1])
    return (low, math.inf) if candidate.soc.follows_converter else (low, high)


def read_batch(files: TensorFiles, names: Sequence[str], pictures: Sequence[int]) -> Values:
    """Read tensors of several pictures, one behind the other along the first axis."""
    return {
        name: laid_out(torch.from_numpy(np.concatenate([files.read(name, index) for index in pictures])))
        for name in names
    }


def laid_out(x: Tensor) -> Tensor:
    """A tensor channels last in memory if it has 4 dimensions, else contiguous."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x.contiguous()


def _leaf(x: Tensor) -> Tensor:
    return x.detach().requires_grad_()
