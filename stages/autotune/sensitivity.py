"""How far the outputs move when one tensor alone is quantized, for every tensor at every width."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from stages.autotune.problem import Problem
from stages.autotune.solve import Table
from stages.core.base.console import track
from stages.core.config.schema import FLOAT_BITS, FeatureMethod, QuantConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner, with_outputs
from stages.core.integer.qparams import FeatureParams
from stages.quantize.parameters.choose import choose_features, choose_weights
from stages.quantize.parameters.weight_scales import dequantized
from stages.quantize.partition.layers import Layer
from stages.quantize.partition.subgraphs import Subgraph, find_rest, subgraph_model
from stages.quantize.pipeline import Pipeline
from stages.quantize.quantizers.setup import QuantizerSetup, place_quantizers
from stages.quantize.rounding.replay import TensorFiles, fake_quantize
from stages.quantize.simulation import relative_error

__all__ = ["Ranges", "Sensitivities", "error_tables", "ranges_by_width", "ranges_of", "sensitivities"]

Array = NDArray[np.float32]
Sensitivities = Mapping[str, Mapping[int, float]]
"""Variable -> width -> relative squared error of the outputs when it alone is quantized; float is left out: 0."""

Ranges = Mapping[tuple[str, int], tuple[float, float]]
"""(tensor, width) -> range, where the method chooses ranges by output."""


@dataclass(frozen=True)
class _Site:
    """A tensor that something is tried on, and the layers that follow from it.

    Attributes:
        tensor: its name.
        features: (variable, width) -> what it is quantized with.
        weights: (variable, width), of the layer that makes it.
        maker: that layer, if it has a weight to try.
        rest: all that the tensor reaches.
    """

    tensor: str
    features: Mapping[tuple[str, int], FeatureParams]
    weights: Sequence[tuple[str, int]]
    producer: Subgraph | None
    rest: Subgraph

    @property
    def needs(self) -> set[str]:
        """Float tensors that trying takes."""
        return {self.tensor, *self.rest.inputs, *(self.producer.inputs if self.producer else ())}


def error_tables(found: Sensitivities, problem: Problem, factors: Mapping[tuple[str, int], float]) -> list[Table]:
    """The sum of all variables' errors.

    Args:
        found: of each variable alone.
        problem: its variables.
        factors: (kind, width) -> how many times the errors of that kind and width are what was found.
    """
    return [
        Table(
            (entry.name,),
            np.array(
                [
                    found[entry.name].get(width, 0.0) * factors.get((entry.kind, width), 1.0)
                    for width in entry.bit_widths
                ]
            ),
        )
        for entry in problem.variables
    ]


def ranges_by_width(problem: Problem, pipeline: Pipeline) -> dict[tuple[str, int], tuple[float, float]]:
    """Choose ranges by output for every width, once: a tensor's depends on its own width alone.

    Returns:
        Nothing where the method is another one, which takes no time.
    """
    config = pipeline.config
    found: dict[tuple[str, int], tuple[float, float]] = {}
    if config.quant.feature_method is not FeatureMethod.OUTPUT:
        return {}
    for bits in sorted({*_bit_widths(problem, "feature"), config.quant.feature_bits} - {FLOAT_BITS}):
        quant = replace(config.quant, feature_bits=bits, edge_bits=None)
        ranges = replace(pipeline, config=replace(config, quant=quant)).ranged(pipeline.network).ranges
        setup = place_quantizers(problem.graph, config.soc, quant, pipeline.by_node)
        found |= {(e.tensor, e.bits): ranges[e.tensor] for e in setup.features if e.tensor in ranges}
    return found


def ranges_of(ranges: Ranges, setup: QuantizerSetup) -> dict[str, tuple[float, float]]:
    """The ranges at the widths of a placement."""
    entries = {entry.tensor: (entry.tensor, entry.bits) for entry in setup.features}
    return {tensor: ranges[key] for tensor, key in entries.items() if key in ranges}


def sensitivities(
    problem: Problem, pipeline: Pipeline, ranges: Ranges, feeds: Iterable[Mapping[str, Array]], folder: Path
) -> dict[str, dict[int, float]]:
    """Measure every variable at every width.

    The float network runs once a picture, all that is needed of it kept on disk. Then a variable is quantized as
    quantize would, and only the layers that follow run. A weight is tried in its layer alone, which
    then hands its output to the same layers. Ranges are chosen for each width.

    Such errors of single tensors add up, as far as none is large: they are independent of each other, and small beside
    the tensors.

    Args:
        problem: the variables.
        pipeline: of the experiment, for its settings and statistics.
        ranges: of `ranges_by_width`.
        feeds: network inputs of each picture.
        folder: a scratch folder.

    Returns:
        Variable -> width -> error, the mean over pictures and float outputs of the mean squared error relative to the
        output's variance.
    """
    graph = problem.graph
    features, weights = _candidates(problem, pipeline, ranges, TensorFiles(folder / "weights"))
    sites = list(_sites(problem, features))
    outputs = [name for name in graph.outputs if name in graph.float_tensors]
    files = TensorFiles(folder / "float")
    count = _run_float(graph, feeds, {*outputs, *(name for site in sites for name in site.needs)}, files)
    errors: dict[tuple[str, int], list[float]] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for site in track(sites, "sensitivity"):
            trial = _Trial(graph, site, files, weights, outputs)
            for found in pool.map(trial.errors, range(count)):
                for key, error in found.items():
                    errors.setdefault(key, []).append(error)
    return {
        entry.name: {
            width: float(np.mean(errors[entry.name, width])) for width in entry.bit_widths if width != FLOAT_BITS
        }
        for entry in problem.variables
    }


def _candidates(
    problem: Problem, pipeline: Pipeline, ranges: Ranges, files: TensorFiles
) -> tuple[dict[tuple[str, int], FeatureParams], TensorFiles]:
    """Parameters of (tensor, width), and dequantized weights of (node, width), chosen as quantize does."""
    base = replace(pipeline.config.quant, edge_bits=None)
    features: dict[tuple[str, int], FeatureParams] = {}

    def chosen(quant: QuantConfig) -> list[FeatureParams]:
        config = replace(pipeline.config, quant=quant)
        setup = place_quantizers(problem.graph, config.soc, quant, pipeline.by_node)
        given = ranges_of(ranges, setup)
        return choose_features(setup, problem.graph, pipeline.network.statistics, config, given)

    for bits in _bit_widths(problem, "feature"):
        features |= {(entry.tensor, entry.bits): entry for entry in chosen(replace(base, feature_bits=bits))}
    around = chosen(base)
    stored: set[tuple[str, int]] = set()
    for bits in _bit_widths(problem, "weight"):
        config = replace(pipeline.config, quant=replace(base, weight_bits=bits))
        setup = place_quantizers(problem.graph, config.soc, config.quant, pipeline.by_node)
        params, codes = choose_weights(setup, problem.graph, around, config)
        for entry in params:
            if (entry.node, entry.bits) not in stored:
                stored.add((entry.node, entry.bits))
                files.write(f"{entry.node} {entry.bits}", 0, dequantized(codes[entry.node], entry.scales, entry.axis))
    return features, files


def _bit_widths(problem: Problem, kind: str) -> list[int]:
    """All integer widths of the features, or of the weights."""
    return sorted({width for e in problem.variables if e.kind == kind for width in e.bit_widths} - {FLOAT_BITS})


def _sites(problem: Problem, params: Mapping[tuple[str, int], FeatureParams]) -> Iterator[_Site]:
    """What to try, in graph order."""
    graph, layers = problem.graph, problem.setup.layers
    by_tensor: dict[str, list[tuple[str, int]]] = {}
    features: dict[str, dict[tuple[str, int], FeatureParams]] = {}
    for entry in problem.variables:
        for width in entry.bit_widths:
            if width == FLOAT_BITS:
                continue
            if entry.kind == "weight":
                by_tensor.setdefault(entry.tensor, []).append((entry.name, width))
            else:
                features.setdefault(entry.tensor, {})[entry.name, width] = params[entry.tensor, width]
    producers = {layer.output: layer for layer in layers}
    for tensor in graph.float_tensors:
        if tensor in features or tensor in by_tensor:
            producer = _alone(producers[tensor], graph) if tensor in by_tensor else None
            rest = find_rest(graph, layers, tensor)
            yield _Site(tensor, features.get(tensor, {}), by_tensor.get(tensor, []), producer, rest)


def _alone(layer: Layer, graph: Graph) -> Subgraph:
    """A weighted layer as a subgraph."""
    taken = [name for name in layer.first.input if name and name not in graph.constants]
    return Subgraph((layer,), tuple(dict.fromkeys(taken)), (layer.output,))


def _run_float(graph: Graph, feeds: Iterable[Mapping[str, Array]], needed: set[str], files: TensorFiles) -> int:
    """Store what is needed of the float network, of every picture; gives their number."""
    computed = [name for node in graph.nodes for name in node.output if name in needed]
    # a thread of its own, so that the results do not depend on the number of cores
    runner = Runner(with_outputs(graph.model, computed), threads=1)
    count = 0
    for feed in feeds:
        for name, value in {**feed, **runner.run(feed)}.items():
            if name in needed:
                files.write(name, count, value)
        count += 1
    return count


class _Trial:
    """One site, ready to be tried on any picture, on several at once."""

    def __init__(
        self, graph: Graph, site: _Site, files: TensorFiles, weights: TensorFiles, outputs: Sequence[str]
    ) -> None:
        self._site, self._files, self._outputs = site, files, outputs
        self._rest = Runner(subgraph_model(graph, site.rest), threads=1) if site.rest.outputs else None
        self._maker: Runner | None = None
        self._weights: dict[tuple[str, int], Array] = {}
        if site.producer:
            node = site.producer.layers[0].first
            self._tensor = node.input[1]
            self._maker = Runner(_with_weight_as_input(subgraph_model(graph, site.producer), self._tensor), threads=1)
            self._weights = {key: weights.read(f"{node.name} {key[1]}", 0) for key in site.weights}

    def errors(self, picture: int) -> dict[tuple[str, int], float]:
        """The outputs' errors for all that is tried here, on one picture."""
        site, read = self._site, self._files.read
        value: Array = read(site.tensor, picture)
        others = {name: read(name, picture) for name in site.rest.inputs if name != site.tensor}
        expected = {name: read(name, picture) for name in self._outputs}
        found = {}
        for key, params in site.features.items():
            found[key] = self._error(fake_quantize(value, params), others, expected)
        if self._maker is not None and site.producer is not None:
            taken = {name: read(name, picture) for name in site.producer.inputs}
            for key, weight in self._weights.items():
                made = self._maker.run({**taken, self._tensor: weight})[site.tensor]
                found[key] = self._error(made, others, expected)
        return found

    def _error(self, value: Array, others: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
        made = {self._site.tensor: value}
        if self._rest is not None:
            taken = made if self._site.tensor in self._rest.inputs else {}
            made |= self._rest.run({**others, **taken})
        errors = [relative_error(wanted, made[name]) if name in made else 0.0 for name, wanted in expected.items()]
        return float(np.mean(errors)) if errors else 0.0


def _with_weight_as_input(model: onnx.ModelProto, tensor: str) -> onnx.ModelProto:
    """Make a constant an input, so that one session runs all its candidates."""
    constant = next(entry for entry in model.graph.initializer if entry.name == tensor)
    model.graph.input.append(helper.make_tensor_value_info(tensor, constant.data_type, constant.dims))
    model.graph.initializer.remove(constant)
    return model
