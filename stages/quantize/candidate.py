"""A network being quantized: all that has been chosen for it. Rounding methods change it subgraph by subgraph."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.config.schema import Requantization, Rounding, SocConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import FeatureParams, NetworkParams, WeightParams
from stages.core.integer.thresholds import settled_scale
from stages.quantize.emit.lower import lower
from stages.quantize.emit.prepared import prepared_model, with_biases
from stages.quantize.parameters.alignment import short_bias_limit, whole_shift_scales
from stages.quantize.parameters.choose import alignments, kept_codes
from stages.quantize.parameters.scales import representable
from stages.quantize.parameters.weight_scales import broadcast_shape, weight_qmax
from stages.quantize.partition.layers import find_layers
from stages.quantize.partition.nodes import bias_of
from stages.quantize.partition.subgraphs import Subgraph, subgraph_model
from stages.quantize.quantizers.setup import QuantizerSetup

__all__ = ["Candidate"]

Array = NDArray[np.float32]
MAX_MOVE_KEEPING_CODES = 0.05
"""Relative change of a scale up to which its codes stay."""


@dataclass
class Candidate:
    """A network being quantized.

    Attributes:
        graph: the float network.
        setup: its quantizers.
        soc: the SOC that it is for.
        features: tensor -> parameters, in graph order.
        weights: node -> parameters, in graph order.
        codes: node -> int32 codes of its weight.
        factors: tensor that equalization scaled -> float32 [C]: original = scaled * factor.
        biases: node -> corrected bias, float32 [channels]; others keep the float network's.
        rounding: how the weights were rounded.
        held: features whose scale is not to be learned: by the converter's rules it is that of others too.
    """

    graph: Graph
    setup: QuantizerSetup
    soc: SocConfig
    features: dict[str, FeatureParams]
    weights: dict[str, WeightParams]
    codes: dict[str, NDArray[np.int32]]
    factors: Mapping[str, Array] = field(default_factory=dict)
    biases: dict[str, Array] = field(default_factory=dict)
    rounding: Rounding = Rounding.nearest
    held: Collection[str] = ()

    def copy(self) -> "Candidate":
        """A copy that changes by itself."""
        return replace(
            self,
            features=dict(self.features),
            weights=dict(self.weights),
            codes=dict(self.codes),
            biases=dict(self.biases),
        )

    def params(self) -> NetworkParams:
        """All parameters as they stand."""
        factors = {name: tuple(factor.tolist()) for name, factor in self.factors.items()}
        return NetworkParams(list(self.features.values()), list(self.weights.values()), self.setup.skipped, factors)

    def lowered(self) -> tuple[onnx.ModelProto, list[str]]:
        """The integer model, and notes about it."""
        model, setup = self.model(), self.setup
        if self.biases:  # the layers hold nodes of the network as it was
            setup = replace(setup, layers=find_layers(Graph(model), self.soc))
        return lower(model, self.soc, setup, self.params(), self.codes)

    def model(self) -> onnx.ModelProto:
        """The float network with the biases as they stand."""
        return with_biases(self.graph.model, self.biases)

    def subgraph(self, subgraph: Subgraph) -> onnx.ModelProto:
        """A subgraph in float, its weights dequantized and its biases as they stand."""
        names = {node.name for node in subgraph.nodes}
        weights = [weight for name, weight in self.weights.items() if name in names]
        model = prepared_model(subgraph_model(self.graph, subgraph), NetworkParams([], weights), self.codes)
        return with_biases(model, {name: bias for name, bias in self.biases.items() if name in names})

    def features_of(self, subgraph: Subgraph) -> list[FeatureParams]:
        """Parameters of the features that a subgraph's nodes consume or produce."""
        names = {name for node in subgraph.nodes for name in (*node.input, *node.output)}
        return [feature for name, feature in self.features.items() if name in names]

    def bias(self, node: onnx.NodeProto) -> Array | None:
        """A weighted node's bias as it stands, float32 [channels]."""
        return self.biases[node.name] if node.name in self.biases else bias_of(self.graph, node)

    def bias_limit(self, node: onnx.NodeProto, bias: Array) -> float:
        """The largest magnitude that the SOC's converter keeps of a weighted node's biases."""
        x, y = self.ends(node)
        if self.soc.requantization is not Requantization.sophgo_bm1684 or x is None or y is None:
            return math.inf
        step, codes = x.scale * self.weights[node.name].scales[0], self.codes[node.name]
        return short_bias_limit(bias, step, int(np.abs(codes).max(initial=0)))

    def set_bias(self, node: onnx.NodeProto, bias: Array) -> None:
        """Give a weighted node another bias, as far as the SOC's integers hold it."""
        limit = self.bias_limit(node, bias)
        self.biases[node.name] = np.clip(bias, -limit, limit).astype(np.float32)

    def rescale(self, tensor: str, scales: Array) -> None:
        """Give a feature other scales, float32 [1] or [C]; also all features that pass its codes on."""
        largest, by_channel = float(scales.max()), tuple(scales.tolist()) if len(scales) > 1 else ()
        for name in (quantizer.tensor for quantizer in self.setup.features if quantizer.source == tensor):
            params = self.features[name]
            if self.soc.follows_converter:
                largest = settled_scale(largest, params.zero_point, params.bits)
            low, high = representable(largest, params.zero_point, params.bits)
            self.features[name] = replace(params, scale=largest, channel_scales=by_channel, low=low, high=high)

    def ends(self, node: onnx.NodeProto) -> tuple[FeatureParams | None, FeatureParams | None]:
        """The features that a weighted node's layer begins and ends with; None: one in float."""
        output = next(quantizer.output for quantizer in self.setup.weights if quantizer.node == node.name)
        return self.features.get(node.input[0]), self.features.get(output)

    def reround(self, node: onnx.NodeProto, scales: Array, codes: NDArray[np.int32]) -> None:
        """Give a weight other scales and codes; its bias is cut to what they leave room for.

        Scales move to the nearest whose effective scales the SOC's integers express. Codes stay where that is by
        little, so that what was learned is not rounded twice; else they follow.
        """
        params = self.weights[node.name]
        x, y = self.ends(node)
        if self.soc.requantization is Requantization.sophgo_bm1684 and x is not None and y is not None:
            scales = whole_shift_scales(scales, x.scale, y.scale)
            self.weights[node.name] = replace(params, scales=tuple(scales.tolist()))
            self.codes[node.name] = kept_codes(codes, self.soc)
            if node.name in self.biases:
                self.set_bias(node, self.biases[node.name])
            return
        candidates = np.stack(alignments(scales, params.axis, self.bias(node), x, y, self.soc))
        nearest = np.abs(np.log(candidates / scales)).argmin(axis=0)
        aligned = np.take_along_axis(candidates, nearest[np.newaxis], axis=0)[0]
        move = (scales / aligned).reshape(broadcast_shape(codes.ndim, params.axis))
        qmax = weight_qmax(params.bits)
        followed = np.clip(np.rint(codes * move), -qmax, qmax).astype(np.int32)
        self.weights[node.name] = replace(params, scales=tuple(aligned.tolist()))
        moved = np.where(np.abs(move - 1.0) < MAX_MOVE_KEEPING_CODES, codes, followed)
        self.codes[node.name] = kept_codes(moved, self.soc)
