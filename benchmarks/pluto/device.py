"""What the camera would do with a compiled network by the sources of its runtime: whether it loads it, and its bytes.

Only what goes beyond the compiler's own arithmetic is here (runtime/ of github.com/inoop/t41-pluto at 8f374b6).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.pluto.compiler import OFFSET, Codes, Compiler
from stages.build.pluto.network_input import input_bytes, input_is_twos_complement, input_quantizer
from stages.build.pluto.qdq_graph import QdqGraph
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner, with_outputs

__all__ = ["answer"]

MAX_LAYERS, MAX_GROUPS, MAX_INPUTS = 256, 32, 4
PICTURE_CHANNELS = 3
FAR = 2
"""Codes by which a layer's output may differ from ONNX Runtime's: more is something else."""


def answer(compiler: Compiler, model: onnx.ModelProto, picture: NDArray[np.float32]) -> str:
    """What becomes of a network.

    Args:
        compiler: the open compiler.
        model: the network in any QDQ form.
        picture: [C, H, W], an input.

    Returns:
        `stops`, `load`, `wrong` with the reason behind a colon, or `right`.
    """
    stopped = compiler.refusal(model)
    if stopped:
        return f"stops: {stopped}"
    network = compiler.load(model)
    for layer in network.layers:
        for fault in _load_faults(compiler.kernel(layer), layer):
            return f"load: {layer.name}: {fault}"
    if len(network.layers) - len([each for each in network.layers if type(each).__name__ == "SiluLayer"]) > MAX_LAYERS:
        return "load: too many layers"
    read = {name for layer in network.layers for name in layer.inputs}
    for name in network.output_names:
        if name in read:
            return f"wrong: the memory of {name} is used again"
    for layer in network.layers:
        for fault in _silent_faults(compiler.kernel(layer), layer):
            return f"wrong: {layer.name}: {fault}"
    return _compared(compiler, network, model, picture)


def _load_faults(kernel: str, layer: Any) -> Iterator[str]:
    """Why the plan of a layer's kernel fails."""
    if type(layer).__name__ != "ConvLayer":
        return
    if layer.stride[0] != layer.stride[1]:
        yield "strides differ"
    if kernel == "pointwise" and layer.stride[0] != 1:
        yield "1x1 with a stride"
    if kernel == "depthwise" and (layer.kh, layer.kw) != (3, 3):
        yield "depthwise is 3x3"
    if kernel == "stem" and layer.kh > 15:
        yield "kernel too high"
    if kernel == "dense":
        fused = layer.stride[0] == 2 and (layer.kh, layer.kw) == (3, 3) and layer.pad[::2] == (1, 1)
        if layer.kh != layer.kw or (layer.stride[0] != 1 and not (fused and layer.cin // 32 % 2 == 0)):
            yield "a window that the feed is not written for"


def _silent_faults(kernel: str, layer: Any) -> Iterator[str]:
    """What the kernel assumes without a check, where the compiler's arithmetic does not show it."""
    if type(layer).__name__ == "ConvLayer":
        if kernel == "pointwise" and any(layer.pad):
            yield "1x1 with pads"
        if kernel == "pointwise" and layer.cin > MAX_GROUPS * 32:
            yield "more groups than the walk has"
        if kernel == "depthwise" and layer.stride[0] == 1 and layer.pad != (1, 1, 1, 1):
            yield "pads other than 1"
        if kernel == "dense" and layer.pad[::2] != (1, 1):
            yield "pads other than 1"
        if kernel == "stem":
            pixels = layer.kh * layer.kw
            slots = layer.cin if pixels * layer.cin <= 32 else (layer.cin + 15) // 16 * 16
            if (pixels * slots + 31) // 32 > MAX_GROUPS:
                yield "more groups than the walk has"
    if type(layer).__name__ == "ConcatLayer" and (len(layer.inputs) > MAX_INPUTS or layer.axis not in (1, -3)):
        yield "inputs that a layer does not have"


def _compared(compiler: Compiler, network: Any, model: onnx.ModelProto, picture: NDArray[np.float32]) -> str:
    """Whether each layer's bytes are about ONNX Runtime's codes, if it gets ONNX Runtime's."""
    qdq = QdqGraph(Graph(model))
    compiled = {layer.output for layer in network.layers}
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm") and node.output[0] not in compiled:
            return f"wrong: {node.name} is dropped"
    if len(set(qdq.graph.outputs)) > len(network.output_names):
        return "wrong: outputs are missing"
    expected = _expected(qdq, model, picture)
    fed = _fed(qdq, picture)
    for layer in network.layers:
        inputs = [fed if name == network.input_name else expected[name] for name in layer.inputs]
        try:
            given = _on_camera(compiler, layer, inputs).astype(np.int64).reshape(-1)
        except Exception as error:  # what its arithmetic does not compute is no layer of the runtime
            return f"wrong: {layer.name}: {type(error).__name__} in the compiler's arithmetic"
        wanted = expected[layer.output].astype(np.int64).reshape(-1)
        if wanted.size != given.size or np.abs(wanted - given).max() > FAR:
            return f"wrong: the codes of {layer.name}"
    return "right"


def _expected(qdq: QdqGraph, model: onnx.ModelProto, picture: NDArray[np.float32]) -> dict[str, Codes]:
    """ONNX Runtime's codes of every quantized tensor, as the camera's bytes."""
    codes = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    runner = Runner(with_outputs(model, list(codes.values())), optimize="none")
    values = runner.run({qdq.graph.inputs[0]: picture[None]})
    expected = {}
    for name, tensor in codes.items():
        signed = values[tensor].dtype == np.int8
        stored = (values[tensor].astype(np.int64) + (OFFSET if signed else 0)).astype(np.uint8)
        expected[name] = stored.reshape(stored.shape[1:] if stored.shape[2:] != (1, 1) else -1)
    return expected


def _fed(qdq: QdqGraph, picture: NDArray[np.float32]) -> Codes:
    """The input's bytes: what build writes to in.bin."""
    quantizer = input_quantizer(qdq)
    qparams = qdq.qparams(quantizer) if quantizer is not None else None
    assert qparams is not None
    cells = input_bytes(picture[None], qparams, input_is_twos_complement(qdq))
    channels, height, width = picture.shape
    return cells.transpose(0, 3, 1, 2).reshape(-1, *cells.shape[1:3])[:channels, :height, :width]


def _on_camera(compiler: Compiler, layer: Any, inputs: list[Codes]) -> Codes:
    """A layer's bytes from the camera's kernel."""
    kernel = compiler.kernel(layer)
    if kernel in ("k3", "stem") and layer.cin <= PICTURE_CHANNELS:
        return compiler.layer(layer, [np.bitwise_xor(inputs[0], np.uint8(0x80))])
    if kernel == "avgpool":  # it adds the zero point to each byte, wrapped to eight bits
        moved = (inputs[0].astype(np.int64) + layer.act_in.zero_point + OFFSET) % 256
        return compiler.layer(layer, [moved.astype(np.uint8)])
    return compiler.layer(layer, inputs)
