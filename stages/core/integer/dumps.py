"""Dumps of layers: which there are, the names of their files, the layout of their bytes.

The vendor's tools write a layer as `<name>_Quantize.bin` on the PC and as `<name>_Quantize_out.bin` on the board, NHWC,
4-bit codes two a byte; equal files mean equal layers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.base.file_names import file_names
from stages.core.graph.onnx_graph import PICTURE_RANK, Graph, output_name
from stages.core.integer.model import DOMAIN, is_step, tensor_quant_params
from stages.core.integer.operators.boundary import QUANTIZERS
from stages.core.integer.quant_params import QuantParams

__all__ = [
    "NODE_INFO",
    "DumpedLayer",
    "dump_names",
    "dumped_layers",
    "layer_dumps",
    "nhwc",
    "node_info",
    "packed",
]

NODE_INFO = "model_node_info.json"
"""The file beside dumps that describes them; compare's and the converter's debug run have it too."""


def nhwc(values: NDArray[Any]) -> NDArray[Any]:
    """A picture-shaped tensor [N, C, H, W] as [N, H, W, C]; of any other rank as it is."""
    return values.transpose(0, 2, 3, 1) if values.ndim == PICTURE_RANK else values


def dump_names(model: onnx.ModelProto) -> dict[str, str]:
    """The layers of an integer model that are dumped: tensor -> name of its file without its suffix.

    Constants, dequantized values and the steps of a layer are left out. A node's output is named after the node, the
    codes of an input or of a layer that runs in float after their tensor.
    """
    named = {}
    for node in model.graph.node:
        if node.op_type == "Constant" or (node.domain == DOMAIN and node.op_type == "Dequantize") or is_step(node):
            continue
        quantizes = node.domain == DOMAIN and node.op_type in QUANTIZERS
        named.update({name: name if quantizes else output_name(node, name) for name in node.output if name})
    stems = (name.removesuffix(".bin") for name in file_names(list(named.values())))
    return dict(zip(named, stems, strict=True))


def packed(values: NDArray[Any], quant_params: QuantParams | None) -> bytes:
    """The bytes of a layer's dump: NHWC, little-endian, without padding.

    Codes of 4 bits lie two a byte, the even channel in the low half; the last of an odd number is padded with zeros.

    Args:
        values: codes as uint8 or uint16, or float32; shape as in the network.
        quant_params: of the codes; None for floats.
    """
    rows = np.ascontiguousarray(nhwc(values))
    if quant_params is None or quant_params.bits > 4:
        return rows.astype(rows.dtype.newbyteorder("<")).tobytes()
    rows = rows.reshape(-1, rows.shape[-1] if rows.ndim else 1)
    pairs = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
    return bytes((pairs[:, ::2] | pairs[:, 1::2] << 4).astype(np.uint8).tobytes())


@dataclass(frozen=True)
class DumpedLayer:
    """A layer of an integer model that is dumped.

    Attributes:
        tensor: its output.
        node: its name in tables.
        file: of the PC's dump.
        shape: in the file: NHWC for rank 4.
        quant_params: of its codes; None for float32.
        inputs: tensors of the dumped layers that it is computed from.
    """

    tensor: str
    node: str
    file: str
    shape: tuple[int, ...]
    quant_params: QuantParams | None
    inputs: tuple[str, ...]


def dumped_layers(model: onnx.ModelProto) -> list[DumpedLayer]:
    """The layers of `dump_names`, in graph order."""
    graph, quant_params, stems = Graph(model), tensor_quant_params(model.graph.node), dump_names(model)

    def sources(tensor: str) -> Iterator[str]:
        for name in filter(None, graph.producers[tensor].input):
            if name in stems:
                yield name
            elif name in graph.producers:
                yield from sources(name)

    layers = []
    for tensor, stem in stems.items():
        shape = graph.shapes.get(tensor, [])
        file_shape = [shape[axis] for axis in (0, 2, 3, 1)] if len(shape) == PICTURE_RANK else shape
        producer = graph.producers[tensor]
        quantizes = producer.domain == DOMAIN and producer.op_type in QUANTIZERS
        node = tensor if quantizes else output_name(producer, tensor)
        file = _file(stem, tensor in quant_params)
        inputs = tuple(dict.fromkeys(sources(tensor)))
        layers.append(DumpedLayer(tensor, node, file, tuple(file_shape), quant_params.get(tensor), inputs))
    return layers


def node_info(layers: Sequence[DumpedLayer]) -> dict[str, Any]:
    """The content of `model_node_info.json`: of each node its file, what that holds, and the nodes it is computed from.

    Args:
        layers: in graph order.
    """
    nodes = {layer.tensor: layer.node for layer in layers}
    listed: dict[str, Any] = {}
    for layer in layers:
        inputs = [nodes[name] for name in layer.inputs]
        listed[layer.node] = {"file": layer.file, "shape": list(layer.shape), "takes": inputs}
        if (qparams := layer.quant_params) is not None:
            listed[layer.node] |= {
                "type": np.dtype(qparams.dtype).name,
                "bits": qparams.bits,
                "scale": qparams.scale,
                "zero_point": qparams.zero_point,
                "channel_scales": list(qparams.channel_scales),
            }
    return {"files": listed}


def layer_dumps(model: onnx.ModelProto, values: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
    """The PC's dumps of an integer model's layers; a board's have `_out` before `.bin`.

    Args:
        model: the integer model.
        values: of every tensor in `dump_names`: codes, or float32 where it has none.

    Returns:
        File name -> bytes: `<layer>_Quantize.bin` for codes, `<layer>.bin` for float32.
    """
    quant_params = tensor_quant_params(model.graph.node)
    return {
        _file(stem, name in quant_params): packed(values[name], quant_params.get(name))
        for name, stem in dump_names(model).items()
    }


def _file(stem: str, codes: bool) -> str:
    return f"{stem}_Quantize.bin" if codes else f"{stem}.bin"
