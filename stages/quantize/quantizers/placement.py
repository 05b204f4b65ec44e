"""Quantizer placement: what is quantized, at which bit width, from the layers, the SOC's operators and the settings."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stages.core.base.errors import UserError
from stages.core.config.schema import FLOAT_BITS, ChannelScales, FakeQuant, QuantConfig, SocConfig
from stages.core.graph.onnx_graph import Graph, attribute
from stages.core.integer.operators import KEEPS_CODES
from stages.quantize.partition.layer_graph import LayerGraph
from stages.quantize.partition.layers import Layer, first_and_last_layers
from stages.quantize.quantizers.bit_widths import BitWidths, nearest_bit_width
from stages.quantize.quantizers.float_layers import float_reasons, skipped_layers
from stages.quantize.quantizers.float_values import FloatValues
from stages.quantize.quantizers.node_bits import NodeBits
from stages.quantize.quantizers.notes import placement_notes
from stages.quantize.quantizers.per_channel import may_have_channel_scales, requantizes_per_channel
from stages.quantize.quantizers.setup import FeatureQuantizer, QuantizerSetup, WeightQuantizer

__all__ = ["place_quantizers"]


def place_quantizers(
    graph: Graph, soc: SocConfig, quant: QuantConfig, by_node: Mapping[str, NodeBits] | None = None
) -> QuantizerSetup:
    """Place quantizers.

    A tensor is quantized if its producer or a consumer runs in integers. On a SOC with float outputs the output of a
    weighted layer is quantized for its consumers in integers alone: where it ends the network or all its consumers run
    in float, it is not. Of the bit widths that all those layers can do a tensor gets the narrowest that holds the
    wanted one, else the widest.

    Args:
        graph: the float network.
        soc: what can run in integers, at which bit widths.
        quant: the wanted bit widths and what is to stay in float.
        by_node: bit widths and ranges of single nodes, which take precedence.

    Raises:
        UserError: if the SOC's operators around a tensor share no bit width or not the one that its node is given, or
            for a name or type in a skip list that the network lacks.
    """
    by_node = by_node or {}
    setup = _Placer(LayerGraph.of(graph, soc), soc, quant, by_node).place()
    return replace(setup, notes=placement_notes(graph, setup, soc, quant, by_node))


class _Placer:
    def __init__(
        self, network: LayerGraph, soc: SocConfig, quant: QuantConfig, by_node: Mapping[str, NodeBits]
    ) -> None:
        self._network, self._graph, self._soc, self._quant = network, network.graph, soc, quant
        self._bit_widths = BitWidths(network, soc, quant, by_node)
        self._skipped = skipped_layers(network, quant)
        self._float_values = FloatValues(
            network, soc, float_reasons(network, soc, self._skipped), set(self._unquantizable_tensors())
        )
        self._reasons = self._float_values.reasons
        self._first_and_last: set[str] = set()
        if quant.edge_bits:
            self._first_and_last = first_and_last_layers(self._graph, network.layers) - self._reasons.keys()
        self._sources = self._code_sources(self._quantized_tensors())
        self._first_and_last_features = {
            self._sources[name]
            for layer in network.layers
            if layer.name in self._first_and_last and (name := layer.first.input[0]) in self._sources
        }

    def place(self) -> QuantizerSetup:
        """The setup, without notes."""
        features, weights = self._features(), self._weights()
        integer = self._integer_layers(features, weights)
        if self._quant.channel_scales is not ChannelScales.never and requantizes_per_channel(self._soc):
            features = [replace(feature, per_channel=self._per_channel(feature, integer)) for feature in features]
        layers = self._network.layers
        skipped = [name for layer in layers if layer.name in self._skipped for name in layer.names]
        return QuantizerSetup(layers, integer, self._reasons, features, weights, skipped, notes=[])

    def _integer_layers(self, features: Sequence[FeatureQuantizer], weights: Sequence[WeightQuantizer]) -> set[str]:
        """Names of the layers whose features and weight all have codes."""
        coded, weighted = {feature.tensor for feature in features}, {weight.node for weight in weights}

        def runs(layer: Layer) -> bool:
            operands = layer.operands(self._graph)
            if layer.name in self._reasons or not operands or not coded.issuperset(operands):
                return False
            if layer.weighted(self._graph):
                return layer.first.name in weighted
            return coded.issuperset(layer.nodes[-1].output)

        return {layer.name for layer in self._network.layers if runs(layer)}

    # --- features ---

    def _integer_neighbours(self, tensor: str) -> list[Layer]:
        """The producer and the consumers of a tensor that can run in integers."""
        neighbours = list(self._network.consumers.get(tensor, []))
        if tensor in self._network.producers and not self._float_values.leaves_in_float(tensor):
            neighbours.insert(0, self._network.producers[tensor])
        return [layer for layer in neighbours if not self._float_values.runs_in_float(layer)]

    def _quantized_tensors(self) -> list[str]:
        """The tensors that get codes, constant operands first."""
        if self._quant.fake_quant is FakeQuant.weight:
            return []
        in_float = set(self._unquantizable_tensors())
        return [name for name in self._tensors() if name not in in_float and self._integer_neighbours(name)]

    def _unquantizable_tensors(self) -> list[str]:
        """The tensors that stay in float: those that the user wants so, and what the body of a Loop or If reads."""
        captured = self._graph.captured
        return [name for name in self._tensors() if name in captured or self._bit_widths.wants_float(name)]

    def _tensors(self) -> list[str]:
        """All tensors between layers, constant operands first."""
        inner = {name for layer in self._network.layers for name in layer.inner}
        constants = [name for name in self._network.consumers if name in self._graph.constants]
        return [name for name in (*constants, *self._graph.float_tensors) if name not in inner]

    def _code_sources(self, quantized: Sequence[str]) -> dict[str, str]:
        """Map each quantized tensor to the one whose codes it passes on (itself for most)."""
        sources: dict[str, str] = {}
        for tensor in quantized:
            producer = self._network.producers.get(tensor)
            keeps = producer is not None and producer.first.op_type in KEEPS_CODES
            passes = keeps and producer is not None and not self._float_values.runs_in_float(producer)
            origin = producer.first.input[0] if passes and producer is not None else tensor
            sources[tensor] = sources.get(origin, tensor)
        return sources

    def _features(self) -> list[FeatureQuantizer]:
        offered: dict[str, set[int]] = {}
        for tensor, source in self._sources.items():
            for layer in self._integer_neighbours(tensor):
                bit_widths = self._bit_widths.offered(layer, "feature_bits", self._wanted(source))
                offered[source] = offered.get(source, bit_widths) & bit_widths
                if not offered[source]:
                    raise UserError(
                        f"the {self._soc.name}'s operators around {tensor!r} share no feature bit width (conf/soc)"
                    )
        by_source = {source: self._source_quantizer(source, bit_widths) for source, bit_widths in offered.items()}
        return [
            replace(
                by_source[source],
                tensor=tensor,
                node=self._network.owner(tensor),
                float_consumers=self._float_values.consumers_in_float(tensor),
            )
            for tensor, source in self._sources.items()
        ]

    def _source_quantizer(self, tensor: str, offered: set[int]) -> FeatureQuantizer:
        """The quantizer of a tensor that passes no codes on; the operators around it offer some bit widths."""
        asked, wanted = self._bit_widths.node_bits(tensor), self._wanted(tensor)
        if asked.feature_bits is not None and asked.feature_bits not in offered:
            listed = ", ".join(map(str, sorted(offered)))
            raise UserError(
                f"quant.node_bits: {self._network.owner(tensor)}: {asked.feature_bits} bits: the {self._soc.name}'s "
                f"operators around {tensor!r} can do {listed}, or {FLOAT_BITS} for float"
            )
        bits, fixed = nearest_bit_width(wanted, offered), asked.feature_bits is not None
        first_or_last = tensor in self._first_and_last_features
        choices = (bits,) if fixed else self._bit_widths.choices(offered, "feature_bits", first_or_last)
        owner = self._network.owner(tensor)
        return FeatureQuantizer(
            tensor, owner, bits, tensor, asked.range, wanted_bits=wanted, bit_widths=choices, fixed=fixed
        )

    def _wanted(self, tensor: str) -> int:
        return self._bit_widths.wanted_of_feature(tensor, tensor in self._first_and_last_features)

    def _per_channel(self, feature: FeatureQuantizer, integer: set[str]) -> bool:
        """Whether each channel of a feature may have its own scale: not where the user gives the range."""
        return feature.range is None and may_have_channel_scales(self._network, feature.tensor, integer)

    # --- weights ---

    def _weights(self) -> list[WeightQuantizer]:
        if self._quant.fake_quant is FakeQuant.feature:
            return []
        layers = [
            layer for layer in self._network.layers if layer.weighted(self._graph) and layer.name not in self._reasons
        ]
        quantizers = [self._weight_quantizer(layer) for layer in layers]
        return [quantizer for quantizer in quantizers if quantizer is not None]

    def _weight_quantizer(self, layer: Layer) -> WeightQuantizer | None:
        """The quantizer of a layer's weight; None where it stays in float."""
        node, first_or_last = layer.first, layer.name in self._first_and_last
        asked = self._bit_widths.node_bits_of_layer(layer).weight_bits
        wanted = self._bit_widths.wanted_of_weight(layer, first_or_last)
        offered = self._bit_widths.offered(layer, "weight_bits", wanted)
        if asked is not None and asked not in offered | {FLOAT_BITS}:
            listed = ", ".join(map(str, sorted(offered)))
            raise UserError(
                f"quant.node_bits: {node.name}: {asked}-bit weights: the {self._soc.name} can do {listed} there, "
                f"or {FLOAT_BITS} for float"
            )
        if wanted == FLOAT_BITS or not offered:
            return None
        bits, fixed = nearest_bit_width(wanted, offered), asked is not None
        choices = (bits,) if fixed else self._bit_widths.choices(offered, "weight_bits", first_or_last)
        axis = _output_channel_axis(self._graph, layer)
        return WeightQuantizer(node.input[1], node.name, bits, axis, layer.output, wanted, choices, fixed)


def _output_channel_axis(graph: Graph, layer: Layer) -> int:
    """The weight's axis that counts output channels."""
    node = layer.first
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    if node.op_type == "MatMul":
        return len(graph.constants[node.input[1]].dims) - 1
    return 0
