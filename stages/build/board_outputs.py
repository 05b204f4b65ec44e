"""The network's outputs on the board: order, shape, quantization parameters."""

from collections.abc import Sequence
from dataclasses import dataclass

from stages.core.graph.onnx_graph import PICTURE_RANK, Graph
from stages.core.integer.network_params import NetworkParams
from stages.core.integer.quant_params import QuantParams

__all__ = ["BoardOutput", "board_outputs", "exported_shape"]


@dataclass(frozen=True)
class BoardOutput:
    """One output tensor.

    Attributes:
        name: of the tensor in the exported graph.
        shape: in the board's memory: NHWC for a picture-shaped output, else as in the graph.
        qparams: quantization parameters of its codes; None where the board returns float32.
    """

    name: str
    shape: tuple[int, ...]
    qparams: QuantParams | None


def board_outputs(graph: Graph, params: NetworkParams) -> list[BoardOutput]:
    """Describe a network's outputs in order: quantized ones return codes, the others float32."""
    qparams = {feature.tensor: feature.quant_params for feature in params.features}
    return [BoardOutput(name, _board_shape(graph.shapes[name]), qparams.get(name)) for name in graph.outputs]


def _board_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """NCHW -> NHWC; other ranks stay."""
    if len(shape) != PICTURE_RANK:
        return tuple(shape)
    batch, channels, height, width = shape
    return (batch, height, width, channels)


def exported_shape(output: BoardOutput) -> list[int]:
    """The output's shape in the exported graph: NHWC -> NCHW; other ranks stay."""
    if len(output.shape) != PICTURE_RANK:
        return list(output.shape)
    batch, height, width, channels = output.shape
    return [batch, channels, height, width]
