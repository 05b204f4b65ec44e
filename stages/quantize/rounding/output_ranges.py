"""Ranges chosen by what follows: the clip at which the next operators err least, not the feature itself.

Before a SiLU nothing below about -6 matters, however far it reaches; before a convolution a channel matters as much as
its weights make of it. Both ends move by themselves.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.core.base.console import track
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from stages.core.integer.operators.table import Table
from stages.core.statistics.tensor_statistics import TensorStatistics
from stages.quantize.parameters.scales import affine
from stages.quantize.partition.layers import Layer
from stages.quantize.partition.subgraphs import Subgraph, find_pieces, subgraph_model, taken
from stages.quantize.quantizers.setup import FeatureQuantizer, QuantizerSetup
from stages.quantize.rounding.replay import TensorFiles, advance

__all__ = ["best_range", "output_ranges"]

Array = NDArray[np.float32]
Range = tuple[float, float]

MAX_PICTURES = 24
"""At most so many are looked at, evenly over the set: `MIN_PICTURES` of them where every position of a feature map is a
sample, more where `MIN_POSITIONS` need them."""
MIN_PICTURES, MIN_POSITIONS = 3, 1000
RANGE_SHARES = tuple(0.84**i for i in range(18))
"""Of the seen range: what is tried, from all of it down to a twentieth."""
WIDENING_FACTORS = (1.19, 1.41, 1.68, 2.38, 3.36, 4.76)
FINE_FACTORS = (0.94, 1.06)
MAX_ERROR_RATIO = 2.0
"""Shares are tried downwards until the error is so many times the least."""


def output_ranges(
    graph: Graph,
    setup: QuantizerSetup,
    statistics: Mapping[str, TensorStatistics],
    feeds: Iterable[Mapping[str, Array]],
    symmetric: bool,
    scratch: Path,
) -> dict[str, Range]:
    """Choose the range of each feature that only weighted layers and tables take.

    Args:
        graph: the float network.
        setup: what is quantized.
        statistics: of all tensors: the ranges that were seen.
        feeds: network inputs of a few pictures.
        symmetric: whether the zero point is bound, see `affine`.
        scratch: an empty folder for what is passed between layers.

    Returns:
        Tensor -> range. Features that other operators take, those with a scale a channel, and those of too few
        positions to judge by, are left out.
    """
    places = {place.tensor: place for place in setup.features if place.source == place.tensor}
    consumers = _consumers(graph, setup)
    files, count = TensorFiles(scratch / "tensors"), 0
    for feed in feeds:
        for name, value in feed.items():
            files.write(name, count, value)
        count += 1
    found: dict[str, Range] = {}

    def choose(names: Iterable[str]) -> None:
        for name in names:
            place, layers = places.get(name), consumers.get(name, [])
            if place and layers and place.range is None and not place.per_channel and name in statistics:
                needed = max(MIN_PICTURES, -(-MIN_POSITIONS // math.prod(graph.shapes[name][2:])))
                if needed > max(count, MIN_PICTURES):
                    continue
                values = [files.read(name, index) for index in range(min(needed, count))]
                seen = statistics[name].low, statistics[name].high
                found[name] = _chosen(graph, place, layers, values, seen, symmetric, pool)

    subgraphs = find_pieces(graph, setup.layers)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        choose(graph.inputs)
        for index, subgraph in enumerate(track(subgraphs, "ranges by output")):
            if not subgraph.outputs:
                continue
            advance(subgraph, files, Runner(subgraph_model(graph, subgraph), threads=1), count)
            choose(subgraph.outputs)
            files.keep(taken(subgraphs[index + 1 :]))
    return found


def _consumers(graph: Graph, setup: QuantizerSetup) -> dict[str, list[Layer]]:
    """Map each tensor to the layers that take it, if all of them are weighted layers or tables in integers."""
    layers = {node.name: layer for layer in setup.layers for node in layer.nodes}
    found: dict[str, list[Layer]] = {}
    for tensor, nodes in graph.consumers.items():
        taking = list({layers[node.name].name: layers[node.name] for node in nodes}.values())
        alone = all(
            layer.name in setup.integer
            and (layer.weighted(graph) or layer.kind in Table.kinds)
            and layer.operands(graph) == [tensor]
            for layer in taking
        )
        if alone and tensor not in graph.outputs and tensor not in graph.captured:
            found[tensor] = taking
    return found


def _chosen(
    graph: Graph,
    place: FeatureQuantizer,
    layers: Sequence[Layer],
    values: Sequence[Array],
    seen: Range,
    symmetric: bool,
    pool: ThreadPoolExecutor,
) -> Range:
    runners = [
        Runner(subgraph_model(graph, Subgraph((layer,), (place.tensor,), (layer.output,))), threads=1)
        for layer in layers
    ]
    wanted = [[next(iter(runner.run({place.tensor: value}).values())) for runner in runners] for value in values]
    spreads = [[max(float(expected.var()), 1e-30) for expected in each] for each in wanted]
    top = 2**place.bits - 1

    def error(ends: Range) -> float:
        scale, zero_point = affine(*ends, place.bits, symmetric)

        def of(picture: int) -> float:
            codes = np.clip(np.rint(values[picture] / scale), -zero_point, top - zero_point)
            fed = {place.tensor: codes * scale}
            made = [next(iter(runner.run(fed).values())) for runner in runners]
            parts = zip(wanted[picture], made, spreads[picture], strict=True)
            return sum(float(np.square(actual - expected).mean()) / spread for expected, actual, spread in parts)

        return sum(pool.map(of, range(len(values))))

    return best_range(error, seen)


def best_range(error: Callable[[Range], float], seen: Range) -> Range:
    """Search both ends of a range for the least error: together, then each by itself.

    Args:
        error: of a range.
        seen: the range that was seen, 0 included if it was not; the result lies within.
    """
    low, high = seen = min(seen[0], 0.0), max(seen[1], 0.0)
    reach = max(-low, high)
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

    best = descend(((max(low, -reach * share), min(high, reach * share)) for share in RANGE_SHARES), seen)
    for _ in range(2):
        if low < 0.0:
            best = descend(((best[0] * share, best[1]) for share in RANGE_SHARES[1:]), best)
            best = descend(((max(low, best[0] * share), best[1]) for share in WIDENING_FACTORS), best)
        if high > 0.0:
            best = descend(((best[0], best[1] * share) for share in RANGE_SHARES[1:]), best)
            best = descend(((best[0], min(high, best[1] * share)) for share in WIDENING_FACTORS), best)
    for share in FINE_FACTORS:
        best = descend([(max(low, best[0] * share), best[1]), (best[0], min(high, best[1] * share))], best)
    return best if math.isfinite(at(best)) else seen
