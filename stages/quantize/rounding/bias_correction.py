"""Bias correction: what quantization adds to the mean of a layer's output, its bias takes away.

Source: M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, in the
form with pictures; the vendor's `weight_corr` and `feature_corr`.
"""

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.graph.session import Runner
from stages.quantize.candidate import Candidate
from stages.quantize.partition.layers import Layer
from stages.quantize.partition.nodes import bias_of
from stages.quantize.partition.subgraphs import Subgraph, subgraph_model
from stages.quantize.rounding.replay import Replay

__all__ = ["can_have_bias", "correct_bias"]

Array = NDArray[np.float32]


def can_have_bias(node: onnx.NodeProto) -> bool:
    """Whether a weighted node can have a bias: a MatMul cannot."""
    return node.op_type in ("Conv", "ConvTranspose", "Gemm")


def correct_bias(candidate: Candidate, node: onnx.NodeProto, replay: Replay, weights: bool, features: bool) -> None:
    """Correct one node's bias.

    The correction is the mean over pictures and positions of its output in float, less that with its quantized weight
    (`weights`), with its input from the quantized layers before it (`features`), or with both.
    """
    layer = Layer(node.op_type, (node,))
    alone = Subgraph((layer,), (node.input[0],), (node.output[0],))
    original = subgraph_model(candidate.graph, alone)
    plain = Runner(original)
    changed = Runner(candidate.subgraph(alone) if weights else original)
    axis = 1 if node.op_type != "Gemm" else -1
    total = np.zeros(())
    for index in range(replay.count):
        exact = replay.float.read(node.input[0], index)
        source = replay.input_of(node, index) if features else exact
        before = plain.run({node.input[0]: exact})[node.output[0]]
        after = changed.run({node.input[0]: source})[node.output[0]]
        others = tuple(i for i in range(before.ndim) if i != axis % before.ndim)
        total = total + (before.mean(axis=others, dtype=np.float64) - after.mean(axis=others, dtype=np.float64))
    bias = candidate.bias(node) if weights else bias_of(candidate.graph, node)
    shift = total / replay.count
    candidate.set_bias(node, (shift if bias is None else bias + shift).astype(np.float32))
