"""How many codes of this project's simulator are those of the open compiler's arithmetic: each layer alone, and all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.pluto.compiler import Codes, Compiler
from stages.core.graph.session import Runner
from stages.core.integer.model import tensor_quant_params
from stages.core.integer.simulator import simulator_model

__all__ = ["Equality", "count_equal"]


@dataclass(frozen=True)
class Equality:
    """Codes of a network that both sides have.

    Attributes:
        codes: how many there are.
        alone: how many differ where each layer gets the simulator's codes, by the layer's type.
        through: how many differ where each side runs the network from the picture.
        left_out: layers whose result the simulator has in float.
    """

    codes: int
    alone: Mapping[str, int]
    through: int
    left_out: tuple[str, ...]


def count_equal(
    compiler: Compiler,
    form: onnx.ModelProto,
    quantized: onnx.ModelProto,
    integer: onnx.ModelProto,
    feeds: Mapping[str, NDArray[np.float32]],
) -> Equality:
    """Compare both sides on one picture.

    Args:
        compiler: the open compiler.
        form: the network that it reads.
        quantized: quantize's network in QDQ form, of which `form` was made.
        integer: quantize's integer model.
        feeds: the picture.
    """
    network = compiler.load(form)
    ours = _simulated(form, quantized, integer, feeds)
    (picture,) = feeds.values()
    theirs = compiler.run(network, picture[0])
    ours.setdefault(network.input_name, theirs[network.input_name])
    codes, through, alone, left_out = 0, 0, dict[str, int](), list[str]()
    for layer in network.layers:
        if layer.output not in ours:
            left_out.append(layer.name)
            continue
        expected = ours[layer.output]
        codes += expected.size
        through += int(np.count_nonzero(expected != theirs[layer.output].reshape(expected.shape)))
        if all(name in ours for name in layer.inputs):
            computed = compiler.layer(layer, [ours[name] for name in layer.inputs])
            wrong = int(np.count_nonzero(expected != computed.reshape(expected.shape)))
            alone[type(layer).__name__] = alone.get(type(layer).__name__, 0) + wrong
    return Equality(codes, {name: count for name, count in alone.items() if count}, through, tuple(left_out))


def _simulated(
    form: onnx.ModelProto,
    quantized: onnx.ModelProto,
    integer: onnx.ModelProto,
    feeds: Mapping[str, NDArray[np.float32]],
) -> dict[str, Codes]:
    """The simulator's codes of each tensor that the form quantizes, by its name there."""
    sources = {node.output[0]: node.input[0] for node in quantized.graph.node if node.op_type == "QuantizeLinear"}
    coded = tensor_quant_params(integer.graph.node)
    names = {
        node.input[0]: sources[node.output[0]].removesuffix("/float")
        for node in form.graph.node
        if node.op_type == "QuantizeLinear" and node.output[0] in sources
    }
    names = {ours: name for ours, name in names.items() if name in coded}
    values = Runner(simulator_model(integer, sorted(set(names.values())), codes=True), optimize="safe").run(feeds)
    return {ours: _one_picture(values[name]) for ours, name in names.items()}


def _one_picture(codes: NDArray[Any]) -> Codes:
    picture: Codes = codes[0]
    return picture.reshape(-1) if picture.ndim == 3 and picture.shape[1:] == (1, 1) else picture
