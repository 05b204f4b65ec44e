"""Ranges chosen by the consumers' outputs: the clip at which the next operators err least, not the feature itself.

Before a SiLU nothing below about -6 matters, however far it reaches; before a convolution a channel matters as much as
its weights make of it. Both ends move by themselves.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.core.base.console import track
from stages.core.base.threads import thread_count
from stages.core.config.schema import SocConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from stages.core.integer.operators.table import Table
from stages.core.statistics.tensor_statistics import TensorStatistics
from stages.quantize.parameters.choose import soc_affine
from stages.quantize.partition.layers import Layer
from stages.quantize.partition.subgraphs import Subgraph, inputs_of, layer_subgraphs, subgraph_model
from stages.quantize.quantizers.setup import FeatureQuantizer, QuantizerSetup
from stages.quantize.rounding.replay import TensorFiles, advance

__all__ = ["MAX_PICTURES", "best_range", "output_ranges"]

Array = NDArray[np.float32]
Range = tuple[float, float]

MAX_PICTURES = 24
"""At most so many are looked at, evenly over the set: `MIN_PICTURES` of them where every position of a feature map is a
sample, more where `MIN_POSITIONS` need them."""
MIN_PICTURES, MIN_POSITIONS = 3, 1000
RANGE_SHARES = tuple(0.84**i for i in range(18))
"""Of the seen range: what is tried, from all of it down to a twentieth."""
WIDENING_FACTORS = (1.19, 1.41, 1.68, 2.38, 3.36, 4.76)
"""What one end of the best range so far is multiplied by, to widen it again."""
FINE_FACTORS = (0.94, 1.06)
"""The same at last, for the fine search."""
MAX_ERROR_RATIO = 2.0
"""A descent ends where the error is so many times the least."""


def output_ranges(
    graph: Graph,
    setup: QuantizerSetup,
    statistics: Mapping[str, TensorStatistics],
    feeds: Iterable[Mapping[str, Array]],
    soc: SocConfig,
    scratch: Path,
) -> dict[str, Range]:
    """Choose the range of each feature that only weighted layers and tables consume.

    Args:
        graph: the float network.
        setup: its quantizers.
        statistics: of all tensors: the ranges that were seen.
        feeds: network inputs of a few pictures.
        soc: for where its zero points may lie.
        scratch: an empty folder for the tensors between layers.

    Returns:
        Tensor -> range. Features that other operators consume, those with a scale a channel, and those of too few
        positions to measure errors on, are left out.
    """
    files, count = TensorFiles(scratch / "tensors"), 0
    for feed in feeds:
        for name, value in feed.items():
            files.write(name, count, value)
        count += 1
    features = _features(graph, setup, statistics)
    ranges: dict[str, Range] = {}

    def choose(tensors: Iterable[str]) -> None:
        for feature in (features[name] for name in tensors if name in features):
            if feature.pictures <= max(count, MIN_PICTURES):
                tensor = feature.quantizer.tensor
                weights = _telling(files, tensor, count, feature.pictures)
                values = [files.read(tensor, index) for index in weights]
                error = _OutputError(graph, feature, values, list(weights.values()), soc, pool)
                ranges[tensor] = best_range(error, feature.seen)

    subgraphs = layer_subgraphs(graph, setup.layers)
    with ThreadPoolExecutor(thread_count()) as pool:
        choose(graph.inputs)
        for index, subgraph in enumerate(track(subgraphs, "ranges by output")):
            if not subgraph.outputs:
                continue
            advance(subgraph, files, Runner(subgraph_model(graph, subgraph)), count)
            choose(subgraph.outputs)
            files.keep(inputs_of(subgraphs[index + 1 :]))
    return ranges


def _telling(files: TensorFiles, tensor: str, count: int, usual: int) -> dict[int, float]:
    """The pictures that the error is measured on, with their weights: some, and those that reach the range's ends.

    What is rare, such as the score of a face, is not in every picture: without it, cutting it off would cost nothing.

    Args:
        files: the tensor on all pictures.
        tensor: the feature's.
        count: of all pictures.
        usual: of those that stand for all but the ones at the ends.
    """
    ends = [(float(value.min()), float(value.max())) for value in (files.read(tensor, i) for i in range(count))]
    highest = max(range(count), key=lambda index: ends[index][1])
    lowest = min(range(count), key=lambda index: ends[index][0])
    others = [index for index in range(count) if index not in (highest, lowest)]
    weight = len(others) / max(min(usual, len(others)), 1)
    return dict.fromkeys((highest, lowest), 1.0) | dict.fromkeys(others[:usual], weight)


@dataclass(frozen=True)
class _Feature:
    """A feature whose range is chosen by its consumers' outputs.

    Attributes:
        quantizer: its quantizer.
        consumers: the layers that have it as their only operand.
        seen: its range during calibration.
        pictures: how many its error is measured on.
    """

    quantizer: FeatureQuantizer
    consumers: Sequence[Layer]
    seen: Range
    pictures: int


def _features(graph: Graph, setup: QuantizerSetup, statistics: Mapping[str, TensorStatistics]) -> dict[str, _Feature]:
    """The features whose range can be chosen so: of one scale of their own, without a range that the user gave."""
    consumers, features = _consumers(graph, setup), {}
    for quantizer in setup.features:
        tensor, chosen = quantizer.tensor, quantizer.source != quantizer.tensor or quantizer.range is not None
        if chosen or quantizer.per_channel or tensor not in statistics or not consumers.get(tensor):
            continue
        seen = statistics[tensor].low, statistics[tensor].high
        pictures = max(MIN_PICTURES, -(-MIN_POSITIONS // math.prod(graph.shapes[tensor][2:])))
        features[tensor] = _Feature(quantizer, consumers[tensor], seen, pictures)
    return features


def _consumers(graph: Graph, setup: QuantizerSetup) -> dict[str, list[Layer]]:
    """Map each tensor to its consumers, if all of them are weighted layers or tables in integers."""
    layers = {node.name: layer for layer in setup.layers for node in layer.nodes}
    consumers: dict[str, list[Layer]] = {}
    for tensor, nodes in graph.consumers.items():
        of_tensor = list({layers[node.name].name: layers[node.name] for node in nodes}.values())
        suitable = all(
            layer.name in setup.integer
            and (layer.weighted(graph) or layer.kind in Table.kinds)
            and layer.operands(graph) == [tensor]
            for layer in of_tensor
        )
        if suitable and tensor not in graph.outputs and tensor not in graph.captured:
            consumers[tensor] = of_tensor
    return consumers


class _OutputError:
    """The squared error at the outputs of a feature's consumers, relative to the outputs' variance, of any range.

    Args:
        graph: the float network.
        feature: the feature.
        values: its float values on each picture.
        weights: of the pictures.
        soc: for where its zero points may lie.
        pool: computes pictures side by side.
    """

    def __init__(
        self,
        graph: Graph,
        feature: _Feature,
        values: Sequence[Array],
        weights: Sequence[float],
        soc: SocConfig,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._tensor, self._bits, self._soc = feature.quantizer.tensor, feature.quantizer.bits, soc
        self._values, self._weights, self._pool = values, weights, pool
        self._runners = [
            Runner(subgraph_model(graph, Subgraph((layer,), (self._tensor,), (layer.output,))))
            for layer in feature.consumers
        ]
        self._expected = [self._outputs(value) for value in values]
        self._variances = [[max(float(output.var()), 1e-30) for output in outputs] for outputs in self._expected]

    def __call__(self, ends: Range) -> float:
        """The error of a range, summed over pictures and consumers."""
        scale, zero_point = soc_affine(ends, self._bits, self._soc)
        qmax = 2**self._bits - 1

        def of_picture(index: int) -> float:
            codes = np.clip(np.rint(self._values[index] / scale), -zero_point, qmax - zero_point)
            outputs = self._outputs(codes * scale)
            parts = zip(self._expected[index], outputs, self._variances[index], strict=True)
            errors = (float(np.square(actual - expected).mean()) / variance for expected, actual, variance in parts)
            return self._weights[index] * sum(errors)

        return sum(self._pool.map(of_picture, range(len(self._values))))

    def _outputs(self, values: Array) -> list[Array]:
        """The consumers' outputs for values of the feature."""
        return [next(iter(runner.run({self._tensor: values}).values())) for runner in self._runners]


