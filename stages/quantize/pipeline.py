"""From settings to a quantized candidate: parameters from statistics, then what pictures improve, validated on others.

`Pipeline.quantize` is the list of steps. A step that may harm is a comparison: both candidates run on the validation
pictures, which no step was fitted on, and the better one stays.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from stages.core.base.artifacts import scratch_folder
from stages.core.base.paths import CALIBSET, FLOAT_MODEL, INPUTS, STATISTICS
from stages.core.config.schema import (
    ChannelScales,
    Config,
    Equalization,
    FeatureMethod,
    QuantConfig,
    Rounding,
    WeightScale,
)
from stages.core.config.settings_record import calibset_settings, check_export, check_settings
from stages.core.data.inputs import NetworkInput, feeds, load_inputs
from stages.core.data.sample_store import calibration_samples, correction_samples, validation_samples
from stages.core.graph.onnx_graph import Graph, load_model, output_name
from stages.core.statistics.collect import calibration_feeds, collect
from stages.core.statistics.tensor_statistics import load_statistics
from stages.quantize.candidate import Candidate
from stages.quantize.float_network import Network, equalized
from stages.quantize.parameters.choose import choose_features, choose_weights
from stages.quantize.parameters.converter_ranges import held_features
from stages.quantize.partition.converter_structure import converter_structure, renamed
from stages.quantize.partition.layer_graph import LayerGraph
from stages.quantize.quantizers.node_bits import NodeBits, load_node_bits, without
from stages.quantize.quantizers.placement import place_quantizers
from stages.quantize.quantizers.setup import QuantizerSetup
from stages.quantize.quantizers.unlike_parts import keep_in_float, unlike_joints
from stages.quantize.rounding.output_ranges import MAX_PICTURES, output_ranges
from stages.quantize.rounding.refine import refine, refines
from stages.quantize.validation import Validator

__all__ = ["SCRATCH_PREFIX", "Pipeline", "asked_node_bits"]

SCRATCH_PREFIX = ".quantize-"
"""How the names of scratch folders begin."""
MIN_EQUALIZED_FEATURE_BITS = 6
"""Least bit width of features that are equalized before weights are learned, if equalization is measured. Learning
clips narrower features, and equalized channels bear that less: it looks better before learning and came out worse after
it (docs/accuracy.md)."""


def asked_node_bits(network: LayerGraph, quant: QuantConfig, merged: Collection[str] = ()) -> dict[str, NodeBits]:
    """Read `quant.node_bits` and check it against a network.

    Args:
        network: its layers.
        quant: names the file, what of it to take and what to leave out.
        merged: nodes that the SOC's converter merges into others: what the file says of them has no effect.

    Returns:
        Node -> its bit widths and range; empty where there is no file.

    Raises:
        UserError: naming the file, the node and the key that is wrong.
    """
    graph = network.graph
    names = [output_name(node, tensor) for node in graph.nodes for tensor in node.output]
    by_node = load_node_bits(quant.node_bits, [*graph.inputs, *names, *merged], quant.node_ranges)
    by_node = {name: bits for name, bits in by_node.items() if name not in merged}
    return without(by_node, quant.node_bits_ignore, [layer.names for layer in network.layers])


def _structured(model: onnx.ModelProto, config: Config) -> onnx.ModelProto:
    """A network as the SOC's converter structures it."""
    return converter_structure(model) if config.soc.follows_converter else model


