"""Channels of so different a range that one scale cannot serve them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.compare.diagnose.finding import Finding
from stages.compare.gather.observed_features import ObservedFeature
from stages.core.config.overrides import skip_override
from stages.core.config.schema import Equalization, FeatureMethod, QuantConfig, Rounding
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import FeatureParams, NetworkParams, WeightParams
from stages.core.integer.operators import HOMOGENEOUS

__all__ = ["FINE", "channel_imbalance_findings"]

MIN_TIMES_MEDIAN = 8.0
"""The widest channel against the median one; 3 bits that the median channel does without."""
FEW_CODES = 16.0
"""A median channel of fewer codes has less than 4 bits."""
FINE = 0.99
"""From this cosine on, alone quantized, what takes the feature is good: then the imbalance does no harm."""
MIN_CHANNELS = 4  # of fewer there is no telling which one is out of the way


@dataclass(frozen=True)
class _Imbalance:
    """Channels that share a scale.

    Attributes:
        times_the_median: the widest channel's range in parts of the median one's.
        codes_of_the_median: how many codes the median one has.
        channel: the widest.
        cosine: least of the layers that suffer, each alone quantized.
    """

    times_the_median: float
    codes_of_the_median: float
    channel: int
    cosine: float

    def finding(self, node: str, sentence: str, cure: str) -> Finding:
        """The finding, with a cure that has to be tried."""
        evidence = {
            "times_the_median": self.times_the_median,
            "codes_of_the_median": self.codes_of_the_median,
            "channel": float(self.channel),
            "isolated_cosine": self.cosine,
        }
        return Finding("channel_imbalance", node, sentence, evidence, cure)


def channel_imbalance_findings(
    graph: Graph,
    params: NetworkParams,
    observed: Mapping[str, ObservedFeature],
    isolated: Mapping[str, float],
    quant: QuantConfig,
) -> list[Finding]:
    """Find features of which few channels take up the range, and weights with one scale likewise, worst first.

    One counts if the layers that take the feature (or hold the weight) are poor alone: what a few wide channels do to
    the others does not show in the feature itself, whose length is that of the wide ones.

    Args:
        graph: the float network.
        params: of the quantized one.
        observed: features on the debug pictures.
        isolated: tensor -> cosine of its layer alone quantized.
        quant: the settings.
    """
    by_cosine: list[tuple[float, Finding]] = []
    for feature in params.features:
        seen = observed.get(feature.tensor)
        cosine = _least(isolated, _fed_tensors(graph, feature.tensor))
        if seen is None or feature.method.is_constant or feature.channel_scales or cosine >= FINE:
            continue
        ranges = np.maximum(seen.channel_high, 0.0) - np.minimum(seen.channel_low, 0.0)
        if imbalance := _imbalance(ranges, feature.scale, cosine):
            by_cosine.append((cosine, _of_feature(graph, feature, imbalance, quant)))
    nodes, coded = {node.name: node for node in graph.nodes}, {feature.tensor for feature in params.features}
    for weight in params.weights:
        output = nodes[weight.node].output[0] if weight.node in nodes else ""
        fused = [] if output in coded else graph.consumers.get(output, [])  # an activation
        cosine = _least(isolated, (output, *(name for node in fused for name in node.output)))
        value = graph.constant(weight.tensor)
        if weight.axis is not None or value is None or cosine >= FINE or value.ndim < 3:
            continue
        ranges = 2.0 * np.abs(value.astype(np.float64)).reshape(len(value), -1).max(axis=1)
        if imbalance := _imbalance(ranges, weight.scales[0], cosine):
            scalable = all(node.op_type in HOMOGENEOUS for node in fused) and output not in graph.outputs
            by_cosine.append((cosine, _of_weight(weight, imbalance, scalable, quant)))
    return [finding for _, finding in sorted(by_cosine, key=lambda pair: pair[0])]


def _least(isolated: Mapping[str, float], tensors: Iterable[str]) -> float:
    """The least cosine of some tensors' layers alone; 1 where none is known."""
    return min((isolated[name] for name in tensors if name in isolated), default=1.0)


def _fed_tensors(graph: Graph, tensor: str) -> list[str]:
    """Outputs of the layers that take a tensor, and of the activation behind each."""
    direct = _outputs(graph.consumers.get(tensor, []))
    return direct + [name for output in direct for name in _outputs(graph.consumers.get(output, []))]


def _outputs(nodes: Sequence[onnx.NodeProto]) -> list[str]:
    return [name for node in nodes for name in node.output]


def _imbalance(ranges: NDArray[np.float64], scale: float, cosine: float) -> _Imbalance | None:
    """Channels too far apart for one scale, else None; those that are always 0 do not count."""
    alive = ranges[ranges > 0.0]
    if len(alive) < MIN_CHANNELS:
        return None
    median = float(np.median(alive))
    imbalance = _Imbalance(float(alive.max()) / median, median / scale, int(ranges.argmax()), cosine)
    apart = imbalance.times_the_median >= MIN_TIMES_MEDIAN and imbalance.codes_of_the_median < FEW_CODES
    return imbalance if apart else None


def _of_feature(graph: Graph, feature: FeatureParams, imbalance: _Imbalance, quant: QuantConfig) -> Finding:
    producer = graph.producers.get(feature.tensor)
    scalable = producer is not None and producer.op_type in HOMOGENEOUS and feature.tensor not in graph.outputs
    sentence = (
        f"channel {imbalance.channel} of {feature.node} is {imbalance.times_the_median:.3g} times as wide as the "
        f"median channel, which has {imbalance.codes_of_the_median:.3g} of {feature.quant_params.qmax + 1} codes; the "
        f"layer that takes it has cosine {imbalance.cosine:.4f} by itself"
    )
    milder = None if quant.feature_method is FeatureMethod.OUTPUT else "quant.feature_method=OUTPUT"
    node = str(producer.name) if producer is not None else feature.node  # a further output's row is called otherwise
    return imbalance.finding(feature.node, sentence, _cure(node, scalable, milder, quant))


def _of_weight(weight: WeightParams, imbalance: _Imbalance, scalable: bool, quant: QuantConfig) -> Finding:
    sentence = (
        f"the weights of {weight.node} share one scale, and channel {imbalance.channel} is "
        f"{imbalance.times_the_median:.3g} times as wide as the median channel, which has "
        f"{imbalance.codes_of_the_median:.3g} codes; the layer has cosine {imbalance.cosine:.4f} by itself"
    )
    milder = "quant.rounding=compensate" if quant.rounding is Rounding.nearest else None
    return imbalance.finding(weight.node, sentence, _cure(weight.node, scalable, milder, quant))


def _cure(node: str, scalable: bool, milder: str | None, quant: QuantConfig) -> str:
    """The mildest cure that has not been taken; the last is to keep the node in float."""
    if scalable and quant.equalization is Equalization.none:
        return "quant.equalization=cross_layer"
    return milder or skip_override([*quant.skip_nodes, node])