def best_range(error: Callable[[Range], float], seen: Range) -> Range:
    """Search both ends of a range for the least error: together, then each by itself.

    Args:
        error: of a range.
        seen: the range that was seen, 0 included if it was not; the result lies within.
    """
    low, high = seen = min(seen[0], 0.0), max(seen[1], 0.0)
    largest = max(-low, high)
    tried: dict[Range, float] = {}

    def at(ends: Range) -> float:
        if ends not in tried:
            tried[ends] = error(ends)
        return tried[ends]

    def descend(candidates: Iterable[Range], best: Range) -> Range:
        for ends in candidates:
            if at(ends) < at(best):
                best = ends
            elif at(ends) > MAX_ERROR_RATIO * at(best):
                break
        return best

    best = descend(((max(low, -largest * factor), min(high, largest * factor)) for factor in RANGE_SHARES), seen)
    for _ in range(2):
        if low < 0.0:
            best = descend(((best[0] * factor, best[1]) for factor in RANGE_SHARES[1:]), best)
            best = descend(((max(low, best[0] * factor), best[1]) for factor in WIDENING_FACTORS), best)
        if high > 0.0:
            best = descend(((best[0], best[1] * factor) for factor in RANGE_SHARES[1:]), best)
            best = descend(((best[0], min(high, best[1] * factor)) for factor in WIDENING_FACTORS), best)
    for factor in FINE_FACTORS:
        best = descend([(max(low, best[0] * factor), best[1]), (best[0], min(high, best[1] * factor))], best)
    return best if math.isfinite(at(best)) else seen
