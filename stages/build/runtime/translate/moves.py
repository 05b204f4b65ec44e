"""Operators that only move elements, codes or floats."""

import numpy as np
import onnx

from stages.build.runtime.movement import moved, movement
from stages.build.runtime.translate.pools import MAX_POOLS
from stages.build.runtime.translate.translation import Translation
from stages.core.graph.onnx_graph import attribute
from stages.core.integer.dumps import nhwc
from stages.core.integer.operators import MOVES

__all__ = ["MOVING_OPERATORS", "move", "moves"]

INDEXED_BY_CONSTANTS = {"Gather", "GatherElements", "GatherND"}
MOVING_OPERATORS = (MOVES - MAX_POOLS) | INDEXED_BY_CONSTANTS | {
    "CenterCropPad", "Compress", "Expand", "ReverseSequence", "Tile", "Trilu",
}  # fmt: skip
"""ONNX operators whose outputs hold their input's elements, moved; Gather and its kin where indices are constant."""


def moves(to: Translation, node: onnx.NodeProto) -> bool:
    """Whether a node only moves elements."""
    computed = any(name and name not in to.constants for name in node.input[1:])
    return node.op_type in MOVING_OPERATORS and not (computed and node.op_type in INDEXED_BY_CONSTANTS)


def move(to: Translation, node: onnx.NodeProto) -> None:
    """Add the movements of a node, one an output."""
    x, padded = node.input[0], 0
    if any(name and name not in to.constants for name in node.input[1:]):
        raise to.unsupported(" with computed sizes")
    if node.op_type == "Resize" and attribute(node, "mode", b"nearest") != b"nearest":
        raise to.unsupported(" with interpolation by such rules")
    if node.op_type in ("Trilu", "CenterCropPad") and x in to.quant_params:
        raise to.unsupported(" on codes")
    if node.op_type == "Pad" and len(node.input) > 2 and node.input[2]:
        value = to.constants[node.input[2]]
        padded = int(value.view(np.int32).item() if value.dtype == np.float32 else value.item())
    number = to.operand(x)
    for name, sources in zip(node.output, moved(node, to.shape(x), to.constants, to.model.opset_import), strict=True):
        to.move(number, movement(nhwc(sources)), to.result(name), padded)
