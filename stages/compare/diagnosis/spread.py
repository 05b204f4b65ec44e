"""Channels of so different a range that one scale cannot serve them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.compare.diagnosis.finding import Effect, Finding
from stages.compare.diagnosis.observed import Observed
from stages.core.config.overrides import skip_override
from stages.core.config.schema import Equalization, FeatureMethod, QuantConfig, Rounding
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.qparams import CONSTANT, FeatureParams, NetworkParams

__all__ = ["spread_findings"]

APART = 8.0
"""The widest channel against the median one; 3 bits that the median channel does without."""
FEW_CODES = 16.0
"""A median channel of fewer codes has less than 4 bits."""
FELT = 0.99
"""What takes the feature is good from this cosine on, alone quantized: then the spread does no harm."""
LEAST_CHANNELS = 4  # of fewer there is no telling which one is out of the way
SCALABLE = {
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Relu", "PRelu", "LeakyRelu", "Add", "Sub", "MaxPool", "AveragePool",
    "GlobalAveragePool", "GlobalMaxPool", "Concat", "Resize", "Pad",
}  # fmt: skip


def spread_findings(
    graph: Graph,
    params: NetworkParams,
    observed: Mapping[str, Observed],
    isolated: Mapping[str, float],
    quant: QuantConfig,
) -> list[Finding]:
    """Find features of which few channels take up the range, and weights with one scale likewise.

    One counts if the layers that take the feature (or hold the weight) are poor alone: what a few wide channels do to
    the others does not show in the feature itself, whose length is that of the wide ones.

    Args:
        graph: the float network.
        params: of the quantized one.
        observed: features on the debug pictures.
        isolated: tensor -> cosine of its layer alone quantized.
        quant: the settings.
    """
    found = []
    for entry in params.features:
        seen, consumers = observed.get(entry.tensor), _consumers(graph, entry.tensor)
        felt = min((isolated[name] for name in consumers if name in isolated), default=1.0)
        if seen is None or entry.method == CONSTANT or entry.channel_scales or felt >= FELT:
            continue
        ranges = np.maximum(seen.channel_high, 0.0) - np.minimum(seen.channel_low, 0.0)
        evidence = _spread(ranges, entry.scale)
        if evidence:
            found.append((felt, _of_feature(graph, entry, ranges, evidence | {"isolated_cosine": felt}, quant)))
    nodes, coded = {node.name: node for node in graph.nodes}, {entry.tensor for entry in params.features}
    for weight in params.weights:
        made = nodes[weight.node].output[0] if weight.node in nodes else ""
        behind = [] if made in coded else graph.consumers.get(made, [])  # a fused activation
        fused = [name for node in behind for name in node.output]
        felt = min((isolated[name] for name in (made, *fused) if name in isolated), default=1.0)
        value = graph.constant(weight.tensor)
        if weight.axis is not None or value is None or felt >= FELT or value.ndim < 3:
            continue
        ranges = 2.0 * np.abs(value.astype(np.float64)).reshape(len(value), -1).max(axis=1)
        evidence = _spread(ranges, weight.scales[0])
        if evidence:
            scalable = all(node.op_type in SCALABLE for node in behind) and made not in graph.outputs
            cure = _ladder(weight.node, scalable, quant, with_output=False)
            sentence = (
                f"the weights of {weight.node} share one scale, and channel {int(ranges.argmax())} is "
                f"{evidence['times_the_median']:.3g} times as wide as the median one, which is left with "
                f"{evidence['codes_of_the_median']:.3g} codes; alone the layer has cosine {felt:.4f}"
            )
            evidence = evidence | {"isolated_cosine": felt}
            found.append((felt, Finding("spread", weight.node, sentence, evidence, cure, _effect(cure, felt))))
    return [finding for _, finding in sorted(found, key=lambda pair: pair[0])]


def _consumers(graph: Graph, tensor: str) -> list[str]:
    """What the layers that take a tensor make, the activation behind each too."""
    direct = [name for node in graph.consumers.get(tensor, []) for name in node.output]
    return direct + [name for first in direct for node in graph.consumers.get(first, []) for name in node.output]


def _spread(ranges: NDArray[np.float64], scale: float) -> dict[str, float]:
    """The numbers of a spread that is too wide, else none; channels that are always 0 do not count."""
    alive = ranges[ranges > 0.0]
    if len(alive) < LEAST_CHANNELS:
        return {}
    median = float(np.median(alive))
    apart, codes = float(alive.max()) / median, median / scale
    if apart < APART or codes >= FEW_CODES:
        return {}
    return {"times_the_median": apart, "codes_of_the_median": codes, "channel": float(ranges.argmax())}


def _of_feature(
    graph: Graph,
    entry: FeatureParams,
    ranges: NDArray[np.float64],
    evidence: Mapping[str, float],
    quant: QuantConfig,
) -> Finding:
    producer = graph.producers.get(entry.tensor)
    scalable = producer is not None and producer.op_type in SCALABLE and entry.tensor not in graph.outputs
    felt = evidence["isolated_cosine"]
    cure = _ladder(entry.node, scalable, quant, with_output=True)
    sentence = (
        f"channel {int(ranges.argmax())} of {entry.node} is {evidence['times_the_median']:.3g} times as wide as the "
        f"median one, which is left with {evidence['codes_of_the_median']:.3g} of {entry.quant_params.qmax + 1} codes; "
        f"what takes it has cosine {felt:.4f} alone"
    )
    return Finding("spread", entry.node, sentence, dict(evidence), cure, _effect(cure, felt))


def _ladder(node: str, scalable: bool, quant: QuantConfig, with_output: bool) -> str:
    """The mildest cure that has not been taken."""
    if scalable and quant.equalization is Equalization.none:
        return "quant.equalization=cross_layer"
    if not with_output and quant.rounding is Rounding.nearest:
        return f"quant.rounding={Rounding.compensate.value}"
    if with_output and quant.feature_method is not FeatureMethod.OUTPUT:
        return "quant.feature_method=OUTPUT"
    return skip_override([*quant.skip_nodes, node])


def _effect(cure: str, felt: float) -> Effect | None:
    """Of a layer kept in float the isolated error goes; other cures have to be tried by quantizing again."""
    return Effect("isolated cosine", felt, 1.0) if cure.startswith("quant.skip_nodes") else None