@dataclass(frozen=True)
class Pipeline:
    """Quantizes one network.

    Attributes:
        config: the experiment.
        network: the float network as export wrote it.
        by_node: bit widths and ranges of single nodes.
        inputs: the network's inputs.
        calibset: the folder of the sample sets.
        scratch: where scratch folders are created and removed.
        notes: lines for the report on what was decided so far.
    """

    config: Config
    network: Network
    by_node: Mapping[str, NodeBits]
    inputs: Sequence[NetworkInput]
    calibset: Path
    scratch: Path
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, config: Config, scratch: Path) -> "Pipeline":
        """Read what export, calibset and calibrate wrote, and the node-bits file.

        Raises:
            UserError: if one of them is missing, or was made with other settings.
        """
        exported = load_model(FLOAT_MODEL)
        graph = Graph(_structured(exported, config))
        check_export(config.model)
        check_settings(CALIBSET, calibset_settings(config))
        layers = LayerGraph.of(graph, config.soc)
        merged = {node.name for node in exported.graph.node} - {node.name for node in graph.nodes}
        by_node = asked_node_bits(layers, config.quant, merged)
        statistics = dict(load_statistics(STATISTICS))
        statistics |= {name: statistics[source] for name, source in renamed(graph).items()}
        joints = unlike_joints(layers, statistics, config.quant)
        inputs = load_inputs(INPUTS)
        notes = tuple(joint.note() for joint in joints)
        network = Network(graph, statistics)
        return cls(config, network, keep_in_float(joints) | by_node, inputs, CALIBSET, scratch, notes)

    def quantize(self) -> tuple[Candidate, list[str]]:
        """Run all steps.

        Returns:
            The candidate that the settings ask for, and notes: what each comparison decided, what has no effect.
        """
        validator = Validator(self.network.graph.model, self.inputs, validation_samples(self.calibset))
        notes = list(self.notes)
        networks = self.equalization_variants(notes)
        networks = [self.with_output_ranges(network) for network in networks]
        network = self.select_equalization(networks, validator, notes)
        quant = self.select_channel_scales(network, validator)
        candidate = self.choose_parameters(network, quant)
        candidate = self.refine_rounding(candidate, validator, notes)
        return candidate, validator.notes + notes

    # --- equalization ---

    def equalization_variants(self, notes: list[str]) -> list[Network]:
        """The networks to choose from: as it is, equalized, or both where `quant.equalization=measured`."""
        quant = self.config.quant
        measured = quant.equalization is Equalization.measured
        if quant.equalization is Equalization.none:
            return [self.network]
        if measured and self._learns_weights and quant.feature_bits < MIN_EQUALIZED_FEATURE_BITS:
            bits = f"features of {quant.feature_bits} bits"
            notes.append(f"quant.equalization=measured: not tried: {bits} learn better without")
            return [self.network]
        network = self.equalized()
        if not network.factors:
            notes.append(network.note())
        return [self.network, network] if measured and network.factors else [network]

    def equalized(self) -> Network:
        """The network with its channels equalized on all calibration pictures, or as it is if the settings say so."""
        if self.config.quant.equalization is Equalization.none:
            return self.network
        return equalized(self.network, self.config, calibration_samples(self.calibset), self.inputs)

    def select_equalization(self, networks: Sequence[Network], validator: Validator, notes: list[str]) -> Network:
        """Take the equalized network if there is no other or if it is better, both with one scale a feature."""
        network = networks[-1]
        if len(networks) > 1:
            per_tensor = replace(self.config.quant, channel_scales=ChannelScales.never)
            current, changed = (self.choose_parameters(network, per_tensor) for network in networks)
            change = "quant.equalization=measured: channels scaled"
            whole = self.config.soc.weight_scale is WeightScale.per_tensor  # then weights gain more than features
            better = validator.better(current, changed, change, features_only=self._learns_weights and not whole)
            network = networks[0] if better is current else network
        if network.factors:
            notes.append(network.note())
        return network

    @property
    def _learns_weights(self) -> bool:
        """Whether weights are fitted to quantized features."""
        return self.config.quant.rounding is not Rounding.nearest and not self.config.quant.float_features

    # --- ranges by output ---

    def with_output_ranges(self, network: Network) -> Network:
        """Choose ranges by output, if that is the method, for all features that have one scale or could have one."""
        quant = self.config.quant
        if quant.feature_method is not FeatureMethod.OUTPUT:
            return network
        setup = self._place_quantizers(network, replace(quant, channel_scales=ChannelScales.never))
        samples, soc = calibration_samples(self.calibset), self.config.soc
        every = -(-len(samples) // MAX_PICTURES)
        pictures = (feeds(sample, self.inputs) for sample in samples.subset(range(0, len(samples), every)))
        with self.scratch_folder() as folder:
            ranges = output_ranges(network.graph, setup, network.statistics, pictures, soc, folder)
        return replace(network, ranges=ranges)

    # --- per-channel activation scales ---

    def select_channel_scales(self, network: Network, validator: Validator) -> QuantConfig:
        """The settings, without per-channel activation scales if those are measured and no better."""
        quant = self.config.quant
        if quant.channel_scales is not ChannelScales.measured:
            return quant
        features = [
            feature.tensor for feature in self._place_quantizers(network, quant).features if feature.per_channel
        ]
        if not features:
            return quant
        per_tensor = replace(quant, channel_scales=ChannelScales.never)
        # ranges that have not seen the validation pictures
        samples = calibration_feeds(correction_samples(self.calibset), self.inputs, "ranges")
        statistics = {**network.statistics, **collect(network.graph.model, samples, features)}
        network = replace(network, statistics=statistics)
        current, changed = (self.choose_parameters(network, settings) for settings in (per_tensor, quant))
        better = validator.better(current, changed, "quant.channel_scales=measured: a scale a channel")
        return quant if better is changed else per_tensor

    # --- scales, zero points and codes ---

    def choose_parameters(self, network: Network, quant: QuantConfig) -> Candidate:
        """Choose all parameters from statistics; weights are rounded to the nearest."""
        config, graph = replace(self.config, quant=quant), network.graph
        setup = self._place_quantizers(network, quant)
        features = choose_features(setup, graph, network.statistics, config, network.ranges)
        weights, codes = choose_weights(setup, graph, features, config)
        by_tensor = {feature.tensor: feature for feature in features}
        by_node = {weight.node: weight for weight in weights}
        return Candidate(graph, setup, config.soc, by_tensor, by_node, codes, network.factors)

    def _place_quantizers(self, network: Network, quant: QuantConfig) -> QuantizerSetup:
        return place_quantizers(network.graph, self.config.soc, quant, self.by_node)

    # --- rounding and biases ---

    def refine_rounding(self, candidate: Candidate, validator: Validator, notes: list[str]) -> Candidate:
        """Fit weights and biases by `quant.rounding` and the bias corrections, if that is better."""
        quant = self.config.quant
        if not refines(quant):
            return candidate
        if not candidate.weights:
            notes.append("quant.rounding and the bias corrections have no effect: no weights are quantized")
            return candidate
        best = candidate
        for rounding in self._roundings():
            settings = replace(quant, rounding=rounding)
            refined = candidate.copy()
            if self.config.soc.follows_converter:
                refined.held = self._held(candidate)
            with self.scratch_folder() as folder:
                notes += refine(refined, settings, correction_samples(self.calibset), self.inputs, folder)
            nearest = rounding is Rounding.nearest
            change = "bias correction" if nearest else f"quant.rounding={rounding.value}"
            best = validator.better(best, refined, change)
        if quant.rounding is Rounding.reconstruct and (quant.weight_correction or quant.feature_correction):
            notes.append("the bias corrections change nothing with quant.rounding=reconstruct: biases are learned")
        return best

    def _roundings(self) -> list[Rounding]:
        """The ways to round that are tried: errors of one scale a weight are large, and compensating may gain more."""
        quant, soc = self.config.quant, self.config.soc
        learned = quant.rounding is Rounding.reconstruct
        tries_both = learned and soc.weight_scale is WeightScale.per_tensor and not quant.float_weights
        return [Rounding.compensate, quant.rounding] if tries_both else [quant.rounding]

    def _held(self, candidate: Candidate) -> set[str]:
        """Features whose scales the converter chooses together."""
        setup, rule = candidate.setup, self.config.soc.requantization
        return held_features(list(candidate.features.values()), candidate.graph, setup.layers, setup.integer, rule)

    @contextmanager
    def scratch_folder(self) -> Iterator[Path]:
        """A scratch folder, removed after use."""
        with scratch_folder(self.scratch, SCRATCH_PREFIX) as folder:
            yield folder
