"""From settings to a draft: parameters from statistics, then what pictures can improve, judged on others."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from stages.core.collect import calibration_feeds, collect
from stages.core.config import ChannelScales, Config, FeatureMethod, QuantConfig, Rounding
from stages.core.graph import Graph
from stages.core.inputs import NetworkInput, normalize
from stages.core.samples import SampleReader, correction_samples, validation_samples
from stages.core.statistics import TensorStatistics
from stages.quantize.choose import choose_features, choose_weights, symmetric_features
from stages.quantize.draft import Draft
from stages.quantize.node_bits import NodeBits
from stages.quantize.output_ranges import PICTURES, output_ranges
from stages.quantize.placement import Placement, place
from stages.quantize.refine import Judge, refine, refines

__all__ = ["Drafter", "remove_leftovers"]

SCRATCH = ".quantize-"
"""How the names of scratch folders begin."""


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed run has left of its scratch folders."""
    for left in folder.glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)


@dataclass(frozen=True)
class Drafter:
    """Makes drafts of one network.

    Attributes:
        config: the experiment.
        graph: the float network, equalized where that is wanted.
        statistics: of its tensors.
        by_node: widths and ranges of single nodes.
        network_input: what the pictures are for.
        calibset: the folder of the picture sets.
        scratch: where folders for what is passed between layers are made, and removed.
    """

    config: Config
    graph: Graph
    statistics: Mapping[str, TensorStatistics]
    by_node: Mapping[str, NodeBits]
    network_input: NetworkInput
    calibset: Path
    scratch: Path

    def best(self) -> tuple[Draft, list[str]]:
        """The draft that the settings ask for, and a note for each comparison that decided."""
        quant = self.config.quant
        judge = Judge(self.graph.model, self.network_input, validation_samples(self.calibset))
        notes: list[str] = []
        draft = self._scaled(judge) if quant.channel_scales is ChannelScales.measured else self._draft(quant)
        if refines(quant) and not draft.weights:
            notes.append("quant.rounding and the bias corrections have no effect: no weights are quantized")
        elif refines(quant):
            changed = draft.copy()
            with TemporaryDirectory(dir=self.scratch, prefix=SCRATCH) as folder:
                notes = refine(changed, quant, correction_samples(self.calibset), self.network_input, Path(folder))
            if quant.rounding is Rounding.reconstruct and (quant.weight_correction or quant.feature_correction):
                notes.append("the bias corrections change nothing with quant.rounding=reconstruct: biases are learned")
            nearest = quant.rounding is Rounding.nearest
            what = "bias correction" if nearest else f"quant.rounding={quant.rounding.value}"
            draft = judge.better(draft, changed, what)
        return draft, judge.notes + notes

    def _scaled(self, judge: Judge) -> Draft:
        """The better of both: with and without a scale a channel."""
        quant = self.config.quant
        without = replace(quant, channel_scales=ChannelScales.never)
        own = [entry.tensor for entry in self._placed(quant).features if entry.per_channel]
        if not own:
            return self._draft(quant)
        # judged by ranges that have not seen the judge's pictures
        feeds = calibration_feeds(correction_samples(self.calibset), self.network_input, "ranges")
        seen = {**self.statistics, **collect(self.graph.model, feeds, own)}
        plain, scaled = self._draft(without, seen), self._draft(quant, seen)
        better = judge.better(plain, scaled, "quant.channel_scales=measured: a scale a channel")
        return self._draft(quant if better is scaled else without)

    def _draft(self, quant: QuantConfig, statistics: Mapping[str, TensorStatistics] | None = None) -> Draft:
        """Choose all parameters from statistics; weights are rounded to the nearest."""
        config, seen = replace(self.config, quant=quant), statistics or self.statistics
        placement = self._placed(quant)
        ranges = self._ranges if quant.feature_method is FeatureMethod.OUTPUT else {}
        features = choose_features(placement, self.graph, seen, config, ranges)
        weights, codes = choose_weights(placement, self.graph, features, config)
        by_tensor, by_node = {entry.tensor: entry for entry in features}, {entry.node: entry for entry in weights}
        return Draft(self.graph, placement, config.soc, by_tensor, by_node, codes)

    def _placed(self, quant: QuantConfig) -> Placement:
        return place(self.graph, self.config.soc, quant, self.by_node)

    @cached_property
    def _ranges(self) -> dict[str, tuple[float, float]]:
        """Ranges by output, of all features that have one scale or could."""
        placement = self._placed(replace(self.config.quant, channel_scales=ChannelScales.never))
        symmetric = symmetric_features(self.config.soc)
        with TemporaryDirectory(dir=self.scratch, prefix=SCRATCH) as folder:
            feeds = self._few_feeds()
            return output_ranges(self.graph, placement, self.statistics, feeds, symmetric, Path(folder))

    def _few_feeds(self) -> Iterator[dict[str, NDArray[np.float32]]]:
        """Network inputs of a few calibration pictures, evenly over the set."""
        samples = SampleReader.open(self.calibset)
        chosen = range(0, len(samples), -(-len(samples) // PICTURES))
        return ({self.network_input.name: normalize(sample, self.network_input)} for sample in samples.subset(chosen))
