"""From settings to a candidate: parameters from statistics, then what pictures can improve, judged on others."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import UserError
from stages.core.base.paths import CALIBSET, FLOAT_MODEL, INPUTS, STATISTICS
from stages.core.config.schema import ChannelScales, Config, Equalization, FeatureMethod, QuantConfig, Rounding
from stages.core.data.inputs import NetworkInput, feeds, load_inputs, resolve_inputs
from stages.core.data.sample_store import SampleReader, calibration_samples, correction_samples, validation_samples
from stages.core.graph.onnx_graph import Graph, load_model, output_name
from stages.core.statistics.collect import calibration_feeds, collect
from stages.core.statistics.tensor_statistics import load_statistics
from stages.quantize.candidate import Candidate
from stages.quantize.float_network import Network, equalized
from stages.quantize.parameters.choose import choose_features, choose_weights, symmetric_features
from stages.quantize.partition.layers import find_layers
from stages.quantize.quantizers.node_bits import NodeBits, load_node_bits, without
from stages.quantize.quantizers.setup import QuantizerSetup, place_quantizers
from stages.quantize.rounding.output_ranges import PICTURES, output_ranges
from stages.quantize.rounding.refine import refine, refines
from stages.quantize.validation import Validator

__all__ = ["Pipeline", "remove_leftovers"]

Array = NDArray[np.float32]
SCRATCH = ".quantize-"
"""How the names of scratch folders begin."""
WIDE = 6
"""Least width of features that are equalized before they are learned, where that is measured. Learning clips narrower
ones, which balanced channels bear less: it looks better before, and came out worse after (docs/accuracy.md)."""


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed run has left of its scratch folders."""
    for left in folder.glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)


