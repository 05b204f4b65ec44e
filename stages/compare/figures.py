"""The report's figures, out of what compare gathered: each is drawn while the caller goes on."""

from collections.abc import Mapping, Sequence

import onnx

from stages.compare.closeup import Closer, CloseUp, enclosing_layers
from stages.compare.diagnosis.observed import Observed
from stages.compare.drawing import Drawing, Sketch
from stages.compare.networks import made_in_integers
from stages.compare.similarity import Row, node_names
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.qparams import FeatureParams, NetworkParams, WeightParams

__all__ = ["bits_figure", "curve_figure", "layer_figures"]

NAMED, NAMED_NARROW = 5, 3


def curve_figure(drawing: Drawing, rows: Sequence[Row], named: Sequence[str], marked: Sequence[str]) -> Sketch:
    """Similarity over depth; names the first of some nodes, and marks those of findings."""
    wide, narrow = (
        drawing.draw("similarity_plot", rows, "", named[:count], marked, narrow=count == NAMED_NARROW)
        for count in (NAMED, NAMED_NARROW)
    )
    return Sketch(wide, "", narrow)


def bits_figure(drawing: Drawing, graph: Graph, integer: onnx.ModelProto, params: NetworkParams) -> Sketch:
    """Widths over depth, of the table's rows in their order."""
    tensors, in_integers = node_names(graph), made_in_integers(integer)
    features = {entry.tensor: entry.bits for entry in params.features}
    weights = {entry.node: entry.bits for entry in params.weights}
    of_features = [features.get(name) for name in tensors]
    of_weights = [weights.get(graph.producers[name].name) for name in tensors]
    in_float = [name not in in_integers for name in tensors]
    wide, narrow = (
        drawing.draw("bits_plot", of_features, of_weights, in_float, narrow=narrow) for narrow in (False, True)
    )
    return Sketch(wide, "", narrow)


def layer_figures(
    drawing: Drawing,
    tensors: Sequence[str],
    graph: Graph,
    integer: onnx.ModelProto,
    params: NetworkParams,
    closer: Closer,
    observed: Mapping[str, Observed],
) -> dict[str, list[Sketch]]:
    """Look at some layers: histogram, float against quantized, ranges of channels and weights.

    Args:
        drawing: draws them.
        tensors: what the layers make.
        graph: the float network.
        integer: the integer model; says what is fused.
        params: ranges and scales.
        closer: what was seen of the tensors.
        observed: how many values codes clip.
    """
    features = {entry.tensor: entry for entry in params.features}
    weights = {entry.node: entry for entry in params.weights}
    found = {}
    for tensor in tensors:
        seen, feature = closer.of(tensor), features.get(tensor)
        found[tensor] = _of_tensor(drawing, seen, feature, observed.get(tensor))
        for node in _nodes(tensor, graph, integer):
            if node in weights:
                found[tensor].append(_of_weight(drawing, graph, weights[node], scaled=bool(params.factors)))
    return found


def _nodes(tensor: str, graph: Graph, integer: onnx.ModelProto) -> list[str]:
    """The float network's nodes of the layer that makes a tensor."""
    inside = [name for name, made in enclosing_layers(integer).items() if made == tensor]
    return [graph.producers[name].name for name in (*sorted(inside), tensor) if name in graph.producers]


def _of_tensor(
    drawing: Drawing, seen: CloseUp, feature: FeatureParams | None, observed: Observed | None
) -> list[Sketch]:
    ranged = "no codes: the layer's output is in float"
    low = high = None
    limits: tuple[list[float], list[float]] = ([], [])
    if feature:
        low, high = feature.low, feature.high
        ranged = f"dashed: codes of {feature.bits} bits reach {low:.4g} .. {high:.4g}"
        if observed and observed.clipped:
            ranged += f"; {observed.clipped / observed.values:.2g} of the values lie beyond"
        scales = feature.scales.astype(float)
        limits = (list(-feature.zero_point * scales), list((feature.quant_params.qmax - feature.zero_point) * scales))
    statistics = seen.statistics
    apart = "each channel has a scale of its own" if feature and feature.channel_scales else "all share one scale"
    channels = f"{len(statistics.channel_low)} channels" + (f"; {apart}" if feature else "")
    return [
        Sketch(drawing.draw("histogram_plot", statistics, low, high), f"Histogram of the float tensor; {ranged}"),
        Sketch(
            drawing.draw("pair_plot", seen.reference, seen.quantized),
            f"Float against quantized, {len(seen.reference)} values, all layers before quantized too; "
            "on the diagonal both are equal",
        ),
        Sketch(
            drawing.draw("channel_plot", statistics.channel_low, statistics.channel_high, *limits, "feature"),
            f"Least to greatest value of the feature: {channels}" + ("; dashed: what codes reach" if feature else ""),
        ),
    ]


def _of_weight(drawing: Drawing, graph: Graph, weight: WeightParams, scaled: bool) -> Sketch:
    """The weights of each output channel as the float network has them, and where nothing scaled them their codes."""
    value = graph.constant(weight.tensor)
    assert value is not None
    axis = weight.axis if weight.axis is not None else 0
    others = tuple(other for other in range(value.ndim) if other != axis)
    reach = [] if scaled else [scale * (2 ** (weight.bits - 1) - 1) for scale in weight.scales]
    scales = "a scale a channel" if weight.axis is not None else "all share one scale"
    said = f"; dashed: codes of {weight.bits} bits" if reach else "; codes stand for scaled weights"
    low, high = value.min(others), value.max(others)
    plot = drawing.draw("channel_plot", low, high, [-each for each in reach], reach, "weights")
    return Sketch(plot, f"Weights of {weight.node}, {value.shape[axis]} output channels, {scales}{said}")
