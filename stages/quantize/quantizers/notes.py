"""Lines for the report: what runs in float, what has another bit width than wanted, which settings have no effect."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from stages.core.config.schema import FLOAT_BITS, ChannelScales, QuantConfig, SocConfig
from stages.core.graph.onnx_graph import Graph
from stages.quantize.quantizers.node_bits import NodeBits
from stages.quantize.quantizers.per_channel import requantizes_per_channel
from stages.quantize.quantizers.setup import QuantizerSetup

__all__ = ["folded", "placement_notes"]

MAX_REASONS = 3  # in a line
MOST_ALIKE = 3  # lines that differ by a layer's name alone
FLOAT_NOTE = re.compile(r"(?P<name>.+) \((?P<kind>\S+)\) runs in float: (?P<reason>.+)")


def placement_notes(
    graph: Graph, setup: QuantizerSetup, soc: SocConfig, quant: QuantConfig, by_node: Mapping[str, NodeBits]
) -> list[str]:
    """Say what of a quantizer placement is not as wanted, a line each.

    Args:
        graph: the float network.
        setup: its quantizers.
        soc: the SOC.
        quant: the settings.
        by_node: bit widths and ranges of single nodes.
    """
    return [
        *_nothing_in_integers(graph, setup, soc, quant),
        *_float_layers(graph, setup),
        *_simulated_bit_widths(setup, soc),
        *_unwanted_bit_widths(setup, soc),
        *_channel_scales(setup, soc, quant),
        *_unused_node_bits(setup, by_node),
    ]


def _nothing_in_integers(graph: Graph, setup: QuantizerSetup, soc: SocConfig, quant: QuantConfig) -> list[str]:
    """A network, or all of its layers with weights, in float though no setting asks for it: similarity is then 1."""
    if quant.float_features or quant.float_weights:
        return []
    float_tensors, reasons = set(graph.float_tensors), setup.float_reasons
    layers = [
        layer
        for layer in setup.layers
        if layer.output in float_tensors and not reasons.get(layer.name, "").startswith("quant.")
    ]
    for what, group in (("layer", layers), ("layer with weights", [each for each in layers if each.weighted(graph)])):
        if group and all(layer.name in reasons for layer in group):
            counts = Counter(reasons[layer.name] for layer in group).most_common(MAX_REASONS)
            why = "; ".join(f"{reason} ({count} of {len(group)})" for reason, count in counts)
            return [f"no {what} runs in integers on the {soc.name}, so that a cosine of 1 says nothing: {why}"]
    return []


def folded(notes: Sequence[str]) -> list[str]:
    """Say in one line what more than three layers of a type run in float for; the other notes as they are."""
    matches = [FLOAT_NOTE.fullmatch(line) for line in notes]
    names: dict[tuple[str, str], list[str]] = {}
    for found in filter(None, matches):
        names.setdefault((found["kind"], found["reason"]), []).append(found["name"])
    lines: dict[str, None] = {}
    for line, match in zip(notes, matches, strict=True):
        alike = names[match["kind"], match["reason"]] if match else []
        if match is None or len(alike) <= MOST_ALIKE:
            lines[line] = None
        else:
            shown = f"{', '.join(alike[:MOST_ALIKE])}, ..."
            lines[f"{len(alike)} layers ({match['kind']}) run in float: {match['reason']}: {shown}"] = None
    return list(lines)


def _float_layers(graph: Graph, setup: QuantizerSetup) -> list[str]:
    """Layers that run in float; those that compute no floats need no mention.

    Of a layer that the user keeps in float the line names the nodes whose codes it reads all the same.
    """
    float_tensors, skipped = set(graph.float_tensors), set(setup.skipped)
    features = {feature.tensor: feature for feature in setup.features}
    notes = []
    for layer in setup.layers:
        if layer.name not in setup.float_reasons or layer.output not in float_tensors:
            continue
        rounded = [
            features[name].node
            for name in dict.fromkeys(layer.operands(graph))
            if name in features and layer.first.name not in features[name].float_consumers
        ]
        line = f"{layer.name} ({layer.kind}) runs in float: {setup.float_reasons[layer.name]}"
        if rounded and layer.name in skipped:
            line += f", on the codes of {', '.join(rounded)}"
        notes.append(line)
    return notes


def _simulated_bit_widths(setup: QuantizerSetup, soc: SocConfig) -> list[str]:
    """Bit widths that the SOC does not have."""
    notes = []
    for simulated, what, quantizers in (
        (soc.simulated.feature_bits, "features", setup.features),
        (soc.simulated.weight_bits, "weights", setup.weights),
    ):
        used = {quantizer.bits for quantizer in quantizers} & set(simulated)
        notes += [
            f"{bits}-bit {what} exist on the PC only: the {soc.name} has no such bit width" for bits in sorted(used)
        ]
    return notes


def _unwanted_bit_widths(setup: QuantizerSetup, soc: SocConfig) -> list[str]:
    """Features and weights that are narrower or wider than wanted."""
    layers, groups = {name: layer for layer in setup.layers for name in layer.names}, soc.bit_widths
    notes = [
        f"{feature.tensor} has {feature.bits}-bit codes, not {feature.wanted_bits}: no bit width nearer to it serves "
        f"all operators around it on the {soc.name}"
        for feature in setup.features
        if feature.bits != feature.wanted_bits
    ]
    for weight in setup.weights:
        if weight.bits != weight.wanted_bits:
            offered = ", ".join(map(str, groups[layers[weight.node].kind].weight_bits))
            notes.append(
                f"{weight.node} has {weight.bits}-bit weights, not {weight.wanted_bits}: the {soc.name} does {offered} "
                "bits there"
            )
    return notes


def _channel_scales(setup: QuantizerSetup, soc: SocConfig, quant: QuantConfig) -> list[str]:
    """What became of `quant.channel_scales`."""
    if quant.channel_scales is ChannelScales.never:
        return []
    if not requantizes_per_channel(soc):
        return [f"quant.channel_scales has no effect: the {soc.name} has one scale a feature"]
    count = sum(feature.per_channel for feature in setup.features)
    if not count:
        return ["quant.channel_scales has no effect: no feature can have a scale a channel"]
    return [
        f"features with a scale a channel (quant.channel_scales): {count}; integer.onnx and quantized.onnx compute so, "
        "no vendor's converter is known to: the node-bits file has one range a feature. Calibrate on 100 pictures or "
        "more: a channel's range shows later than its tensor's"
    ]


def _unused_node_bits(setup: QuantizerSetup, by_node: Mapping[str, NodeBits]) -> list[str]:
    """What the node-bits file asks for in vain."""
    layers = {name: layer for layer in setup.layers for name in layer.names}
    owners = {feature.node for feature in setup.features if feature.source == feature.tensor}
    weighted = {weight.node for weight in setup.weights}
    notes = []
    for name, asked in by_node.items():
        layer = layers.get(name)
        owner = layer.name if layer else name
        if owner not in owners and (asked.range or asked.feature_bits not in (None, FLOAT_BITS)):
            notes.append(f"quant.node_bits: {name}: its output is in float or passes codes on: nothing to set there")
        if asked.weight_bits not in (None, FLOAT_BITS) and (layer is None or layer.first.name not in weighted):
            notes.append(f"quant.node_bits: {name}: no weights are quantized there")
    return notes