@dataclass(frozen=True)
class Pipeline:
    """Makes candidates of one network.

    Attributes:
        config: the experiment.
        network: the float network as it is.
        by_node: widths and ranges of single nodes.
        inputs: the network's.
        calibset: the folder of the sample sets.
        scratch: where folders for what is passed between layers are made, and removed.
    """

    config: Config
    network: Network
    by_node: Mapping[str, NodeBits]
    inputs: Sequence[NetworkInput]
    calibset: Path
    scratch: Path

    @classmethod
    def open(cls, config: Config, scratch: Path) -> "Pipeline":
        """Make one from what export, calibset and calibrate wrote, and the node-bits file."""
        graph = Graph(load_model(FLOAT_MODEL))
        names = [output_name(node, tensor) for node in graph.nodes for tensor in node.output]
        by_node = load_node_bits(config.quant.node_bits, [*graph.inputs, *names], config.quant.node_ranges)
        layers = [layer.names for layer in find_layers(graph, config.soc)]
        by_node = without(by_node, config.quant.node_bits_ignore, layers)
        inputs = load_inputs(INPUTS)
        if resolve_inputs(config.model.inputs, {name: graph.shapes[name] for name in graph.inputs}) != inputs:
            raise UserError(f"{INPUTS} was made with other model.inputs: run `dvc repro`")
        return cls(config, Network(graph, load_statistics(STATISTICS)), by_node, inputs, CALIBSET, scratch)

    def best(self) -> tuple[Candidate, list[str]]:
        """The candidate that the settings ask for, and a note for each comparison that decided."""
        quant = self.config.quant
        validator = Validator(self.network.graph.model, self.inputs, validation_samples(self.calibset))
        network, notes = self._equalized(validator)
        measured = quant.channel_scales is ChannelScales.measured
        candidate = self._scaled(network, validator) if measured else self.candidate(network, quant)
        if refines(quant) and not candidate.weights:
            notes.append("quant.rounding and the bias corrections have no effect: no weights are quantized")
        elif refines(quant):
            changed = candidate.copy()
            with self.folder() as folder:
                notes += refine(changed, quant, correction_samples(self.calibset), self.inputs, folder)
            if quant.rounding is Rounding.reconstruct and (quant.weight_correction or quant.feature_correction):
                notes.append("the bias corrections change nothing with quant.rounding=reconstruct: biases are learned")
            nearest = quant.rounding is Rounding.nearest
            what = "bias correction" if nearest else f"quant.rounding={quant.rounding.value}"
            candidate = validator.better(candidate, changed, what)
        return candidate, validator.notes + notes

    def _equalized(self, validator: Validator) -> tuple[Network, list[str]]:
        """The network with its channels scaled, if that is wanted."""
        quant = self.config.quant
        measured = quant.equalization is Equalization.measured
        learns = quant.rounding is not Rounding.nearest and not quant.float_features
        if quant.equalization is Equalization.none:
            return self.ranged(self.network), []
        if measured and learns and quant.feature_bits < WIDE:
            note = f"quant.equalization=measured: not tried: features of {quant.feature_bits} bits learn better without"
            return self.ranged(self.network), [note]
        scaled = self.equalized()
        note, scaled = scaled.note(), self.ranged(scaled)
        if measured and scaled.factors:
            plain, without = self.ranged(self.network), replace(quant, channel_scales=ChannelScales.never)
            before, after = self.candidate(plain, without), self.candidate(scaled, without)
            better = validator.better(
                before, after, "quant.equalization=measured: channels scaled", features_only=learns
            )
            if better is before:
                return plain, []
        return scaled, [note]

    def _scaled(self, network: Network, validator: Validator) -> Candidate:
        """The better of both: with and without a scale a channel."""
        quant = self.config.quant
        without = replace(quant, channel_scales=ChannelScales.never)
        own = [entry.tensor for entry in self._placed(network, quant).features if entry.per_channel]
        if not own:
            return self.candidate(network, quant)
        # judged by ranges that have not seen the judge's pictures
        fed = calibration_feeds(correction_samples(self.calibset), self.inputs, "ranges")
        seen = replace(network, statistics={**network.statistics, **collect(network.graph.model, fed, own)})
        plain, scaled = self.candidate(seen, without), self.candidate(seen, quant)
        better = validator.better(plain, scaled, "quant.channel_scales=measured: a scale a channel")
        return self.candidate(network, quant if better is scaled else without)

    def equalized(self) -> Network:
        """The network with its channels scaled by all calibration pictures, unless the settings want none of that."""
        if self.config.quant.equalization is Equalization.none:
            return self.network
        return equalized(self.network, self.config.quant, calibration_samples(self.calibset), self.inputs)

    def candidate(self, network: Network, quant: QuantConfig) -> Candidate:
        """Choose all parameters from statistics; weights are rounded to the nearest."""
        config, graph = replace(self.config, quant=quant), network.graph
        setup = self._placed(network, quant)
        features = choose_features(setup, graph, network.statistics, config, network.ranges)
        weights, codes = choose_weights(setup, graph, features, config)
        by_tensor, by_node = {entry.tensor: entry for entry in features}, {entry.node: entry for entry in weights}
        return Candidate(graph, setup, config.soc, by_tensor, by_node, codes, network.factors)

    def _placed(self, network: Network, quant: QuantConfig) -> QuantizerSetup:
        return place_quantizers(network.graph, self.config.soc, quant, self.by_node)

    def ranged(self, network: Network) -> Network:
        """With ranges by output, where the method wants them: of all features that have one scale or could."""
        quant = self.config.quant
        if quant.feature_method is not FeatureMethod.OUTPUT:
            return network
        setup = self._placed(network, replace(quant, channel_scales=ChannelScales.never))
        samples, symmetric = calibration_samples(self.calibset), symmetric_features(self.config.soc)
        fed = self._feeds(samples.subset(range(0, len(samples), -(-len(samples) // PICTURES))))
        with self.folder() as folder:
            ranges = output_ranges(network.graph, setup, network.statistics, fed, symmetric, folder)
        return replace(network, ranges=ranges)

    def _feeds(self, samples: SampleReader) -> Iterator[dict[str, Array]]:
        """Network inputs of pictures, one at a time."""
        return (feeds(sample, self.inputs) for sample in samples)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A scratch folder, removed after use; what a killed run leaves of it, `remove_leftovers` removes."""
        with TemporaryDirectory(dir=self.scratch, prefix=SCRATCH) as folder:
            yield Path(folder)
