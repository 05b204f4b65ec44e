"""Joints whose parts have unlike ranges: boxes in pixels beside scores, landmarks beside a probability.

One scale for all would leave the small part a few codes. The joint is before an output, where nothing multiplies any
more, so that keeping it in float costs next to nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from stages.core.config.schema import FLOAT_BITS, QuantConfig, UnlikeParts
from stages.core.statistics.tensor_statistics import TensorStatistics
from stages.quantize.partition.layer_graph import LayerGraph
from stages.quantize.partition.layers import Layer
from stages.quantize.quantizers.node_bits import NodeBits

__all__ = ["UnlikeJoint", "keep_in_float", "output_joints", "unlike_joints"]

LEAST_CODES = 16
"""Codes that a part's range has to cover; of few bits a sixteenth of all."""


@dataclass(frozen=True)
class UnlikeJoint:
    """A Concat before an output that ruins one of its parts.

    Attributes:
        node: the Concat's name.
        part: the part's tensor.
        part_range: its least and greatest value, 0 among them.
        joint_range: the same of all parts.
        codes: how many of the joint's codes the part's range covers.
        following: nodes from the Concat to the outputs, itself first.
    """

    node: str
    part: str
    part_range: tuple[float, float]
    joint_range: tuple[float, float]
    codes: float
    following: tuple[str, ...]

    def note(self) -> str:
        """A line for the report."""
        low, high = self.part_range
        return (
            f"{self.node} (Concat) and what follows stay in float: {self.part} ({low:.4g} .. {high:.4g}) would have "
            f"{self.codes:.2g} codes on one scale with {self.joint_range[0]:.4g} .. {self.joint_range[1]:.4g}; "
            "quant.unlike_parts=quantized quantizes it all the same"
        )


def output_joints(network: LayerGraph, quant: QuantConfig) -> dict[str, tuple[str, ...]]:
    """Find the Concats before an output, whose parts' ranges decide whether they stay in float.

    Args:
        network: its layers.
        quant: whether such joints are to be found at all.

    Returns:
        Concat's name -> the nodes from it to the outputs, itself first.
    """
    if quant.float_features or quant.unlike_parts is UnlikeParts.quantized:
        return {}
    following = _before_outputs(network)
    return {
        layer.name: tuple(dict.fromkeys(following[layer.output]))
        for layer in network.layers
        if layer.first.op_type == "Concat" and layer.output in following
    }


def unlike_joints(
    network: LayerGraph, statistics: Mapping[str, TensorStatistics], quant: QuantConfig
) -> list[UnlikeJoint]:
    """Find the Concats before an output one of whose parts one scale would ruin.

    Args:
        network: its layers.
        statistics: of its tensors.
        quant: the bit width, and whether such joints are to be found at all.
    """
    following = output_joints(network, quant)
    found = []
    for layer in network.layers:
        if layer.name not in following:
            continue
        ranges = {name: _range(statistics[name]) for name in layer.operands(network.graph) if name in statistics}
        if len(ranges) < 2:
            continue
        joint = min(low for low, _ in ranges.values()), max(high for _, high in ranges.values())
        codes = {
            name: 2**quant.feature_bits * (high - low) / (joint[1] - joint[0])
            for name, (low, high) in ranges.items()
            if high > low
        }
        worst = min(codes, key=lambda name: codes[name], default="")
        if worst and codes[worst] < min(LEAST_CODES, 2**quant.feature_bits / LEAST_CODES):
            nodes = following[layer.name]
            found.append(UnlikeJoint(layer.name, worst, ranges[worst], joint, codes[worst], nodes))
    return found


def keep_in_float(joints: list[UnlikeJoint]) -> dict[str, NodeBits]:
    """The settings that keep joints in float, and all that follows them."""
    return {name: NodeBits(FLOAT_BITS) for joint in joints for name in joint.following}


def _range(statistics: TensorStatistics) -> tuple[float, float]:
    return min(statistics.low, 0.0), max(statistics.high, 0.0)


def _before_outputs(network: LayerGraph) -> dict[str, list[str]]:
    """Tensors that reach outputs without passing a layer with weights -> the layers from their own on."""
    following: dict[str, list[str]] = {}
    outputs = set(network.graph.outputs)
    for layer in reversed(network.layers):
        consumers = network.consumers.get(layer.output, [])
        if not consumers and layer.output not in outputs:
            continue
        if all(_passes(consumer, network, following) for consumer in consumers):
            rest = [name for consumer in consumers for name in following[consumer.output]]
            following[layer.output] = [layer.name, *rest]
    return following


def _passes(layer: Layer, network: LayerGraph, following: Mapping[str, list[str]]) -> bool:
    return layer.output in following and not layer.weighted(network.graph)
