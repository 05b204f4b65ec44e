"""The integer model as an ONNX file: nodes of the domain `socquant` compute on codes, others move codes or are float.

docs/arithmetic.md lists the operators. A node that makes codes carries their `bits`, `scale` and `zero_point`, the
`channel_scales` if each channel has its own, and the clamp `low`..`high`; an ONNX operator that takes codes (Reshape,
MaxPool, ...) hands them on. All else is float.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import DTypeLike, NDArray
from onnx import helper

from stages.core.base.errors import UserError
from stages.core.graph.onnx_graph import attribute, load_model

__all__ = ["DOMAIN", "VERSION", "QuantParams", "inner_tensors", "load_integer_model", "tensor_quant_params"]

DOMAIN = "socquant"
VERSION = 1


@dataclass(frozen=True)
class QuantParams:
    """What the codes of a tensor mean: real = (code - zero_point) * scale, codes 0 .. 2**bits - 1.

    Attributes:
        bits: width of a code.
        scale: float32 value; of several scales the largest.
        zero_point: the code of real 0, in every channel.
        channel_scales: float32 values, one a channel (axis 1); empty where `scale` serves all.
    """

    bits: int
    scale: float
    zero_point: int
    channel_scales: tuple[float, ...] = ()

    @property
    def scales(self) -> NDArray[np.float32]:
        """float32 [C], the scale of each channel, or [1] where one serves all."""
        return np.array(self.channel_scales or (self.scale,), dtype=np.float32)

    def broadcast_scale(self, rank: int) -> NDArray[np.float32]:
        """The scale as it broadcasts against a tensor of that rank: float32 [C, 1, ...] for axis 1, or a scalar."""
        return self.scales.reshape([-1, *[1] * (rank - 2)] if self.channel_scales else [])

    @property
    def qmax(self) -> int:
        """The largest code."""
        return (1 << self.bits) - 1

    @property
    def dtype(self) -> DTypeLike:
        """NumPy type that stores a code."""
        return np.uint8 if self.bits <= 8 else np.uint16

    @property
    def onnx_type(self) -> int:
        """ONNX type that stores a code."""
        return int(helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype)))


def tensor_quant_params(nodes: Iterable[onnx.NodeProto]) -> dict[str, QuantParams]:
    """Map every tensor that holds codes to their meaning; nodes in topological order."""
    found: dict[str, QuantParams] = {}
    for node in nodes:
        if node.domain == DOMAIN:
            bits: Any = attribute(node, "bits")
            if bits is not None:
                scales = tuple(map(float, attribute(node, "channel_scales", ())))
                codes = QuantParams(bits, float(attribute(node, "scale")), attribute(node, "zero_point"), scales)
                found.update(dict.fromkeys(node.output, codes))
        elif node.input and node.input[0] in found:
            found.update(dict.fromkeys(node.output, found[node.input[0]]))
    return found


def inner_tensors(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Tensors of the float network that lie inside fused layers, where the integer model has no codes."""
    return {name.decode() for node in nodes if node.domain == DOMAIN for name in attribute(node, "inner", [])}


def load_integer_model(path: Path) -> onnx.ModelProto:
    """Load an integer model.

    Raises:
        UserError: if the file is missing or is none of this version.
    """
    model = load_model(path)
    versions = {entry.domain: entry.version for entry in model.opset_import}
    if versions.get(DOMAIN) != VERSION:
        raise UserError(f"{path} is no integer model of version {VERSION}: run `dvc repro quantize`")
    return model
