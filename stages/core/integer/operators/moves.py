"""ONNX operators that move or pick codes: they stay what they are in the integer model, and work on codes."""

import numpy as np
import onnx

from stages.core.integer.writer import Writer

__all__ = ["HOMOGENEOUS_MOVES", "MOVES", "VIEWS", "simulate_move"]

VIEWS = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Those that only rename the same memory."""
MOVES = VIEWS | {
    "DepthToSpace", "GlobalMaxPool", "MaxPool", "Pad", "Resize", "Slice", "SpaceToDepth", "Split", "Transpose",
}  # fmt: skip
"""All of them; a Resize that interpolates is an operator of the integer domain instead."""
PADDED_VALUE_INPUT = 2
"""Which input of Pad holds the value."""
HOMOGENEOUS_MOVES = frozenset({"GlobalMaxPool", "MaxPool", "Pad"})
"""Those that keep channels where they are: factors of equalization pass through them."""


def simulate_move(to: Writer, node: onnx.NodeProto) -> None:
    """Write the same for codes minus their zero point; a padded value is a code too."""
    moved = onnx.NodeProto()
    moved.CopyFrom(node)
    moved.input[0] = to.minus_zp(node.input[0]).name
    if node.op_type == "Pad" and len(node.input) > PADDED_VALUE_INPUT and node.input[PADDED_VALUE_INPUT]:
        code = to.array(node.input[PADDED_VALUE_INPUT]).item() - to.quant_params[node.input[0]].zero_point
        moved.input[PADDED_VALUE_INPUT] = to.constant(np.float32(code))
    for index, name in enumerate(node.output):
        moved.output[index] = to.minus_zp(name).name
    to.nodes.append(moved)
