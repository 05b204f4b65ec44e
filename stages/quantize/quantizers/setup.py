"""Deciding what is quantized, at which width: from the layers, the SOC's operators and the wanted bits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np

from stages.core.base.errors import UserError, did_you_mean
from stages.core.config.schema import (
    FLOAT_BITS,
    ChannelScales,
    FakeQuant,
    Head,
    QuantConfig,
    Requantization,
    SocConfig,
    WeightScale,
)
from stages.core.graph.onnx_graph import Graph, attribute, output_name
from stages.core.integer.operators import BY_KIND, KEEPS_CODES
from stages.quantize.operators import why_float
from stages.quantize.partition.layers import Layer, find_layers, first_and_last_layers, head_layers
from stages.quantize.partition.nodes import clamp_bounds
from stages.quantize.quantizers.node_bits import NodeBits

__all__ = ["FeatureQuantizer", "QuantizerSetup", "WeightQuantizer", "nearest_bit_width", "place_quantizers"]


@dataclass(frozen=True)
class FeatureQuantizer:
    """A tensor to quantize.

    Attributes:
        tensor: its name; an initializer's for a constant operand.
        node: the node that makes it, or its own name.
        bits: width of its codes.
        source: the tensor whose range it takes: itself unless its codes are passed on.
        range: the user's own range.
        per_channel: whether each channel may have its own scale.
        bit_widths: what mixed precision may choose from: all widths of the SOC that the operators around it, and around
            what shares its codes, do; at the first and last layers none below `quant.edge_bits`.
        fixed: whether the user's node bits give its width, which is then the only choice.
    """

    tensor: str
    node: str
    bits: int
    source: str
    range: tuple[float, float] | None = None
    per_channel: bool = False
    bit_widths: tuple[int, ...] = field(default=(), compare=False)
    fixed: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class WeightQuantizer:
    """A weight to quantize.

    Attributes:
        tensor: the initializer's name.
        node: the node that takes it.
        bits: width of its codes.
        axis: its output-channel axis.
        output: the tensor that the layer makes.
        bit_widths, fixed: as for `FeatureQuantizer`.
    """

    tensor: str
    node: str
    bits: int
    axis: int
    output: str
    bit_widths: tuple[int, ...] = field(default=(), compare=False)
    fixed: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class QuantizerSetup:
    """Everything to quantize, in graph order, and what deserves a line in the report.

    Attributes:
        layers: all layers.
        integer: names of those that run in integers: all their features have codes, and their weight.
        features: what gets codes.
        weights: what weights get codes.
        skipped: nodes that the user's settings keep in float.
        notes: lines for the report.
    """

    layers: list[Layer]
    integer: set[str]
    features: list[FeatureQuantizer]
    weights: list[WeightQuantizer]
    skipped: list[str]
    notes: list[str]


def nearest_bit_width(wanted: int, allowed: Iterable[int]) -> int:
    """Give the narrowest allowed width that holds the wanted one, or the widest allowed if none does."""
    bit_widths = sorted(allowed)
    return next((width for width in bit_widths if width >= wanted), bit_widths[-1])


def place_quantizers(
    graph: Graph, soc: SocConfig, quant: QuantConfig, by_node: Mapping[str, NodeBits] | None = None
) -> QuantizerSetup:
    """Place quantizers.

    A tensor is quantized if a layer that runs in integers makes or takes it, except on a SOC with float outputs
    where a weighted layer ends the network. Of the widths that all those layers can do it gets the narrowest that
    holds the wanted one, else the widest.

    Args:
        graph: the float network.
        soc: what can run in integers, at which widths.
        quant: the wanted widths and what is to stay in float.
        by_node: widths and ranges of single nodes, which take precedence.

    Raises:
        UserError: if the SOC's operators around a tensor share no width or not the one that its node is given, or for
            a name or type in a skip list that the network lacks.
    """
    return _Placer(graph, soc, quant, by_node or {}).place()


def scales_a_channel(soc: SocConfig) -> bool:
    """Whether the SOC requantizes each channel of a weighted layer by its own gain."""
    return soc.weight_scale is WeightScale.per_channel and soc.requantization is not Requantization.shift


def _takes_channel_scales(layer: Layer) -> bool:
    """Whether a layer keeps channels apart, so that the feature it takes may have a scale a channel."""
    return layer.kind in BY_KIND and layer.kind in BY_KIND[layer.kind].per_channel_kinds


def _gives_channel_scales(graph: Graph, layer: Layer) -> bool:
    """Whether a layer has an effective scale or a table a channel, and clamps them all at one code.

    A fused activation must begin at 0, the zero point in every channel. It may end anywhere: the largest code of no
    channel lies beyond, since no channel's range does. Any other bound would be another code in each channel.
    """
    record = BY_KIND.get(layer.kind)
    if record is None or not record.per_channel_output:
        return False
    if not record.weighted:
        return True
    grouped = layer.first.op_type == "ConvTranspose" and attribute(layer.first, "group", 1) > 1  # one weight scale
    bounds = clamp_bounds(graph, layer.nodes[-1]) if len(layer.nodes) > 1 else (0.0, np.inf)
    return not grouped and bounds[0] == 0.0 <= bounds[1]


class _Placer:
    def __init__(self, graph: Graph, soc: SocConfig, quant: QuantConfig, by_node: Mapping[str, NodeBits]) -> None:
        self._graph, self._soc, self._quant, self._by_node = graph, soc, quant, by_node
        self._layers = find_layers(graph, soc)
        self._producers = {name: layer for layer in self._layers for name in layer.nodes[-1].output}
        self._named = {name: layer for layer in self._layers for name in layer.names}
        self._consumers: dict[str, list[Layer]] = {}
        for layer in self._layers:
            for name in dict.fromkeys(layer.operands(graph)):
                self._consumers.setdefault(name, []).append(layer)
        self._skipped = self._skips()
        self._reasons = self._why_float()
        self._edges = first_and_last_layers(graph, self._layers) - self._reasons.keys() if quant.edge_bits else set()
        self._sources = self._code_sources(self._quantized())
        self._edge_features = {
            self._sources[name]
            for layer in self._layers
            if layer.name in self._edges and (name := layer.first.input[0]) in self._sources
        }

    def place(self) -> QuantizerSetup:
        features = self._features()
        weights = self._weights()
        integer = self._integer({entry.tensor for entry in features}, {entry.node for entry in weights})
        features = [replace(entry, per_channel=self._own_scales(entry, integer)) for entry in features]
        skipped = [name for layer in self._layers if layer.name in self._skipped for name in layer.names]
        return QuantizerSetup(self._layers, integer, features, weights, skipped, self._notes(features, weights))

    # --- which layers ---

    def _why_float(self) -> dict[str, str]:
        """Map the layers that run in float to the reason."""
        reasons = {}
        floats = set(self._graph.float_tensors)
        for layer in self._layers:
            bit_widths = self._soc.operators.get(layer.kind)
            if layer.output not in floats:
                reasons[layer.name] = "it computes no float32 values"
            elif any(name not in self._graph.shapes for name in (layer.output, *self._computed(layer))):
                reasons[layer.name] = "its size is not known before it runs"
            elif layer.name in self._skipped:
                reasons[layer.name] = self._skipped[layer.name]
            elif bit_widths is None or not bit_widths.feature_bits:
                reasons[layer.name] = f"the {self._soc.name} has no integer {layer.kind}"
            elif (limit := why_float(self._graph, layer)) is not None:
                reasons[layer.name] = limit
        return reasons

    def _computed(self, layer: Layer) -> list[str]:
        return [name for name in layer.operands(self._graph) if name not in self._graph.constants]

    def _skips(self) -> dict[str, str]:
        """Map the layers that the user keeps in float to the setting that does."""
        kinds = {kind for layer in self._layers for kind in (layer.kind, *(node.op_type for node in layer.nodes))}
        for name in self._quant.skip_nodes:
            if name not in self._named:
                hint = did_you_mean(name, list(self._named))
                raise UserError(f"quant.skip_nodes: the network has no node {name!r}; {hint}")
        for kind in self._quant.skip_ops:
            if kind not in kinds:
                raise UserError(f"quant.skip_ops: the network has no {kind}; it has {', '.join(sorted(kinds))}")
        found = {}
        if self._quant.head is Head.float:
            found = dict.fromkeys(head_layers(self._graph, self._layers), "quant.head=float")
        for layer in self._layers:
            if {layer.kind, *(node.op_type for node in layer.nodes)} & set(self._quant.skip_ops):
                found[layer.name] = "quant.skip_ops"
            if set(layer.names) & set(self._quant.skip_nodes):
                found[layer.name] = "quant.skip_nodes"
        return found

    def _integer(self, coded: set[str], weighted: set[str]) -> set[str]:
        """Names of the layers whose features and weight all have codes."""

        def runs(layer: Layer) -> bool:
            operands = layer.operands(self._graph)
            if layer.name in self._reasons or not operands or not coded.issuperset(operands):
                return False
            if layer.weighted(self._graph):
                return layer.first.name in weighted
            return coded.issuperset(layer.nodes[-1].output)

        return {layer.name for layer in self._layers if runs(layer)}

    # --- features ---

    def _touching(self, tensor: str) -> list[Layer]:
        """Integer layers that make or take a tensor."""
        made = [self._producers[tensor]] if tensor in self._producers else []
        ends = tensor in self._graph.outputs and any(layer.weighted(self._graph) for layer in made)
        if self._soc.float_outputs and ends:
            made = []
        return [layer for layer in (*made, *self._consumers.get(tensor, [])) if layer.name not in self._reasons]

    def _quantized(self) -> list[str]:
        """The tensors that get codes, constant operands first."""
        if self._quant.fake_quant is FakeQuant.weight:
            return []
        inside = {name for layer in self._layers for name in layer.inner}
        constants = [name for name in self._consumers if name in self._graph.constants]
        tensors = [name for name in (*constants, *self._graph.float_tensors) if name not in inside]
        return [name for name in tensors if self._touching(name) and not self._stays_float(name)]

    def _features(self) -> list[FeatureQuantizer]:
        sources = self._sources
        common: dict[str, set[int]] = {}
        for tensor, source in sources.items():
            for layer in self._touching(tensor):
                bit_widths = self._bit_widths(layer, "feature_bits", self._wanted(source))
                common[source] = common.get(source, bit_widths) & bit_widths
                if not common[source]:
                    raise UserError(
                        f"the {self._soc.name}'s operators around {tensor!r} share no feature width (conf/soc)"
                    )
        bits = {source: self._width(source, bit_widths) for source, bit_widths in common.items()}
        fixed = {source: self._asked(source).feature_bits is not None for source in common}
        choices = {
            source: (bits[source],)
            if fixed[source]
            else self._choices(bit_widths, "feature_bits", source in self._edge_features)
            for source, bit_widths in common.items()
        }
        return [
            FeatureQuantizer(
                name,
                self._owner(name),
                bits[source],
                source,
                self._asked(source).range,
                bit_widths=choices[source],
                fixed=fixed[source],
            )
            for name, source in sources.items()
        ]

    def _stays_float(self, tensor: str) -> bool:
        """Because the user wants it so, or because the body of a Loop or If takes it."""
        asked = self._asked(tensor).feature_bits
        wanted = self._quant.feature_bits if asked is None else asked
        return wanted == FLOAT_BITS or tensor in self._graph.captured

    def _owner(self, tensor: str) -> str:
        return output_name(self._producers[tensor].nodes[-1], tensor) if tensor in self._producers else tensor

    def _asked(self, tensor: str) -> NodeBits:
        """What the user asks of a tensor: of any node of its layer, the last first."""
        layer = self._producers.get(tensor)
        if layer is None or tensor != layer.output:
            return self._by_node.get(self._owner(tensor), NodeBits())
        return self._asked_of(layer)

    def _asked_of(self, layer: Layer) -> NodeBits:
        asked = [self._by_node[name] for name in layer.names if name in self._by_node]
        return reduce(lambda earlier, later: later.over(earlier), asked, NodeBits())

    def _wanted(self, tensor: str) -> int:
        asked = self._asked(tensor).feature_bits
        return self._at_least(self._quant.feature_bits, tensor in self._edge_features) if asked is None else asked

    def _at_least(self, bits: int, edge: bool) -> int:
        """The wanted width, or a wider one at the network's edges; float (the largest number) stays."""
        return max(bits, self._quant.edge_bits or 0) if edge else bits

    def _bit_widths(self, layer: Layer, side: str, wanted: int) -> set[int]:
        """Widths of a layer; those that exist on the PC only when they are the very ones that are wanted."""
        simulated = set(getattr(self._soc.simulated, side)) & {wanted}
        return set(getattr(self._soc.operators[layer.kind], side)) | simulated

    def _choices(self, allowed: set[int], side: str, edge: bool) -> tuple[int, ...]:
        """What mixed precision may choose from: the SOC's own widths, at the first and last layers the wide ones."""
        own = sorted(allowed - set(getattr(self._soc.simulated, side)))
        return tuple(width for width in own if width >= self._at_least(0, edge)) or tuple(own[-1:])

    def _width(self, tensor: str, allowed: set[int]) -> int:
        asked = self._asked(tensor).feature_bits
        if asked is not None and asked not in allowed:
            listed = ", ".join(map(str, sorted(allowed)))
            raise UserError(
                f"quant.node_bits: {self._owner(tensor)}: {asked} bits: the {self._soc.name}'s operators around "
                f"{tensor!r} can do {listed}, or {FLOAT_BITS} for float"
            )
        return nearest_bit_width(self._wanted(tensor), allowed)

    def _code_sources(self, quantized: Sequence[str]) -> dict[str, str]:
        """Map each quantized tensor to the one whose codes it passes on (itself for most)."""
        sources: dict[str, str] = {}
        for tensor in quantized:
            layer = self._producers.get(tensor)
            passes = layer is not None and layer.first.op_type in KEEPS_CODES and layer.name not in self._reasons
            origin = layer.first.input[0] if passes and layer is not None else tensor
            sources[tensor] = sources.get(origin, tensor)
        return sources

    def _own_scales(self, entry: FeatureQuantizer, integer: set[str]) -> bool:
        """Whether each channel of a feature may have its own scale, and every integer stays exact.

        What takes it has to keep channels apart: a depthwise convolution takes their scales into its gains, a table is
        then one a channel. An operator that sums them up, or moves them, could not. What makes it has to have a gain
        or a table a channel too.
        """
        layer, tensor = self._producers.get(entry.tensor), entry.tensor
        if (
            not (self._quant.channel_scales is not ChannelScales.never and scales_a_channel(self._soc))
            or layer is None
            or entry.range is not None
        ):
            return False
        if layer.name not in integer or tensor in self._graph.outputs or len(self._graph.shapes[tensor]) < 3:
            return False
        consumers = [self._named[node.name] for node in self._graph.consumers.get(tensor, [])]
        apart = all(consumer.name in integer and _takes_channel_scales(consumer) for consumer in consumers)
        return bool(consumers) and apart and _gives_channel_scales(self._graph, layer)

    # --- weights ---

    def _weights(self) -> list[WeightQuantizer]:
        if self._quant.fake_quant is FakeQuant.feature:
            return []
        found = []
        for layer in self._layers:
            node = layer.first
            if not layer.weighted(self._graph) or layer.name in self._reasons:
                continue
            asked = self._asked_of(layer).weight_bits
            wanted = self._wanted_weight(layer)
            allowed = self._bit_widths(layer, "weight_bits", wanted)
            if asked is not None and asked not in allowed | {FLOAT_BITS}:
                listed = ", ".join(map(str, sorted(allowed)))
                raise UserError(
                    f"quant.node_bits: {node.name}: {asked}-bit weights: the {self._soc.name} can do {listed} there, "
                    f"or {FLOAT_BITS} for float"
                )
            if wanted != FLOAT_BITS and allowed:
                bits, axis, fixed = nearest_bit_width(wanted, allowed), self._channel_axis(layer), asked is not None
                choices = (bits,) if fixed else self._choices(allowed, "weight_bits", layer.name in self._edges)
                found.append(WeightQuantizer(node.input[1], node.name, bits, axis, layer.output, choices, fixed))
        return found

    def _wanted_weight(self, layer: Layer) -> int:
        asked = self._asked_of(layer).weight_bits
        return self._at_least(self._quant.weight_bits, layer.name in self._edges) if asked is None else asked

    def _channel_axis(self, layer: Layer) -> int:
        """The weight's axis that counts output channels."""
        node = layer.first
        if node.op_type == "ConvTranspose":
            return 1
        if node.op_type == "Gemm":
            return 0 if attribute(node, "transB", 0) else 1
        if node.op_type == "MatMul":
            return len(self._graph.constants[node.input[1]].dims) - 1
        return 0

    # --- lines for the report ---

    def _notes(self, features: Sequence[FeatureQuantizer], weights: Sequence[WeightQuantizer]) -> list[str]:
        """What runs in float, and what runs narrower or wider than wanted."""
        soc = self._soc
        makes_float = set(self._graph.float_tensors)
        notes = [
            f"{layer.name} ({layer.kind}) runs in float: {reason}"
            for layer in self._layers
            if (reason := self._reasons.get(layer.name)) and layer.output in makes_float
        ]
        for side, what, places in (
            ("feature_bits", "features", features),
            ("weight_bits", "weights", weights),
        ):
            beyond = {place.bits for place in places} & set(getattr(soc.simulated, side))
            notes += [
                f"{bits}-bit {what} exist on the PC only: the {soc.name} has no such width" for bits in sorted(beyond)
            ]
        notes += [
            f"{place.tensor} has {place.bits}-bit codes, not {self._wanted(place.source)}: no width nearer to it "
            f"serves all operators around it on the {soc.name}"
            for place in features
            if place.bits != self._wanted(place.source)
        ]
        notes += [
            f"{place.node} has {place.bits}-bit weights, not {self._wanted_weight(layer)}: the {soc.name} does "
            f"{', '.join(map(str, soc.operators[layer.kind].weight_bits))} bits there"
            for place in weights
            if place.bits != self._wanted_weight(layer := self._named[place.node])
        ]
        return notes + self._channel_scales(features) + self._unused(features, weights)

    def _channel_scales(self, features: Sequence[FeatureQuantizer]) -> list[str]:
        """What became of `quant.channel_scales`."""
        if self._quant.channel_scales is ChannelScales.never:
            return []
        count = sum(place.per_channel for place in features)
        if not scales_a_channel(self._soc):
            return [f"quant.channel_scales has no effect: the {self._soc.name} does not requantize a channel by itself"]
        if not count:
            return ["quant.channel_scales has no effect: no feature can have a scale a channel"]
        return [
            f"features with a scale a channel (quant.channel_scales): {count}; integer.onnx and quantized.onnx compute "
            "so, no vendor's converter is known to: the node-bits file has one range a feature. Calibrate on 100 "
            "pictures or more: a channel's range shows later than its tensor's"
        ]

    def _unused(self, features: Sequence[FeatureQuantizer], weights: Sequence[WeightQuantizer]) -> list[str]:
        """What the node-bits file asks in vain."""
        own = {place.node for place in features if place.source == place.tensor}
        weighted = {place.node for place in weights}
        notes = []
        for name, asked in self._by_node.items():
            layer = self._named.get(name)
            owner = layer.name if layer else name
            if owner not in own and (asked.range or asked.feature_bits not in (None, FLOAT_BITS)):
                notes.append(
                    f"quant.node_bits: {name}: its output is in float or passes codes on: nothing to set there"
                )
            if asked.weight_bits not in (None, FLOAT_BITS) and (layer is None or layer.first.name not in weighted):
                notes.append(f"quant.node_bits: {name}: no weights are quantized there")
        return notes
